"""The worker's part in keeping its study going, in a thread of its own: a beat must not wait for it."""

from __future__ import annotations

import logging
import threading

from tuner_service.domain.study import StudyRecord
from tuner_service.errors import StorageError, StorageUnavailableError, StudyNotFoundError
from tuner_service.ledger.history import Histories
from tuner_service.ledger.notices import Notifier
from tuner_service.ledger.patience import absence
from tuner_service.ledger.reconcile import reconcile
from tuner_service.storage.ledger_storage import LedgerStorage

_log = logging.getLogger(__name__)


class Reconciler(threading.Thread):
    """Reconciles a study after each beat, where no other worker has.

    Whoever is busy does its part too: the trial of a worker that died must not wait for an idle one. It survives every
    error: the next beat tries again.

    Args:
        storage: Where the study is.
        study: Its record.
        beat_s: From one beat to the next.
        beaten: Set after a beat that got through: what this worker runs is renewed before it judges leases.
        histories: What the worker has read of the study's rows.
        notifier: Sees the rows too, and tells what is new.
    """

    def __init__(
        self,
        storage: LedgerStorage,
        study: StudyRecord,
        beat_s: float,
        beaten: threading.Event,
        histories: Histories,
        notifier: Notifier | None = None,
    ) -> None:
        super().__init__(name="reconciler", daemon=True)
        self._storage = storage
        self._study = study
        self._beat_s = beat_s
        self._beaten = beaten
        self._histories = histories
        self._notifier = notifier
        self._stopped = False

    def run(self) -> None:
        """Reconcile until stopped."""
        while self._beaten.wait():
            self._beaten.clear()
            if self._stopped:
                return
            try:
                if self._storage.take_turn(self._study.study_id, self._beat_s):
                    reconcile(self._storage, self._study.name, self._histories, self._notifier)
            except StorageUnavailableError as error:
                absence.begins(error)
            except (StorageError, StudyNotFoundError) as error:
                _log.warning("the study could not be looked after: %s", error)
            except Exception:
                # Others do its part, but nobody might, where this worker is the only one.
                _log.exception("the study could not be looked after")

    def stop(self) -> None:
        """Reconcile no more."""
        self._stopped = True
        self._beaten.set()
        self.join()
