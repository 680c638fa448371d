"""What is recorded of a study beside its trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tuner_service.domain.attempt import Param
from tuner_service.domain.provenance import Provenance
from tuner_service.domain.spec import StudySpec


class Control(StrEnum):
    """What the users want of a study now."""

    RUN = "run"  # trials are claimed until the budget is settled
    PAUSE = "pause"  # no trial is claimed; running ones go on
    STOP = "stop"  # no trial is claimed any more; running ones finish, then the study has ended
    CANCEL = "cancel"  # no trial is claimed any more; running ones are ended now, then the study has ended


class Ending(StrEnum):
    """How a study ended."""

    FINISHED = "finished"  # its budget is settled
    STOPPED = "stopped"  # a user stopped it
    FAILED = "failed"  # the same error of its code came again and again


@dataclass(frozen=True)
class CodeRecord:
    """Which code a study runs."""

    file: str  #: name of the study file, without its folder
    digest: str  #: of the code without comments and without the specification
    accepted: tuple[str, ...] = ()  #: earlier digests that ``--accept-code`` replaced, oldest first


#: Where the point comes from that is the defaults of KerasTuner's hyperparameters.
OF_DEFAULTS = "the defaults of the hyperparameters"


@dataclass(frozen=True)
class Point:
    """The parameters of one configuration, known when its study is created; what it does not name is drawn."""

    params: Mapping[str, Param]
    source: str = ""  #: where it comes from, for people; kept beside its trial


@dataclass(frozen=True)
class StudyRecord:
    """A study as the storage keeps it; times are the database's, in seconds since 1970."""

    study_id: int
    name: str
    spec: StudySpec
    budget: int  #: configurations to settle: ``spec.trials``, or more after an extension
    code: CodeRecord
    kind: str  #: how the study file defines a trial: "build_model" or "objective"
    artifacts: str  #: where curves and models are kept
    probe: str  #: content of the probe file there, by which a worker knows that it is the same place
    space: Mapping[str, str] = field(default_factory=dict)  #: parameter name to distribution, as probing found them
    provenance: Provenance = field(default_factory=Provenance)  #: what it was created with
    points: int = 0  #: configurations with a point of their own: the first so many, all cells of a grid
    control: Control = Control.RUN
    ending: Ending | None = None
    ending_message: str = ""  #: why it ended, where that needs words
    created_at: float = 0.0
    resumed_at: float = 0.0  #: when a user last let it go on; earlier errors are forgiven
    ended_at: float | None = None

    def wants_the_same_as(self, seen: StudyRecord) -> bool:
        """Return whether users want of it what they wanted when it was seen."""
        return (self.budget, self.control, self.spec) == (seen.budget, seen.control, seen.spec)


@dataclass(frozen=True)
class NewStudy:
    """What a study is created from; the storage adds its id and the time."""

    spec: StudySpec
    code: CodeRecord
    kind: str
    artifacts: str
    probe: str
    space: Mapping[str, str]
    provenance: Provenance
    budget: int
    points: Sequence[Point] = ()  #: of the configurations 0, 1, ...
