"""Where a study stands."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.records import make_attempt, make_spec, make_study
from tuner_service.domain.attempt import Attempt, best_attempt
from tuner_service.domain.outcome import Reason, State
from tuner_service.domain.study import Control, Ending
from tuner_service.domain.worker import WorkerInfo
from tuner_service.results.summary import FailureGroup, Summary, summary_of

_NOW = 1000.0


def _worker(**fields: Any) -> WorkerInfo:
    return WorkerInfo("w1", 1, "host", 7, 1, **{"started_at": 0.0, "beat_at": _NOW - 1, "lease_s": 60.0, **fields})


def _summary(*attempts: Attempt, workers: tuple[WorkerInfo, ...] = (), **study: Any) -> Summary:
    return summary_of(make_study(**study), attempts, workers, _NOW)


def test_a_new_study_has_nothing_to_show() -> None:
    """No trial, no worker, no best."""
    summary = _summary()
    assert (summary.settled, summary.best, summary.retries, summary.seconds_left) == (0, None, 0, None)
    assert (summary.running, summary.failures, summary.workers) == ([], [], [])


def test_configurations_and_attempts_are_counted_apart() -> None:
    """What counts are configurations; retries and epochs are those of all attempts."""
    summary = _summary(
        make_attempt(0, 0, reason=Reason.INTERRUPTED, epoch=4),
        make_attempt(0, 1, reason=Reason.FINISHED, epoch=9, value=0.5),
        make_attempt(1, 0, reason=Reason.PRUNED, epoch=3, value=0.9),
        make_attempt(2, 0, reason=Reason.DIVERGED, epoch=1),
        make_attempt(3, 0, reason=Reason.ERROR),
        make_attempt(3, 1, reason=Reason.ERROR),
        make_attempt(4, 0, State.RUNNING, epoch=2),
        make_attempt(5, 0),
    )
    assert (summary.settled, summary.complete, summary.pruned, summary.failed) == (4, 1, 2, 1)
    assert (summary.retries, summary.epochs_trained, summary.epochs_saved) == (2, 19, 6)
    assert summary.states == {"FAIL": 3, "COMPLETE": 1, "PRUNED": 2, "RUNNING": 1, "WAITING": 1}
    assert [one.configuration for one in summary.running] == [4]


def test_failures_are_grouped_by_cause() -> None:
    """In the order of the table of outcomes, with the latest error and who had it first; others are no failures."""
    summary = _summary(
        make_attempt(0, 0, reason=Reason.ERROR, error="E: first", number=3),
        make_attempt(1, 0, reason=Reason.DIVERGED, number=4),
        make_attempt(0, 1, reason=Reason.ERROR, error="E: last", number=5),
        make_attempt(2, 0, reason=Reason.FINISHED, value=1.0, number=6),
        make_attempt(3, 0, reason=Reason.WITHDRAWN, number=7),
        make_attempt(4, 0, State.FAIL, number=8),
        make_attempt(5, 0, reason=Reason.ERROR, error="E: last", number=9),
    )
    assert summary.failures == [
        FailureGroup(Reason.DIVERGED, attempts=1, configurations=1, first=4, last_error=None, shows=4),
        FailureGroup(Reason.ERROR, attempts=3, configurations=2, first=3, last_error="E: last", shows=5),
    ]


@pytest.mark.parametrize(
    ("worker", "alive"),
    [
        pytest.param(_worker(), True, id="heard of"),
        pytest.param(_worker(beat_at=_NOW - 60), False, id="silent for its lease"),
        pytest.param(_worker(stopped=True), False, id="gone"),
    ],
)
def test_a_worker_is_alive_while_it_is_heard_of(worker: WorkerInfo, alive: bool) -> None:
    """Those that stopped or fell silent are not shown."""
    assert _summary(workers=(worker,)).workers == ([worker] if alive else [])


@pytest.mark.parametrize(
    ("study", "workers", "state"),
    [
        pytest.param({}, (), "waiting for workers", id="nobody works"),
        pytest.param({}, (_worker(),), "running", id="somebody works"),
        pytest.param({"control": Control.PAUSE}, (_worker(),), "paused", id="paused"),
        pytest.param({"control": Control.STOP}, (_worker(),), "stopping", id="stopping"),
        pytest.param({"control": Control.STOP, "ending": Ending.STOPPED}, (), "stopped", id="stopped"),
        pytest.param({"ending": Ending.FINISHED}, (_worker(),), "finished", id="finished"),
        pytest.param({"ending": Ending.FAILED}, (), "failed", id="failed"),
    ],
)
def test_a_study_has_a_word_for_where_it_stands(
    study: dict[str, Any], workers: tuple[WorkerInfo, ...], state: str
) -> None:
    """One word, or three, as people would say."""
    assert _summary(workers=workers, **study).state == state


@pytest.mark.parametrize(
    ("metric", "values", "best"),
    [
        pytest.param("val_accuracy", [0.1, 0.9, 0.5], 1, id="the largest"),
        pytest.param("val_loss", [0.1, 0.9, 0.5], 0, id="the smallest"),
        pytest.param("val_loss", [0.5, 0.5], 0, id="the earliest of equals"),
        pytest.param("val_loss", [math.nan, None, 0.5], 2, id="a number"),
        pytest.param("val_loss", [None], None, id="none without a value"),
    ],
)
def test_the_best_is_the_best_complete_one(metric: str, values: list[float | None], best: int | None) -> None:
    """A pruned trial's last value does not make it the best, be it ever so good."""
    rows = [make_attempt(number, reason=Reason.FINISHED, value=value) for number, value in enumerate(values)]
    pruned = make_attempt(9, reason=Reason.PRUNED, value=-1.0 if metric == "val_loss" else 2.0)
    found = best_attempt([pruned, *rows], make_spec(metric=metric).better)
    assert (None if found is None else found.configuration) == best


def _ended(*times: float) -> list[Attempt]:
    return [make_attempt(number, reason=Reason.FINISHED, value=0.5, ended_at=time) for number, time in enumerate(times)]


@pytest.mark.parametrize(
    ("times", "workers", "left"),
    [
        pytest.param([990.0, 1000.0], (_worker(),), None, id="too few to know"),
        pytest.param([980.0, 990.0, 1000.0], (), None, id="nobody works"),
        pytest.param([980.0, 990.0, 1000.0], (_worker(),), 70.0, id="at the pace so far"),
        pytest.param([974.0, 984.0, 994.0], (_worker(),), 64.0, id="less what has passed since"),
        pytest.param([100.0, 110.0, 120.0], (_worker(),), 0.0, id="never less than nothing"),
        pytest.param([1000.0, 1000.0, 1000.0], (_worker(),), None, id="all at once"),
        pytest.param([float(one) for one in range(991, 1001)], (_worker(),), 0.0, id="nothing is left"),
    ],
)
def test_the_time_that_is_left_follows_the_pace(
    times: list[float], workers: tuple[WorkerInfo, ...], left: float | None
) -> None:
    """Of a study of ten configurations."""
    assert _summary(*_ended(*times), workers=workers, budget=10).seconds_left == left


def test_a_study_that_has_ended_has_no_time_left() -> None:
    """Whatever of its budget is open."""
    assert _summary(ending=Ending.STOPPED).seconds_left == 0.0
