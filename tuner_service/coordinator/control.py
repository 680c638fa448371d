"""What users want of a study while it runs."""

from __future__ import annotations

from tuner_service.domain.study import Control, StudyRecord
from tuner_service.ledger.reconcile import reconcile
from tuner_service.storage.artifacts import Artifacts
from tuner_service.storage.ledger_storage import LedgerStorage


def pause(storage: LedgerStorage, name: str) -> StudyRecord:
    """Let no further trial be claimed; running ones go on to their end."""
    return _set(storage, name, Control.PAUSE)


def resume(storage: LedgerStorage, name: str) -> StudyRecord:
    """Let a study go on that was paused or stopped, or that ended by its errors."""
    return _set(storage, name, Control.RUN)


def stop(storage: LedgerStorage, name: str) -> StudyRecord:
    """End a study once its running trials have finished."""
    return _set(storage, name, Control.STOP)


def delete(storage: LedgerStorage, name: str) -> None:
    """Remove a study with its trials, curves and models. A worker that still trains it drops its work."""
    study = storage.study(name)
    storage.delete_study(study.study_id)
    Artifacts(study.artifacts, study.name).remove_all()


def _set(storage: LedgerStorage, name: str, control: Control) -> StudyRecord:
    storage.set_control(storage.study(name).study_id, control)
    return reconcile(storage, name)
