"""The coordinator process: reconciles all studies, again and again. Studies go on without it, workers do the same."""

from __future__ import annotations

import logging
import threading

from tuner_service.coordinator.scaling import Scaler, scale
from tuner_service.coordinator.studies import has_tables
from tuner_service.domain.study import StudyRecord
from tuner_service.errors import SchemaVersionError, StorageError, StudyNotFoundError
from tuner_service.ledger.history import Histories
from tuner_service.ledger.notices import Notifier
from tuner_service.ledger.reconcile import reconcile
from tuner_service.storage.ledger_storage import LedgerStorage

_log = logging.getLogger(__name__)


def coordinate(
    storage: LedgerStorage,
    stopping: threading.Event,
    *,
    period_s: float = 5.0,
    scaler: Scaler | None = None,
    notifier: Notifier | None = None,
) -> None:
    """Reconcile every study each ``period_s`` seconds until told to stop, and give it the workers that it can use.

    Tables are made where they are missing; a storage that is away later is waited for, and an error that only one study
    has keeps none of the others. A ``notifier`` tells what is new, also of studies that others have ended.

    Raises:
        SchemaVersionError: If the tables are migrated meanwhile: a newer program goes on.
    """
    if not has_tables(storage):
        storage.create_tables()
    histories = Histories(storage)
    while not stopping.is_set():
        try:
            storage.check_tables()
            now = 0.0 if notifier is None else storage.now()
            for study in storage.studies():
                if study.ending is None or (notifier is not None and not notifier.has_told_end(study, now)):
                    _reconcile(storage, study, histories, notifier)
                else:
                    histories.forget(study)
            if scaler is not None:
                scale(storage, scaler)
        except SchemaVersionError:
            raise
        except StorageError as error:
            _log.warning("%s; trying again", error)
        stopping.wait(period_s)


def _reconcile(storage: LedgerStorage, study: StudyRecord, histories: Histories, notifier: Notifier | None) -> None:
    try:
        reconcile(storage, study.name, histories, notifier)
    except StudyNotFoundError:
        _log.info("study %s was deleted", study.name)
    except StorageError as error:
        # Where it is the storage that is away, this says so, and nothing is tried with the other studies.
        storage.now()
        _log.warning("study %s: %s; trying again", study.name, error)
