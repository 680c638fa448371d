"""One reading of a study for all who ask at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tuner_service.domain.attempt import Attempt
from tuner_service.domain.outcome import State
from tuner_service.domain.study import StudyRecord
from tuner_service.domain.worker import WorkerInfo
from tuner_service.results.summary import Summary, summary_of
from tuner_service.storage.ledger_storage import LedgerStorage

#: How old a reading may be, in seconds.
FRESH_S = 2.0

#: What trials have reported: by number, values by step.
Reported = Mapping[int, Mapping[int, float]]


@dataclass(frozen=True)
class Reading:
    """A study's rows at one moment."""

    study: StudyRecord
    attempts: Sequence[Attempt]
    workers: Sequence[WorkerInfo]  #: all that ever announced themselves
    summary: Summary
    read_at: float  #: by this process' monotonic clock


class Readings:
    """Studies as they were read last; the storage is asked again for those that are not fresh."""

    def __init__(self, storage: LedgerStorage) -> None:
        self.storage = storage
        self._known: dict[str, Reading] = {}
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._reported: dict[str, tuple[Reading, Reported]] = {}

    def study(self, name: str) -> Reading:
        """Return a study, or raise ``StudyNotFoundError``."""
        known = self._known.get(name)
        if known is not None and _is_fresh(known):
            return known
        record = self.storage.study(name)
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            return self._read(record)

    def studies(self) -> list[Reading]:
        """Return all studies, the oldest first."""
        found = self.storage.studies()
        names = {one.name for one in found}
        with self._lock:
            self._known = {name: one for name, one in self._known.items() if name in names}
            self._reported = {name: one for name, one in self._reported.items() if name in names}
        return [self._read(one) for one in found]

    def reported(self, reading: Reading) -> Reported:
        """Return what the trials that run in a reading have reported; the storage is asked once for each reading."""
        name = reading.study.name
        known = self._reported.get(name)
        if known is not None and known[0] is reading:
            return known[1]
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            known = self._reported.get(name)
            if known is None or known[0] is not reading:
                numbers = [one.number for one in reading.summary.running]
                trials = self.storage.trials(reading.study.study_id, numbers=numbers, curves=True) if numbers else []
                known = reading, {one.attempt.number: one.reported for one in trials}
                self._reported[name] = known
            return known[1]

    def _read(self, record: StudyRecord) -> Reading:
        known = self._known.get(record.name)
        if known is not None and known.study == record and (_is_fresh(known) or _is_over(known)):
            return known
        began = time.monotonic()
        attempts = self.storage.attempts(record.study_id)
        workers = self.storage.workers(record.study_id)
        summary = summary_of(record, attempts, workers, self.storage.now())
        reading = Reading(record, attempts, workers, summary, began)
        with self._lock:
            self._known[record.name] = reading
        return reading


def _is_fresh(reading: Reading) -> bool:
    return time.monotonic() - reading.read_at < FRESH_S


def _is_over(reading: Reading) -> bool:
    """Return whether the study cannot change but by a change of its record."""
    states = reading.summary.states
    over = reading.study.ending is not None and not states.get(State.RUNNING, 0) and not states.get(State.WAITING, 0)
    return over and not reading.summary.workers
