"""Trials of a study as people ask for them: the list, one of them whole, the best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tuner_service.domain.attempt import best_attempt
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
    """The best complete trial of a study."""

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


def best(storage: LedgerStorage, name: str) -> Best:
    """Return the best trial, or raise ``NotInStudyError`` where none is complete."""
    study = storage.study(name)
    attempt = best_attempt(storage.attempts(study.study_id), study.spec.better)
    if attempt is None:
        raise NotInStudyError(
            f"study {name!r} has no complete trial yet; see `tuner status {name}` for where it stands"
        )
    (found,) = storage.trials(study.study_id, numbers=[attempt.number])
    has_model = _artifacts(study).exists(f"{trial_folder(attempt.number)}/{MODEL_FILE}")
    return Best(study, found, has_model)


def curves(study: StudyRecord, number: int) -> list[Curve]:
    """Return every metric of every epoch of a trial, run by run; none where nothing was kept of it."""
    try:
        kept: list[Curve] = _artifacts(study).read_json(f"{trial_folder(number)}/{CURVE_FILE}")
    except ArtifactError:
        return []
    return [curve for curve in kept if curve]


def _artifacts(study: StudyRecord) -> Artifacts:
    return Artifacts(study.artifacts, study.name)
