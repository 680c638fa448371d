"""The errors this service raises on purpose: what was wrong, what was received, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from typing import Self


class TunerServiceError(Exception):
    """Base of the errors this service raises on purpose; the command line prints them without a traceback."""


class SpecError(TunerServiceError):
    """A study's specification, or an override of it, is not valid."""


class StudyFileError(TunerServiceError):
    """A study file cannot be used: it does not import, lacks a function, or its model cannot be trained.

    Attributes:
        details: The whole traceback of the user's code, shown by ``--traceback``; empty where there is none.
    """

    details: str = ""

    @classmethod
    def with_details(cls, message: str, details: str) -> Self:
        """Return the error with the traceback of the user's code beside its message."""
        error = cls(message)
        error.details = details
        return error


class UserCodeError(StudyFileError):
    """A function of a study file raised an error of its own."""


class StudyExistsError(TunerServiceError):
    """A study of this name exists and means something else."""


class StudyNotFoundError(TunerServiceError):
    """No study of this name is in the storage."""

    @classmethod
    def for_name(cls, name: str, existing: Iterable[str]) -> Self:
        """Return the error with the names that do exist, the nearest first."""
        names = sorted(existing)
        if not names:
            return cls(f"There is no study {name!r}: this storage holds none yet. Make one with `tuner create FILE`.")
        return cls(f"There is no study {name!r}; this storage holds {_some(names)}.{did_you_mean(name, names)}")


class StoppedByRuleError(TunerServiceError):
    """The study has ended by a stopping rule, and would end again at once."""

    @classmethod
    def for_rule(cls, name: str, rule: str, message: str) -> Self:
        """Return the error with what changes the rule."""
        return cls(
            f"study {name!r} would end again at once by {message}. Let it go on with another limit, "
            f"`tuner extend {name} --set stop.{rule}=...`, or with none, `--set stop.{rule}=null`"
        )


class CodeChangedError(TunerServiceError):
    """The study file is not the one with which the study was created."""

    @classmethod
    def for_worker(cls, name: str, recorded: str, code: str) -> Self:
        """Return the error of a worker that runs while other code is accepted."""
        return cls(
            f"other code was accepted for the study {name!r} (digest {recorded}) than this worker has loaded ({code}), "
            "so it claims no trial any more; start it again where the new study file is"
        )


class NotInStudyError(TunerServiceError):
    """A trial that was asked for is not in the study."""


class StorageError(TunerServiceError):
    """The storage URL is not valid, or the storage behind it cannot be used."""


class StorageUnavailableError(StorageError):
    """The storage does not answer; trying again later may help."""


class SchemaError(StorageError):
    """The storage has no tables of this service, or those of another version."""


class SchemaVersionError(SchemaError):
    """The storage has tables of another version, this service's or Optuna's: nothing is done with them."""

    @classmethod
    def for_versions(cls, storage: object, found: int, wanted: int) -> Self:
        """Return the error with what brings the two together: the older one follows."""
        todo = (
            "bring them up to date with `tuner db migrate`"
            if found < wanted
            else f"a newer tuner-service has migrated them: install that one, with {how_to_install()}"
        )
        return cls(
            f"the storage {storage} has tables of version {found}, this program works with version {wanted}; {todo}"
        )


class TrialLostError(TunerServiceError):
    """The trial does not belong to this worker any more: what it still has to say about it is dropped."""


class SpaceExhaustedError(TunerServiceError):
    """A sampler finds no parameters that no other configuration of the study has."""


class ArtifactError(TunerServiceError):
    """A file of a trial cannot be read or written where the study keeps its artifacts."""


class ClusterError(TunerServiceError):
    """Workers cannot be rendered, or the cluster refuses or does not answer."""


class ServeError(TunerServiceError):
    """The server's settings, its files or its address cannot be used."""


class WorkerFailedError(TunerServiceError):
    """A worker cannot work, and starting it again would not help."""


class BackendError(TunerServiceError):
    """What Keras is to compute with is not installed, or is not known here."""


class OtherBackendError(TunerServiceError):
    """The specification wants another backend than the one that its file was loaded with; ``args`` has its name."""


class ModelError(TunerServiceError):
    """The best model cannot be shown to be what was recorded."""


def how_to_install(extra: str = "") -> str:
    """Return the command that installs this service, which has no release yet, with one of its extras.

    >>> how_to_install("gp")
    "`pip install '.[gp]'` in a clone of tuner-service"
    """
    what = f"'.[{extra}]'" if extra else "."
    return f"`pip install {what}` in a clone of tuner-service"


def did_you_mean(received: str, known: Collection[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest known name, or nothing where none is near.

    >>> did_you_mean("trails", ["trials", "metric"])
    " Did you mean 'trials'?"
    """
    near = difflib.get_close_matches(received, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _some(names: list[str], most: int = 10) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
