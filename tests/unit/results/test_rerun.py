"""A trial that was trained again, compared with what was recorded."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from tests.records import make_attempt, make_spec, make_study
from tuner_service.domain.outcome import Reason
from tuner_service.domain.trial import Trial
from tuner_service.results.rerun import Rerun, compared
from tuner_service.results.trials import Curve
from tuner_service.training.assignment import Result

_CURVE = {"loss": [0.5, 0.4, math.nan], "val_loss": [0.6, 0.5, 0.4]}


def _rerun(
    value: float = 0.4, now: Sequence[Curve] = (_CURVE,), reason: Reason = Reason.FINISHED, runs: int = 1
) -> Rerun:
    study = make_study(spec=make_spec(metric=["val_loss", "latency_s"]))
    trial = Trial(make_attempt(reason=Reason.FINISHED, value=0.4, others=(0.001,)))
    result = Result(reason, value, (0.002,))
    figures = list(compared(study, trial, result, [_CURVE] * runs, now))
    return Rerun(trial, result, len(figures), [one for one in figures if one.differs], [])


def test_the_same_figures_are_identical() -> None:
    """NaN is itself, and how long a prediction takes is left out."""
    again = _rerun()
    assert (again.identical, again.metrics, again.differences) == (True, 3, [])


def test_another_value_differs() -> None:
    """However little."""
    again = _rerun(value=math.nextafter(0.4, 1))
    assert not again.identical
    assert [one.name for one in again.differences] == ["val_loss"]


def test_another_ending_differs() -> None:
    """Whatever the figures."""
    assert not _rerun(reason=Reason.PRUNED).identical


@pytest.mark.parametrize(
    ("series", "name", "epoch", "most"),
    [
        pytest.param([0.6, 0.51, 0.3], "val_loss of run 2", 2, 0.1, id="from some epoch on"),
        pytest.param([0.6, 0.5], "epochs of val_loss of run 2", 3, 0.0, id="fewer epochs"),
        pytest.param([], "epochs of val_loss of run 2", 1, 0.0, id="none"),
    ],
)
def test_a_curve_that_differs_is_named(series: list[float], name: str, epoch: int, most: float) -> None:
    """With its run, the first epoch and the largest difference."""
    (found,) = _rerun(now=[_CURVE, {**_CURVE, "val_loss": series}], runs=2).differences
    assert (found.name, found.epoch) == (name, epoch)
    assert found.most == pytest.approx(most)
