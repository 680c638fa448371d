"""Where a study stands, in numbers, from one look at its rows."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tuner_service.domain.attempt import Attempt, by_configuration, settled_by
from tuner_service.domain.ending import epochs_trained, standing
from tuner_service.domain.front import front
from tuner_service.domain.outcome import RULES, Reason, State
from tuner_service.domain.study import StudyRecord
from tuner_service.domain.worker import WorkerInfo
from tuner_service.storage.ledger_storage import LedgerStorage


@dataclass(frozen=True)
class FailureGroup:
    """Attempts that did not finish for one cause."""

    reason: Reason
    attempts: int
    configurations: int
    first: int  #: number of the first trial of the group
    last_error: str | None  #: the latest error's fingerprint


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
    stops: Sequence[str] = ()  #: how far it is by each of its stopping rules, in words

    @property
    def best(self) -> Attempt | None:
        """The best complete trial, by the first objective."""
        return next(iter(self.front), None)

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
    study = storage.study(name)
    return summary_of(study, storage.attempts(study.study_id), storage.workers(study.study_id), storage.now())


def summary_of(study: StudyRecord, attempts: Sequence[Attempt], workers: Sequence[WorkerInfo], now: float) -> Summary:
    """Return what rows read at this time say of a study."""
    grouped = by_configuration(attempts)
    decisive = [settled_by(mine, study.spec.max_attempts) for mine in grouped.values()]
    settled = [one for one in decisive if one is not None]
    ended = Counter(one.state for one in settled)
    pruned = [one for one in settled if one.reason is Reason.PRUNED]
    alive = [worker for worker in workers if worker.alive(now)]
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
        seconds_left=_seconds_left(study, settled, alive, now),
        stops=standing(study.spec, attempts, now=now, since=study.resumed_at),
    )


def _failures(attempts: Sequence[Attempt]) -> list[FailureGroup]:
    groups: dict[Reason, list[Attempt]] = {}
    for one in attempts:
        if one.state.final and one.reason not in (None, Reason.FINISHED, Reason.PRUNED, Reason.WITHDRAWN):
            assert one.reason is not None  # noqa: S101 - not in the tuple above
            groups.setdefault(one.reason, []).append(one)
    return [
        FailureGroup(
            reason=reason,
            attempts=len(mine),
            configurations=len({one.configuration for one in mine}),
            first=mine[0].number,
            last_error=mine[-1].error,
        )
        for reason, mine in sorted(groups.items(), key=lambda item: list(RULES).index(item[0]))
    ]


def _seconds_left(
    study: StudyRecord, settled: Sequence[Attempt], alive: Sequence[WorkerInfo], now: float
) -> float | None:
    left = study.budget - len(settled)
    if study.ending is not None or left <= 0:
        return 0.0
    times = sorted(one.ended_at for one in settled if one.ended_at is not None)
    if len(times) < 3 or not alive:
        return None
    # The pace of the last trials: it follows the number of workers, and skips pauses.
    recent = times[-20:]
    pace = statistics.fmean(later - earlier for earlier, later in itertools.pairwise(recent))
    return max(left * pace - (now - recent[-1]), 0.0) if pace else None
