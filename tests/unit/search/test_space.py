"""The search space of a study."""

from __future__ import annotations

import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from tuner_service.errors import StudyFileError
from tuner_service.search.space import DYNAMIC, check_kept, merge

_UNITS, _RATE = IntDistribution(1, 9), FloatDistribution(1e-4, 1e-1, log=True)


def test_draws_add_to_the_space() -> None:
    """A parameter that one draw did not have is there all the same."""
    space = merge(merge({}, {"units": _UNITS}), {"units": _UNITS, "rate": _RATE})
    assert space == {"units": distribution_to_json(_UNITS), "rate": distribution_to_json(_RATE)}


def test_a_parameter_with_two_distributions_is_dynamic() -> None:
    """And stays so, whatever comes later."""
    space: dict[str, str] = {}
    for high in (9, 5, 9):
        space = merge(space, {"units": IntDistribution(1, high)})
    assert space == {"units": DYNAMIC}


def test_merging_changes_nothing_that_it_was_given() -> None:
    """The space before is as it was."""
    before = {"units": distribution_to_json(_UNITS)}
    merge(before, {"units": _RATE, "rate": _RATE})
    assert before == {"units": distribution_to_json(_UNITS)}


@pytest.mark.parametrize(
    ("recorded", "received"),
    [
        pytest.param({"units": distribution_to_json(_UNITS)}, _UNITS, id="the same"),
        pytest.param({"units": DYNAMIC}, _UNITS, id="one that depends on others"),
        pytest.param({}, _UNITS, id="one that probing did not find"),
        pytest.param(
            {"units": distribution_to_json(_UNITS).replace(" ", "")}, _UNITS, id="the same, written otherwise"
        ),
    ],
)
def test_a_parameter_that_is_as_recorded_passes(recorded: dict[str, str], received: BaseDistribution) -> None:
    """What probing found, could not find or found to vary is accepted."""
    check_kept(recorded, "units", received)


@pytest.mark.parametrize(
    "received",
    [
        pytest.param(IntDistribution(1, 10), id="another range"),
        pytest.param(IntDistribution(1, 9, log=True), id="another scale"),
        pytest.param(FloatDistribution(1, 9), id="another type"),
        pytest.param(CategoricalDistribution([1, 9]), id="choices"),
    ],
)
def test_a_parameter_that_has_changed_is_an_error_of_the_code(received: BaseDistribution) -> None:
    """Both distributions are shown, and what to do."""
    with pytest.raises(StudyFileError) as error:
        check_kept({"units": distribution_to_json(_UNITS)}, "units", received)
    assert str(error.value) == (
        f"parameter 'units' is {_UNITS} in this study, but was suggested as {received}. Give the other range another "
        "name, or create a new study"
    )
