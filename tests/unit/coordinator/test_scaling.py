"""How many workers a study gets where their number may change."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from contextlib import closing

import pytest

from tests.records import make_attempt, make_new_study, make_study
from tuner_service.bootstrap import open_storage
from tuner_service.coordinator.scaling import ElasticPool, desired_workers, open_trials, scale
from tuner_service.domain.attempt import Attempt, NewAttempt
from tuner_service.domain.outcome import Reason, State
from tuner_service.domain.study import Control, Ending
from tuner_service.errors import ClusterError


def pool(**fields: int) -> ElasticPool:
    """Return a pool of 1 to 8 workers."""
    limits = {"workers": 1, "slots": 1, "minimum": 1, "maximum": 8, **fields}
    return ElasticPool("digits", "tuner-digits", **limits)


@pytest.mark.parametrize(
    ("wanted", "slots", "busy", "workers"),
    [
        pytest.param(5, 1, set(), 5, id="one a slot"),
        pytest.param(5, 2, set(), 3, id="with two slots each"),
        pytest.param(50, 1, set(), 8, id="never above the maximum"),
        pytest.param(0, 1, set(), 1, id="never below the minimum"),
        pytest.param(2, 1, {0, 5}, 6, id="none that trains is ended"),
        pytest.param(2, 1, {0, 1}, 2, id="idle ones are"),
    ],
)
def test_workers_follow_the_slots_that_are_wanted(wanted: int, slots: int, busy: set[int], workers: int) -> None:
    """Within the limits, and without ending a trial for it."""
    assert desired_workers(wanted, pool(slots=slots), busy) == workers


_RUNNING = make_attempt(0, state=State.RUNNING, owner="tuner-digits-0-abcde")
_DONE = make_attempt(1, reason=Reason.FINISHED)
_FAILED = make_attempt(2, reason=Reason.INTERRUPTED)


@pytest.mark.parametrize(
    ("control", "ending", "attempts", "number"),
    [
        pytest.param(Control.RUN, None, [], 4, id="the whole budget"),
        pytest.param(Control.RUN, None, [_RUNNING, _DONE, _FAILED], 3, id="what is not settled"),
        pytest.param(Control.PAUSE, None, [_RUNNING, _DONE], 1, id="paused: what runs"),
        pytest.param(Control.RUN, Ending.FINISHED, [_DONE], 0, id="ended: none"),
    ],
)
def test_open_trials_are_counted(control: Control, ending: Ending | None, attempts: list[Attempt], number: int) -> None:
    """Configurations, not rows: few rows wait at a time."""
    assert open_trials(make_study(control=control, ending=ending), attempts) == number


class Pools:
    """A scaler that notes what it is asked for, refuses some studies, or is away."""

    def __init__(self, *pools: ElasticPool, away: bool = False, refuses: Collection[str] = ()) -> None:
        self._pools, self._away, self._refuses = pools, away, refuses
        self.asked: dict[str, int] = {}

    def pools(self) -> Sequence[ElasticPool]:
        """Return those that it was made with."""
        if self._away:
            raise ClusterError("the cluster does not answer")
        return self._pools

    def resize(self, pool: ElasticPool, workers: int) -> None:
        """Note it."""
        if pool.study in self._refuses:
            raise ClusterError(f"the cluster refuses to change Job {pool.name}")
        self.asked[pool.study] = workers


def test_only_what_changes_is_asked_for(sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Studies that are unknown or have ended are left alone, and a cluster that is away is only a warning."""
    with closing(open_storage(sqlite_url)) as storage:
        storage.create_tables()
        study = storage.create_study(make_new_study(trials=6))
        storage.insert_attempts(study.study_id, [NewAttempt(0, 0)])
        other = ElasticPool("other", "tuner-other", 1, 1, 1, 8)

        scale(storage, larger := Pools(other, pool(workers=1)))
        assert larger.asked == {"digits": 6}
        scale(storage, same := Pools(pool(workers=6)))
        assert same.asked == {}
        assert storage.claim(study.study_id, "tuner-digits-7-abcde", lease_s=60, code=study.code.digest) is not None
        scale(storage, busy := Pools(pool(workers=6)))
        assert busy.asked == {"digits": 8}
        with caplog.at_level(logging.WARNING):
            scale(storage, Pools(away=True))
        assert "the cluster does not answer; trying again" in caplog.text
        storage.end_study(study.study_id, Ending.STOPPED)
        scale(storage, ended := Pools(pool(workers=6)))
        assert ended.asked == {}


def test_a_pool_that_is_refused_stands_in_no_others_way(sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """The others are scaled, and the refusal is a warning."""
    with closing(open_storage(sqlite_url)) as storage:
        storage.create_tables()
        storage.create_study(make_new_study(trials=6))
        storage.create_study(make_new_study(name="other", trials=3))
        other = ElasticPool("other", "tuner-other", 1, 1, 1, 8)
        with caplog.at_level(logging.WARNING):
            scale(storage, found := Pools(pool(), other, refuses=["digits"]))
        assert found.asked == {"other": 3}
        assert "refuses to change Job tuner-digits; trying again" in caplog.text


def test_a_trial_that_takes_two_gpus_takes_two_slots(sqlite_url: str) -> None:
    """A worker with two trains one such trial at a time."""
    with closing(open_storage(sqlite_url)) as storage:
        storage.create_tables()
        storage.create_study(make_new_study(trials=6, devices_per_trial=2))
        scale(storage, found := Pools(pool(slots=2)))
        assert found.asked == {"digits": 6}
