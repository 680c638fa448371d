"""The trial that a study's code sees."""

from __future__ import annotations

import pytest

from tuner_service.errors import StudyFileError
from tuner_service.training.remote_trial import check_choices


@pytest.mark.parametrize(
    "choices",
    [
        pytest.param(["relu", 1, 0.5, False, None], id="of several types"),
        pytest.param([1, 2, 1], id="one that is there twice"),
        pytest.param([True, 0], id="numbers and truth values that differ"),
    ],
)
def test_choices_that_come_back_as_they_were_are_accepted(choices: list[object]) -> None:
    """Text, numbers, truth values and nothing."""
    check_choices("p", choices)


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        pytest.param([True, 1], "True and 1, which are equal", id="a truth value and a number"),
        pytest.param([0, 2, 0.0], "0 and 0.0, which are equal", id="two kinds of zero"),
        pytest.param([(8, 4)], r"\(8, 4\), a tuple, which a database cannot keep", id="a tuple"),
    ],
)
def test_choices_that_would_come_back_as_others_are_refused(choices: list[object], said: str) -> None:
    """Optuna records the place of a choice in its list, and finds it by comparing: a retry would train the other."""
    with pytest.raises(StudyFileError, match=said):
        check_choices("p", choices)
