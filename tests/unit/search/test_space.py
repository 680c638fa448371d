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

from tuner_service.domain.attempt import Param
from tuner_service.errors import SpecError, StudyFileError
from tuner_service.search.space import DYNAMIC, check_kept, check_point, merge

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


_SPACE = {
    **merge(
        {},
        {
            "units": IntDistribution(2, 10, step=2),
            "rate": _RATE,
            "share": FloatDistribution(0.0, 0.5, step=0.1),
            "kind": CategoricalDistribution(["relu", 1, None, True]),
        },
    ),
    "depth": DYNAMIC,
}


@pytest.mark.parametrize(
    "point",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"units": 2, "rate": 1e-4, "share": 0.0}, id="lowest"),
        pytest.param({"units": 10, "rate": 0.1, "share": 0.5}, id="highest"),
        pytest.param({"share": 0.3}, id="a step that is not exact in binary"),
        pytest.param({"share": 0}, id="a whole number for one with a point"),
        *(pytest.param({"kind": choice}, id=f"choice {choice!r}") for choice in ("relu", 1, None, True)),
        pytest.param({"depth": 10**6}, id="one whose range depends on others"),
    ],
)
def test_a_point_of_the_space_passes(point: dict[str, Param]) -> None:
    """As far as probing found its ranges."""
    check_point(_SPACE, point)


@pytest.mark.parametrize(
    "point",
    [
        pytest.param({"units": 12}, id="too large"),
        pytest.param({"units": 0}, id="too small"),
        pytest.param({"units": 3}, id="between two steps"),
        pytest.param({"units": 4.0}, id="no whole number"),
        pytest.param({"units": True}, id="a truth value for a number"),
        pytest.param({"units": "4"}, id="a text for a number"),
        pytest.param({"units": None}, id="nothing for a number"),
        pytest.param({"rate": 0.2}, id="a rate too large"),
        pytest.param({"rate": float("nan")}, id="not a number"),
        pytest.param({"rate": "0.01"}, id="a text for a rate"),
        pytest.param({"rate": True}, id="a truth value for a rate"),
        pytest.param({"share": 0.25}, id="a share between two steps"),
        pytest.param({"kind": "tanh"}, id="another choice"),
        pytest.param({"kind": 1.0}, id="a choice of another type"),
        pytest.param({"kind": False}, id="the other truth value"),
    ],
)
def test_a_point_outside_the_space_is_refused(point: dict[str, Param]) -> None:
    """The value and the range are named."""
    ((name, value),) = point.items()
    with pytest.raises(SpecError) as error:
        check_point(_SPACE, point)
    assert str(error.value).startswith(f"{name}={value!r} is not in ")


def test_a_name_that_is_not_in_the_space_is_refused() -> None:
    """Those that are, are named, and the nearest one."""
    with pytest.raises(SpecError) as error:
        check_point({"units": DYNAMIC, "rate": DYNAMIC}, {"unit": 3})
    assert str(error.value) == "the study has no parameter 'unit', only rate, units. Did you mean 'units'?"


def test_where_probing_found_nothing_every_point_passes() -> None:
    """An objective's space is known once trials have drawn from it."""
    check_point({}, {"anything": 3})
