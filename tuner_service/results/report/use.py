"""When the slots of a study's workers trained, and when they waited."""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tuner_service.domain.outcome import RULES, Counts, State
from tuner_service.domain.trial import Trial
from tuner_service.domain.worker import WorkerInfo


@dataclass(frozen=True)
class Bar:
    """A trial on the time line; times in seconds since 1970."""

    trial: Trial
    lane: str  #: worker and slot
    begin: float
    end: float

    @property
    def how(self) -> str:
        """How it ended, in the words of the time line; ``not counted`` is what is as if it had not been."""
        attempt = self.trial.attempt
        if attempt.reason is not None and RULES[attempt.reason].counts is Counts.NEVER:
            return "not counted"
        return "failed" if attempt.state is State.FAIL else str(attempt.state).lower()


@dataclass(frozen=True)
class WorkerUse:
    """What one worker did."""

    worker: str
    host: str
    slots: int | None
    trials: int
    complete: int
    epochs: int
    busy: float | None  #: share of its slots' time that trials took
    epoch_s: float | None  #: median seconds an epoch


@dataclass(frozen=True)
class Use:
    """The slots of a study over time."""

    bars: Sequence[Bar]
    workers: Sequence[WorkerUse]
    running: Sequence[tuple[float, int]]  #: from when on, how many trials
    slots: Sequence[tuple[float, int]]  #: from when on, how many slots
    busy: float | None  #: share of all slots' time that trials took


def use_of(trials: Sequence[Trial], workers: Sequence[WorkerInfo], now: float) -> Use:
    """Return how the slots were used."""
    known = {one.worker_id: one for one in workers}
    bars = _bars(trials, now)
    mine: dict[str, list[Bar]] = {}
    for bar in bars:
        mine.setdefault(bar.trial.attempt.owner or "unknown", []).append(bar)
    there = {name: _presence(known[name], now) for name in known}
    offered = sum((end - begin) * known[name].slots for name, (begin, end) in there.items())
    taken = sum(bar.end - bar.begin for bar in bars if bar.trial.attempt.owner in known)
    return Use(
        bars=bars,
        workers=[_worker_use(name, mine[name], known.get(name), there.get(name)) for name in sorted(mine)],
        running=_steps((bar.begin, bar.end, 1) for bar in bars),
        slots=_steps((begin, end, known[name].slots) for name, (begin, end) in there.items()),
        busy=min(taken / offered, 1.0) if offered > 0 else None,
    )


def _bars(trials: Iterable[Trial], now: float) -> list[Bar]:
    """Return a bar for each trial, on the lowest lane of its worker that is free."""
    bars: list[Bar] = []
    free: dict[str, list[int]] = {}
    running: dict[str, list[tuple[float, int]]] = {}
    lanes: dict[str, int] = {}
    for one in sorted(trials, key=lambda one: one.started_at or 0.0):
        begin, owner = one.started_at, one.attempt.owner or "unknown"
        if begin is None:
            continue
        end = max(one.attempt.ended_at or now, begin)
        mine, idle = running.setdefault(owner, []), free.setdefault(owner, [])
        while mine and mine[0][0] <= begin:
            heapq.heappush(idle, heapq.heappop(mine)[1])
        if not idle:
            lanes[owner] = lanes.get(owner, 0) + 1
            heapq.heappush(idle, lanes[owner])
        lane = heapq.heappop(idle)
        heapq.heappush(mine, (end, lane))
        bars.append(Bar(one, f"{owner} #{lane}", begin, end))
    return bars


def _presence(worker: WorkerInfo, now: float) -> tuple[float, float]:
    """Return from when to when a worker was there."""
    return worker.started_at, max(now if worker.alive(now) else worker.beat_at, worker.started_at)


def _worker_use(
    name: str, bars: Sequence[Bar], worker: WorkerInfo | None, there: tuple[float, float] | None
) -> WorkerUse:
    times = [seconds for bar in bars if (seconds := bar.trial.epoch_seconds) is not None]
    offered = 0.0 if worker is None or there is None else (there[1] - there[0]) * worker.slots
    return WorkerUse(
        worker=name,
        host="" if worker is None else worker.host,
        slots=None if worker is None else worker.slots,
        trials=len(bars),
        complete=sum(bar.trial.attempt.state is State.COMPLETE for bar in bars),
        epochs=sum(bar.trial.attempt.own_epochs for bar in bars),
        busy=min(sum(bar.end - bar.begin for bar in bars) / offered, 1.0) if offered > 0 else None,
        epoch_s=statistics.median(times) if times else None,
    )


def _steps(spans: Iterable[tuple[float, float, int]]) -> list[tuple[float, int]]:
    changes: dict[float, int] = {}
    for begin, end, number in spans:
        changes[begin] = changes.get(begin, 0) + number
        changes[end] = changes.get(end, 0) - number
    steps, level = [], 0
    for at in sorted(changes):
        level += changes[at]
        steps.append((at, level))
    return steps
