"""Where a study stands, in numbers, from one look at its rows."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tuner_service.domain.attempt import Attempt, by_configuration, settlements
from tuner_service.domain.ending import epochs_trained, standing
from tuner_service.domain.front import front
from tuner_service.domain.outcome import RULES, Reason, State
from tuner_service.domain.study import StudyRecord
from tuner_service.domain.worker import WorkerInfo
from tuner_service.storage.ledger_storage import LedgerStorage

#: Endings that are no failure.
_NO_FAILURES = (None, Reason.FINISHED, Reason.PRUNED, Reason.WITHDRAWN)


@dataclass(frozen=True)
class FailureGroup:
    """Attempts that did not finish for one cause."""

    reason: Reason
    attempts: int
    configurations: int
    first: int  #: number of the first trial of the group
    last_error: str | None  #: the latest error's fingerprint
    shows: int  #: number of the first trial with that error


@dataclass(frozen=True)
class Summary:
    """A study at one moment; times are the storage's, in seconds since 1970."""

    study: StudyRecord
    now: float
    states: Mapping[State, int]  #: attempts by state
    settled: int  #: configurations whose outcome counts
    complete: int  #: of them, those trained to their end
    pruned: int  #: of them, those stopped early
    failed: int  #: of them, those that failed for good
    retries: int  #: attempts beyond each configuration's first
    epochs_trained: int
    epochs_saved: int  #: by stopping trials early
    front: Sequence[Attempt]  #: the best complete trial; of several objectives, those that no other dominates
    running: Sequence[Attempt]
    workers: Sequence[WorkerInfo]  #: those that are alive
    failures: Sequence[FailureGroup]
    seconds_left: float | None  #: at the pace so far; None while nothing is known
    left_range: tuple[float, float] | None = None  #: in which that lies, as the pace varies
    per_hour: float | None = None  #: configurations settled an hour, at the pace so far
    ended: Sequence[Attempt] = ()  #: attempts that have ended, the latest last; without withdrawn ones
    stops: Sequence[str] = ()  #: how far it is by each of its stopping rules, in words

    @property
    def best(self) -> Attempt | None:
        """The best complete trial, by the first objective."""
        return next(iter(self.front), None)

    @property
    def last_failure(self) -> Attempt | None:
        """The latest attempt that neither finished nor was pruned."""
        return next((one for one in reversed(self.ended) if one.reason not in _NO_FAILURES), None)

    @property
    def state(self) -> str:
        """In a word: finished, stopped, failed, paused, stopping, running, or waiting for workers."""
        if self.study.ending is not None:
            return str(self.study.ending)
        if self.study.control != "run":
            return {"pause": "paused", "stop": "stopping", "cancel": "stopping"}[self.study.control]
        return "running" if self.workers else "waiting for workers"


def summarize(storage: LedgerStorage, name: str) -> Summary:
    """Return where a study stands."""
    rows = storage.look(name)
    return summary_of(rows.study, rows.attempts, rows.workers, rows.now)


def summary_of(study: StudyRecord, attempts: Sequence[Attempt], workers: Sequence[WorkerInfo], now: float) -> Summary:
    """Return what rows read at this time say of a study."""
    grouped = by_configuration(attempts)
    settled = list(settlements(attempts, study.spec.max_attempts).values())
    ended = Counter(one.state for one in settled)
    pruned = [one for one in settled if one.reason is Reason.PRUNED]
    alive = [worker for worker in workers if worker.alive(now)]
    pace = _pace(settled)
    left = _seconds_left(study, settled, alive, now)
    return Summary(
        study=study,
        now=now,
        states=Counter(one.state for one in attempts),
        settled=len(settled),
        complete=ended[State.COMPLETE],
        pruned=ended[State.PRUNED],
        failed=ended[State.FAIL],
        retries=sum(max(sum(one.reason is not Reason.WITHDRAWN for one in mine) - 1, 0) for mine in grouped.values()),
        epochs_trained=epochs_trained(attempts),
        epochs_saved=sum(max(study.spec.attempt_epochs - one.epoch, 0) for one in pruned),
        front=front(attempts, study.spec.directions),
        running=[one for one in attempts if one.state is State.RUNNING],
        workers=alive,
        failures=_failures(attempts),
        seconds_left=left,
        left_range=_range(study, settled, left, pace),
        per_hour=3600 / pace[0] if pace is not None and alive else None,
        ended=sorted(
            (one for one in attempts if one.state.final and one.reason is not Reason.WITHDRAWN),
            key=lambda one: (one.ended_at or 0.0, one.number),
        ),
        stops=standing(study.spec, attempts, now=now, since=study.resumed_at),
    )


def _failures(attempts: Sequence[Attempt]) -> list[FailureGroup]:
    groups: dict[Reason, list[Attempt]] = {}
    for one in attempts:
        if one.state.final and one.reason not in _NO_FAILURES:
            assert one.reason is not None  # noqa: S101 - not among them
            groups.setdefault(one.reason, []).append(one)
    return [
        FailureGroup(
            reason=reason,
            attempts=len(mine),
            configurations=len({one.configuration for one in mine}),
            first=mine[0].number,
            last_error=mine[-1].error,
            shows=next(one.number for one in mine if one.error == mine[-1].error),
        )
        for reason, mine in sorted(groups.items(), key=lambda item: list(RULES).index(item[0]))
    ]


def _seconds_left(
    study: StudyRecord, settled: Sequence[Attempt], alive: Sequence[WorkerInfo], now: float
) -> float | None:
    left = study.budget - len(settled)
    if study.ending is not None or left <= 0:
        return 0.0
    pace = _pace(settled)
    if pace is None or not alive:
        return None
    # The pace of the last trials: it follows the number of workers, and skips pauses.
    latest = max(one.ended_at for one in settled if one.ended_at is not None)
    return max(left * pace[0] - (now - latest), 0.0)


def _pace(settled: Sequence[Attempt]) -> tuple[float, float] | None:
    """Return the mean seconds from one settled trial to the next, of the last twenty, and their standard deviation."""
    times = sorted(one.ended_at for one in settled if one.ended_at is not None)[-20:]
    if len(times) < 3:
        return None
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    mean = statistics.fmean(gaps)
    return (mean, statistics.stdev(gaps)) if mean else None


def _range(
    study: StudyRecord, settled: Sequence[Attempt], seconds: float | None, pace: tuple[float, float] | None
) -> tuple[float, float] | None:
    """Return the range in which the time left lies, nineteen times of twenty, if trials go on as the last ones."""
    left = study.budget - len(settled)
    if not seconds or pace is None:
        return None
    # Each of the gaps to come varies, and so does the mean that was seen of the last ones.
    seen = min(len(settled), 20) - 1
    reach = 2 * pace[1] * math.sqrt(left + left * left / seen)
    return max(seconds - reach, 0.0), seconds + reach
