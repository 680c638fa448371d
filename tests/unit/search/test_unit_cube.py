"""Shares between 0 and 1 for parameters, and back."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from tuner_service.search.space import as_in_a_grid, contains
from tuner_service.search.unit_cube import from_unit, to_unit

_DISTRIBUTIONS = [
    pytest.param(FloatDistribution(-1.0, 3.0), id="float"),
    pytest.param(FloatDistribution(1e-5, 1e-1, log=True), id="float, log"),
    pytest.param(FloatDistribution(0.0, 0.5, step=0.1), id="float, steps"),
    pytest.param(IntDistribution(1, 9), id="int"),
    pytest.param(IntDistribution(32, 256, step=32), id="int, steps"),
    pytest.param(IntDistribution(1, 1024, log=True), id="int, log"),
    pytest.param(CategoricalDistribution(["a", "b", None]), id="choices"),
]


@pytest.mark.parametrize("distribution", _DISTRIBUTIONS)
@given(share=st.floats(0.0, 1.0))
def test_every_share_is_a_value_of_the_distribution(distribution: BaseDistribution, share: float) -> None:
    """And, of a number, the value's own share leads to it again."""
    value = as_in_a_grid(distribution, from_unit(distribution, share))
    assert contains(distribution, value)
    if isinstance(value, int | float):
        assert from_unit(distribution, to_unit(distribution, value)) == pytest.approx(value)
        assert 0.0 <= to_unit(distribution, value) <= 1.0


@pytest.mark.parametrize(
    "distribution",
    [
        pytest.param(IntDistribution(1, 5), id="whole numbers"),
        pytest.param(FloatDistribution(0.0, 0.4, step=0.1), id="steps"),
        pytest.param(CategoricalDistribution([1, 2, 3, 4, 5]), id="choices"),
    ],
)
def test_each_value_has_the_same_width(distribution: BaseDistribution) -> None:
    """The first and the last as much as those between."""
    counts = Counter(from_unit(distribution, (number + 0.5) / 1000) for number in range(1000))
    assert set(counts.values()) == {200}
