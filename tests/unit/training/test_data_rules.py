"""What can be said against data in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tuner_service.training.data import Data
from tuner_service.training.data_rules import of_data

_dice = np.random.default_rng(0)
_X = _dice.normal(size=(300, 4)).astype("float32")
_Y = _dice.integers(0, 3, 300)
_OF_TWO = _dice.integers(0, 2, size=(300, 2)).astype("float32")


def _part(start: int, stop: int, x: Any = _X) -> Any:
    return x[start:stop], _Y[start:stop]


def _broken(value: float) -> Any:
    x = _X[:100].copy()
    x[7, 2] = value
    return x, _Y[:100]


_VALIDATION, _TEST = _part(100, 200), _part(200, 300)


@pytest.mark.parametrize(
    ("data", "rules"),
    [
        pytest.param(Data(_part(0, 100), _VALIDATION, _TEST), [], id="three parts"),
        pytest.param(Data.split(_X, _Y), [], id="split"),
        pytest.param(Data(_part(0, 100), _VALIDATION), [], id="no test part"),
        pytest.param(Data(({"a": _X[:100]}, _Y[:100]), ({"a": _X[100:]}, _Y[100:])), [], id="named inputs"),
        pytest.param(Data(([_X[:9], _X[9:18]], _Y[:9]), ([_X[18:27], _X[27:36]], _Y[9:18])), [], id="two inputs"),
        pytest.param(Data(range(9), range(9)), [], id="datasets of another kind"),
        pytest.param(
            Data(_part(0, 100, _OF_TWO), _part(100, 200, _OF_TWO), None), [], id="rows that repeat in each part"
        ),
        pytest.param(Data.split(_OF_TWO, _OF_TWO[:, 0]), [], id="so few kinds of rows that all are in each part"),
        pytest.param(Data(_part(0, 100), _TEST, _TEST), ["test-in-validation"], id="the test part is the validation"),
        pytest.param(
            Data(_part(0, 100), _TEST, tuple(np.copy(one) for one in _TEST)), ["test-in-validation"], id="as a copy"
        ),
        pytest.param(
            Data(_part(0, 100), _TEST, tuple(one[::-1] for one in _TEST)), ["test-in-validation"], id="shuffled"
        ),
        pytest.param(Data(_part(0, 300), _VALIDATION, None), ["validation-in-train"], id="validation on training data"),
        pytest.param(Data(_part(0, 110), _VALIDATION, _TEST), ["validation-in-train"], id="a tenth of the rows leaks"),
        pytest.param(Data(_part(0, 210), None, _TEST), ["test-in-train"], id="test rows are trained on"),
        pytest.param(Data(_broken(np.nan), _VALIDATION, _TEST), ["not-finite"], id="not a number"),
        pytest.param(Data(_broken(-np.inf), _VALIDATION, _TEST), ["not-finite"], id="infinite"),
    ],
)
def test_data_is_looked_through(data: Data, rules: list[str]) -> None:
    """Parts that share rows, and values that would make every trial diverge."""
    assert [one.rule for one in of_data(data, 3)] == rules


def test_a_finding_says_where_and_how_many() -> None:
    """The row of the first, and the line of load_data."""
    (finding,) = of_data(Data(_broken(np.nan), _VALIDATION), 3)
    assert "x of the train data has 1 values" in finding.message
    assert "in row 7" in finding.message
    (finding,) = of_data(Data(_part(0, 110), _VALIDATION), 3)
    assert finding.message.startswith("10.0% of the validation rows are in the train data too")
    assert finding.line == 3
