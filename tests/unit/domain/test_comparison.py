"""Which of two studies found something better."""

from __future__ import annotations

import random

import pytest
from scipy import stats

from tuner_service.domain.comparison import gain_of_runs, gain_of_search


def _values(mean: float, many: int = 40, seed: int = 0) -> list[float | None]:
    draw = random.Random(f"{seed}/{mean}")
    return [draw.gauss(mean, 0.1) for _ in range(many)]


def test_a_clear_difference_is_decided() -> None:
    """The interval lies on the side of the better study, whichever way is better."""
    up = gain_of_search(_values(0.9), _values(0.3), "maximize")
    assert up is not None
    assert up.decided
    assert 0.3 < up.low <= up.gain <= up.high < 0.9
    down = gain_of_search(_values(0.9), _values(0.3), "minimize")
    assert down is not None
    assert down.high < 0


def test_studies_of_one_kind_are_not_told_apart() -> None:
    """Of 40 pairs of equal studies few are decided."""
    gains = [gain_of_search(_values(0.5, seed=seed), _values(0.5, seed=1000 + seed), "maximize") for seed in range(40)]
    assert sum(one is not None and one.decided for one in gains) <= 4


def test_the_best_of_some_trials_is_drawn_as_it_is_said() -> None:
    """The quick draw of the best is that of drawing half as many trials and taking their best."""
    mine, theirs = _values(0.5, 30), _values(0.45, 20)
    draw = random.Random(1)
    slow = sorted(max(draw.choices(mine, k=10)) - max(draw.choices(theirs, k=10)) for _ in range(4000))  # type: ignore[operator, type-var]
    found = gain_of_search(mine, theirs, "maximize")
    assert found is not None
    assert found.of == "the best of 10 trials"
    assert found.gain == pytest.approx(slow[2000], abs=0.01)
    assert (found.low, found.high) == pytest.approx((slow[100], slow[3900]), abs=0.03)


def test_trials_that_did_not_finish_count_as_the_worst() -> None:
    """A study that finishes one of forty is worse than one that finishes all with the same values."""
    failing: list[float | None] = [0.5] + [None] * 39
    found = gain_of_search([0.5] * 40, failing, "maximize")
    assert found is not None
    assert (found.low, found.high) == (0.0, float("inf"))
    neither = gain_of_search([None] * 10, [None] * 10, "maximize")
    assert neither is not None
    assert (neither.low, neither.gain, neither.high) == (0, 0, 0)


def test_few_trials_or_runs_say_nothing() -> None:
    """Then there is no interval."""
    assert gain_of_search([0.5] * 9, [0.1] * 99, "maximize") is None
    assert gain_of_runs([0.5, 0.6], [0.1, 0.2, 0.3], "maximize") is None


@pytest.mark.parametrize("direction", [pytest.param("maximize", id="larger"), pytest.param("minimize", id="smaller")])
def test_runs_are_compared_by_welchs_t(direction: str) -> None:
    """As SciPy does it."""
    mine, theirs = [0.91, 0.93, 0.92, 0.9], [0.88, 0.93, 0.84]
    found = gain_of_runs(mine, theirs, direction)  # type: ignore[arg-type]
    expected = stats.ttest_ind(mine, theirs, equal_var=False).confidence_interval()
    assert found is not None
    ends = (expected.low, expected.high) if direction == "maximize" else (-expected.high, -expected.low)
    assert (found.low, found.high) == pytest.approx(ends)


def test_runs_without_spread_have_no_interval() -> None:
    """Equal runs are as they are."""
    found = gain_of_runs([0.5] * 3, [0.4] * 3, "maximize")
    assert found is not None
    assert found.decided
