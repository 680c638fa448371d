"""The coordinator process: reconciles all studies, again and again. Studies go on without it, workers do the same."""

from __future__ import annotations

import logging
import threading

from tuner_service.coordinator.scaling import Scaler, scale
from tuner_service.domain.study import StudyRecord
from tuner_service.errors import StorageError, StudyNotFoundError
from tuner_service.ledger.history import Histories
from tuner_service.ledger.reconcile import reconcile
from tuner_service.storage.ledger_storage import LedgerStorage

_log = logging.getLogger(__name__)


def coordinate(
    storage: LedgerStorage, stopping: threading.Event, *, period_s: float, scaler: Scaler | None = None
) -> None:
    """Reconcile every study each ``period_s`` seconds until told to stop, and give it the workers that it can use.

    A storage that is away is waited for.
    """
    histories = Histories(storage)
    while not stopping.is_set():
        try:
            for study in storage.studies():
                if study.ending is None:
                    _reconcile(storage, study, histories)
                else:
                    histories.forget(study)
            if scaler is not None:
                scale(storage, scaler)
        except StorageError as error:
            _log.warning("%s; trying again", error)
        stopping.wait(period_s)


def _reconcile(storage: LedgerStorage, study: StudyRecord, histories: Histories) -> None:
    try:
        reconcile(storage, study.name, histories)
    except StudyNotFoundError:
        _log.info("study %s was deleted", study.name)
