"""The worker's sign of life: renews the leases of its trials from a thread of its own."""

from __future__ import annotations

import logging
import os
import socket
import threading

from tuner_service.domain.study import Control, StudyRecord
from tuner_service.domain.worker import WorkerInfo
from tuner_service.errors import StorageError, StorageUnavailableError
from tuner_service.ledger.patience import absence
from tuner_service.ledger.running import RunningAttempt
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.worker.settings import WorkerSettings

_log = logging.getLogger(__name__)


class LeaseKeeper(threading.Thread):
    """Beats until it is stopped, and waits for nothing else.

    It survives every error: a beat that fails is followed by the next.
    """

    def __init__(self, storage: LedgerStorage, study: StudyRecord, settings: WorkerSettings) -> None:
        super().__init__(name="lease", daemon=True)
        self._storage = storage
        self._settings = settings
        self._lock = threading.Lock()
        self._held: dict[int, RunningAttempt] = {}
        self._lost: set[int] = set()
        self._cancelled: set[int] = set()
        self._stopped = threading.Event()
        self._info = WorkerInfo(
            worker_id=settings.worker_id,
            study_id=study.study_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            slots=settings.slots,
            started_at=0.0,
            beat_at=0.0,
            lease_s=settings.lease_s,
            beat_s=settings.beat_s,
        )
        self.beaten = threading.Event()  #: set after each beat that got through

    def hold(self, attempt: RunningAttempt) -> None:
        """Renew the lease of one more attempt."""
        with self._lock:
            self._held[attempt.claim.trial_id] = attempt

    def let_go(self, attempt: RunningAttempt) -> None:
        """Renew it no more."""
        with self._lock:
            self._held.pop(attempt.claim.trial_id, None)
            self._lost.discard(attempt.claim.trial_id)
            self._cancelled.discard(attempt.claim.trial_id)

    def is_lost(self, attempt: RunningAttempt) -> bool:
        """Return whether the storage said that the attempt is not this worker's any more."""
        return attempt.claim.trial_id in self._lost

    def is_cancelled(self, attempt: RunningAttempt) -> bool:
        """Return whether the study's running trials were cancelled while this one ran."""
        return attempt.claim.trial_id in self._cancelled

    def beat(self) -> None:
        """Announce the worker once, and learn what it still holds."""
        with self._lock:
            held = dict(self._held)
        heard = self._storage.beat(self._info, [one.progress_now for one in held.values()])
        with self._lock:
            # One claimed after this beat began is not among those asked for; nor among those that are cancelled, since
            # nothing is claimed then until the study goes on.
            asked = held.keys() & self._held.keys()
            self._lost |= asked - heard.held
            if heard.control is Control.CANCEL:
                self._cancelled |= asked

    def run(self) -> None:
        """Beat until stopped."""
        while not self._stopped.wait(self._settings.beat_s):
            try:
                self.beat()
                self.beaten.set()
                absence.ends()
            except StorageUnavailableError as error:
                absence.begins(error)
            except StorageError as error:
                _log.warning("no sign of life could be given: %s", error)
            except Exception:
                # A worker without this thread loses all that it trains, whatever was wrong with one beat.
                _log.exception("no sign of life could be given")

    def stop(self, *, hands_back: bool = True) -> None:
        """Beat no more, and say goodbye where the storage answers.

        Args:
            hands_back: Others may have at once what this worker still holds; else once its leases have run out, before
                which the next worker of this machine may still record what waits here.
        """
        self._stopped.set()
        self.join()
        if not hands_back:
            return
        try:
            self._storage.release(self._settings.worker_id)
        except StorageError as error:
            _log.warning("the storage does not answer; the leases run out by themselves: %s", error)
