"""Trials of a study as people ask for them: the list, one of them whole, the best."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

from tuner_service.domain.front import front as pareto_front
from tuner_service.domain.outcome import State
from tuner_service.domain.study import StudyRecord
from tuner_service.domain.trial import Trial
from tuner_service.errors import ArtifactError, NotInStudyError
from tuner_service.storage.artifacts import Artifacts, trial_folder
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.training.assignment import CURVE_FILE, MODEL_FILE

#: Every metric by name, one value an epoch, of one run.
Curve = Mapping[str, list[float]]


@dataclass(frozen=True)
class Best:
    """A complete trial of a study: the best, one of the front, or one that was asked for."""

    study: StudyRecord
    trial: Trial
    has_model: bool  #: its model was kept


def trials(storage: LedgerStorage, name: str) -> list[Trial]:
    """Return the trials of a study by number, without its waiting rows."""
    study = storage.study(name)
    return [one for one in storage.trials(study.study_id) if one.started_at is not None]


def trial(storage: LedgerStorage, name: str, number: int) -> Trial:
    """Return one trial with its reported values, or raise ``NotInStudyError``."""
    study = storage.study(name)
    found = storage.trials(study.study_id, numbers=[number], curves=True)
    if not found:
        last = max((one.number for one in storage.attempts(study.study_id)), default=None)
        there = "has no trials yet" if last is None else f"has the trials 0 to {last}"
        raise NotInStudyError(f"study {name!r} has no trial {number}; it {there}")
    return found[0]


def front(storage: LedgerStorage, name: str) -> list[Best]:
    """Return the trials that no other dominates, the best by the first objective first; of one objective, the best.

    Raises:
        NotInStudyError: If no trial is complete.
    """
    study = storage.study(name)
    numbers = [one.number for one in pareto_front(storage.attempts(study.study_id), study.spec.directions)]
    if not numbers:
        raise NotInStudyError(
            f"study {name!r} has no complete trial yet; see `tuner status {name}` for where it stands"
        )
    return _found(storage, study, numbers)


def best(storage: LedgerStorage, name: str, number: int | None = None) -> Best:
    """Return the best trial, or the complete one of this number.

    Raises:
        NotInStudyError: If none is complete, that one is not, or of several objectives none was asked for.
    """
    if number is None:
        first, *others = front(storage, name)
        if others:
            numbers = ", ".join(str(one.trial.attempt.number) for one in (first, *others))
            raise NotInStudyError(
                f"study {name!r} has {len(first.study.spec.metrics)} objectives, and the front the trials {numbers}; "
                f"name one of them; they are shown by `tuner best {name}`"
            )
        return first
    asked = trial(storage, name, number).attempt
    if asked.state is not State.COMPLETE:
        state = str(asked.state).lower()
        raise NotInStudyError(f"trial {number} of {name!r} is not complete, but {state}; name another")
    return _found(storage, storage.study(name), [number])[0]


def _found(storage: LedgerStorage, study: StudyRecord, numbers: list[int]) -> list[Best]:
    by_number = {one.attempt.number: one for one in storage.trials(study.study_id, numbers=numbers)}
    artifacts = _artifacts(study)
    return [
        Best(study, by_number[number], artifacts.exists(f"{trial_folder(number)}/{MODEL_FILE}")) for number in numbers
    ]


def curves(study: StudyRecord, number: int) -> list[Curve]:
    """Return every metric of every epoch of a trial, run by run; none where nothing was kept of it.

    Raises:
        ArtifactError: If that cannot be told, since the place cannot be read from here.
    """
    try:
        kept: list[Curve] = _artifacts(study).read_json(f"{trial_folder(number)}/{CURVE_FILE}")
    except ArtifactError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        return []
    return [curve for curve in kept if curve]


def curves_for_looking(study: StudyRecord, number: int) -> list[Curve]:
    """Return what ``curves`` does, and none where it cannot be read: the rest is worth being looked at."""
    with contextlib.suppress(ArtifactError):
        return curves(study, number)
    return []


def reported_curve(study: StudyRecord, trial: Trial) -> Curve:
    """Return what a trial reported as the curve of its first run, for where no other was kept; gaps are NaN."""
    epochs = {step + first_epoch(study): value for step, value in trial.reported.items()}
    if not epochs:
        return {}
    return {study.spec.watched: [epochs.get(epoch, math.nan) for epoch in range(1, max(epochs) + 1)]}


def first_epoch(study: StudyRecord) -> int:
    """Return the epoch that step 0 is: a script counts steps from 0, what is trained here epochs from 1."""
    return 1 if study.kind == "objective" else 0


def _artifacts(study: StudyRecord) -> Artifacts:
    return Artifacts(study.artifacts, study.name)
