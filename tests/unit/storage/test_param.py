"""Parameters as Optuna's tables hold them."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from tuner_service.storage.param import decode


@pytest.mark.parametrize(
    ("distribution", "value"),
    [
        pytest.param(FloatDistribution(0, 1), 0.1, id="a float"),
        pytest.param(FloatDistribution(1e-5, 1e-1, log=True), 3e-4, id="a float on a log scale"),
        pytest.param(FloatDistribution(0, 1, step=0.25), 0.75, id="a float in steps"),
        pytest.param(IntDistribution(1, 9), 7, id="an integer"),
        pytest.param(IntDistribution(16, 512, log=True), 128, id="an integer on a log scale"),
        pytest.param(IntDistribution(0, 2**53, step=2), 2**53, id="the largest integer that a number holds"),
        pytest.param(CategoricalDistribution(["relu", "tanh"]), "tanh", id="a word"),
        pytest.param(CategoricalDistribution([None, True, 3, 0.5]), None, id="none"),
        pytest.param(CategoricalDistribution([None, True, 3, 0.5]), True, id="a truth value"),
        pytest.param(CategoricalDistribution([None, True, 3, 0.5]), 0.5, id="a number among others"),
    ],
)
def test_a_parameter_is_read_as_optuna_reads_it(distribution: BaseDistribution, value: Any) -> None:
    """The value and its type are those of Optuna's own ``to_external_repr``."""
    inside = float(distribution.to_internal_repr(value))
    read = decode(distribution_to_json(distribution), inside)
    assert (read, type(read)) == (value, type(value))
    assert (read, type(read)) == (distribution.to_external_repr(inside), type(distribution.to_external_repr(inside)))
