"""What a process has read of a study's rows: each is read until it has ended, since it never changes after that."""

from __future__ import annotations

import bisect
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tuner_service.domain.attempt import Attempt, settled_by
from tuner_service.domain.front import dominates
from tuner_service.domain.outcome import Reason, State
from tuner_service.domain.spec import StudySpec
from tuner_service.domain.study import StudyRecord
from tuner_service.storage.ledger_storage import LedgerStorage

if TYPE_CHECKING:
    from tuner_service.search.tpe import TpeMemory

#: Reasons that say something of the study's code.
_TELLING = frozenset((Reason.FINISHED, Reason.PRUNED, Reason.DIVERGED, Reason.ERROR))


class History:
    """A study's attempts, folded as they come, so that what they amount to needs no look at all of them again.

    Args:
        spec: Says how many attempts a configuration has, and which way its values are better.
        attempts: In the order of their trial numbers, as all that ``take`` is given.
    """

    def __init__(self, spec: StudySpec, attempts: Iterable[Attempt] = ()) -> None:
        self._max_attempts = spec.max_attempts
        self._directions = spec.directions
        self._rows: dict[tuple[int, int], Attempt] = {}
        self._open: dict[tuple[int, int], Attempt] = {}
        self._telling: list[Attempt] = []
        self._best: dict[bool, list[tuple[float, ...]]] = {True: [], False: []}
        self.by_configuration: dict[int, list[Attempt]] = {}  #: in the order of their attempts
        self.settled: set[int] = set()  #: configurations whose outcome counts
        self.unsettled: set[int] = set()  #: those that have rows, and none that settles them
        self.exhausted_at = 0.0  #: when an attempt last found no parameters that were not tried before
        self.last_trial_id = -1
        self.take(attempts)

    @property
    def attempts(self) -> list[Attempt]:
        """All attempts."""
        return list(self._rows.values())

    @property
    def open(self) -> list[Attempt]:
        """Those that wait or run."""
        return list(self._open.values())

    def take(self, attempts: Iterable[Attempt]) -> None:
        """Take rows that are new, or that were open when they were last read."""
        touched = set()
        for one in attempts:
            key = (one.configuration, one.attempt)
            before = self._rows.get(key)
            if before is not None and before.state.final:
                continue
            self._rows[key] = one
            self.last_trial_id = max(self.last_trial_id, one.trial_id)
            mine = self.by_configuration.setdefault(one.configuration, [])
            if before is not None:
                mine.remove(before)
            bisect.insort(mine, one, key=lambda other: other.attempt)
            touched.add(one.configuration)
            if one.state.final:
                self._open.pop(key, None)
                self._end(one)
            else:
                self._open[key] = one
        for configuration in touched:
            is_settled = settled_by(self.by_configuration[configuration], self._max_attempts) is not None
            (self.settled if is_settled else self.unsettled).add(configuration)
            (self.unsettled if is_settled else self.settled).discard(configuration)

    def _end(self, one: Attempt) -> None:
        if one.reason in _TELLING and one.ended_at is not None:
            bisect.insort(self._telling, one, key=lambda other: (other.ended_at or 0.0, other.number))
        if one.reason is Reason.EXHAUSTED:
            self.exhausted_at = max(self.exhausted_at, one.ended_at or 0.0)
        if one.state is State.COMPLETE and len(one.values) == len(self._directions):
            best = self._best[one.feasible]
            if one.values not in best and not self._any_dominates(best, one.values):
                kept = [other for other in best if not dominates(one.values, other, self._directions)]
                self._best[one.feasible] = [*kept, one.values]

    def _any_dominates(self, best: list[tuple[float, ...]], values: tuple[float, ...]) -> bool:
        return any(dominates(other, values, self._directions) for other in best)

    def is_beaten(self, values: tuple[float, ...], *, feasible: bool) -> bool:
        """Return whether a complete attempt dominates these values; what is not feasible, any that is beats."""
        if not feasible and self._best[True]:
            return True
        return self._any_dominates(self._best[feasible], values)

    def repeated_error(self, times: int, *, since: float) -> str | None:
        """Return the error of the study's code with which the last so many attempts all failed, or ``None``.

        Attempts that say nothing of the code, such as interrupted ones, are passed over.
        """
        last = [one for one in self._telling[-times:] if (one.ended_at or 0.0) > since]
        errors = {one.error if one.reason is Reason.ERROR else None for one in last}
        return errors.pop() if len(last) == times and len(errors) == 1 else None


class Histories:
    """The histories of a process. Its threads share them: each sees what the others have read."""

    def __init__(self, storage: LedgerStorage) -> None:
        self._storage = storage
        self._lock = threading.Lock()
        # A study is known by when it was made, too: SQLite gives the id of a deleted one away again.
        self._kept: dict[tuple[int, float], History] = {}
        self._memories: dict[tuple[int, float], TpeMemory] = {}

    @contextmanager
    def current(self, study: StudyRecord, *, anew: bool = False) -> Iterator[History]:
        """Read what has changed, or with ``anew`` everything, and lend the history while the block lasts."""
        key = (study.study_id, study.created_at)
        with self._lock:
            history = None if anew else self._kept.get(key)
            if history is None:
                history = self._kept[key] = History(study.spec, self._storage.attempts(study.study_id))
            else:
                unread = [one.trial_id for one in history.open]
                history.take(self._storage.attempts(study.study_id, after=history.last_trial_id, among=unread))
            yield history

    def tpe_memory(self, study: StudyRecord) -> TpeMemory:
        """Return what TPE has read of a study."""
        from tuner_service.search.tpe import TpeMemory  # it imports Optuna, which commands do not wait for

        with self._lock:
            return self._memories.setdefault((study.study_id, study.created_at), TpeMemory())

    def forget(self, study: StudyRecord) -> None:
        """Keep no history of a study any more."""
        with self._lock:
            self._kept.pop((study.study_id, study.created_at), None)
            self._memories.pop((study.study_id, study.created_at), None)
