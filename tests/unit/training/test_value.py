"""What an objective returned, as a number."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tuner_service.errors import StudyFileError
from tuner_service.training.value import number, numbers


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(0.5, 0.5, id="a number"),
        pytest.param(3, 3.0, id="a whole number"),
        pytest.param(np.float32(0.5), 0.5, id="NumPy's"),
        pytest.param(np.array(0.5), 0.5, id="an array without dimensions"),
        pytest.param(np.array([[0.5]]), 0.5, id="one in an array"),
        pytest.param(Fraction(1, 2), 0.5, id="anything that is one"),
        pytest.param(math.inf, math.inf, id="infinity is for others to judge"),
    ],
)
def test_a_number_is_a_number(value: Any, expected: float) -> None:
    """However it is wrapped."""
    result = number(value)
    assert (result, type(result)) == (expected, float)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="nothing"),
        pytest.param("0.5", id="a text that looks like one"),
        pytest.param(True, id="a truth value"),
        pytest.param(np.array([0.5, 0.6]), id="two in an array"),
        pytest.param([0.5], id="a list"),
        pytest.param(0.5 + 0j, id="a complex number"),
        pytest.param(10**400, id="too large for a float"),
        pytest.param({"loss": 0.5}, id="metrics"),
    ],
)
def test_what_is_no_number_is_an_error_of_the_study(value: Any) -> None:
    """The value, shortened, and its type are shown."""
    with pytest.raises(StudyFileError, match="the objective's value must be a number, got") as error:
        number(value)
    assert str(error.value).endswith(f"a {type(value).__name__}")
    assert len(str(error.value)) < 150


@pytest.mark.parametrize("value", [(0.5, 2), [0.5, 2], np.array([0.5, 2])], ids=["a tuple", "a list", "an array"])
def test_several_values_are_as_many_numbers(value: Any) -> None:
    """In whatever they come."""
    assert numbers(value, 2) == (0.5, 2.0)


@pytest.mark.parametrize(
    ("value", "count", "message"),
    [
        pytest.param(0.5, 2, "must return 2 values, one for each metric, got 0.5", id="one for two"),
        pytest.param("ab", 2, "must return 2 values, one for each metric, got 'ab'", id="a text"),
        pytest.param((1, 2, 3), 2, "returned 3 values, and the study has 2 metrics", id="three for two"),
        pytest.param((1, 2), 1, "must be a number, got", id="two for one"),
        pytest.param((1, None), 2, "must be a number, got None", id="nothing among them"),
    ],
)
def test_another_number_of_values_is_refused(value: Any, count: int, message: str) -> None:
    """With both numbers."""
    with pytest.raises(StudyFileError, match=message):
        numbers(value, count)
