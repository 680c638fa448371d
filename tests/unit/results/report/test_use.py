"""When slots trained."""

from __future__ import annotations

import pytest

from tests.records import make_attempt
from tuner_service.domain.outcome import Reason, State
from tuner_service.domain.trial import Trial
from tuner_service.domain.worker import WorkerInfo
from tuner_service.results.report.use import use_of


def _trial(number: int, begin: float, end: float | None, owner: str = "w1") -> Trial:
    state, reason = (State.RUNNING, None) if end is None else (None, Reason.FINISHED)
    attempt = make_attempt(
        number, 0, state, reason=reason, number=number, owner=owner, claimed_at=begin, ended_at=end, epoch=10
    )
    return Trial(attempt, started_at=begin)


def _worker(name: str = "w1", *, slots: int = 2) -> WorkerInfo:
    return WorkerInfo(name, 1, "host", 7, slots, started_at=0.0, beat_at=100.0, lease_s=60.0, stopped=True)


def test_trials_at_a_time_lie_in_lanes() -> None:
    """Two at once have a lane each; the next one takes the lane that is free."""
    use = use_of([_trial(0, 0, 50), _trial(1, 10, 30), _trial(2, 30, 60)], [_worker()], now=100.0)
    assert [bar.lane for bar in use.bars] == ["w1 #1", "w1 #2", "w1 #2"]


def test_running_trials_reach_until_now() -> None:
    """A bar that has not ended ends at the time of reading."""
    (bar,) = use_of([_trial(0, 40, None)], [_worker()], now=100.0).bars
    assert (bar.begin, bar.end) == (40, 100)


@pytest.mark.parametrize(
    ("reason", "how"),
    [
        pytest.param(Reason.FINISHED, "complete", id="finished"),
        pytest.param(Reason.DIVERGED, "pruned", id="NaN"),
        pytest.param(Reason.ERROR, "failed", id="an error"),
        pytest.param(Reason.INTERRUPTED, "not counted", id="a lost worker"),
        pytest.param(None, "running", id="still running"),
    ],
)
def test_a_bar_says_how_its_trial_ended(reason: Reason | None, how: str) -> None:
    """A trial whose worker was lost is run again, so that it has not failed."""
    state = State.RUNNING if reason is None else None
    attempt = make_attempt(0, 0, state, reason=reason, owner="w1", claimed_at=0.0, ended_at=9.0)
    assert use_of([Trial(attempt, started_at=0.0)], [_worker()], now=10.0).bars[0].how == how


def test_share_of_the_slots_time() -> None:
    """Half of two slots' hundred seconds."""
    use = use_of([_trial(0, 0, 100)], [_worker()], now=100.0)
    (worker,) = use.workers
    assert use.busy == worker.busy == pytest.approx(0.5)
    assert worker.epoch_s == 10.0
    assert use.slots == [(0.0, 2), (100.0, 0)]
    assert use.running == [(0, 1), (100, 0)]


def test_a_worker_that_is_not_known_has_trials_all_the_same() -> None:
    """What the storage has forgotten, or never knew, is left open."""
    (worker,) = use_of([_trial(0, 0, 100, owner="gone")], [], now=100.0).workers
    assert (worker.slots, worker.busy, worker.trials) == (None, None, 1)
