"""The search space of a study, as probing found it, and as trials have to keep to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)

from tuner_service.domain.attempt import Param
from tuner_service.errors import SpecError, StudyFileError, did_you_mean

#: What is recorded of a parameter whose range depends on other parameters.
DYNAMIC = "dynamic"


def merge(space: Mapping[str, str], drawn: Mapping[str, BaseDistribution]) -> dict[str, str]:
    """Return the space with the distributions of one more draw."""
    merged = dict(space)
    for name, distribution in drawn.items():
        text = distribution_to_json(distribution)
        merged[name] = text if merged.get(name, text) == text else DYNAMIC
    return merged


def check_point(space: Mapping[str, str], params: Mapping[str, Param], *, others: bool = False) -> None:
    """Raise ``SpecError`` where a point is not in the space, as far as probing found it.

    Args:
        space: As ``merge`` makes it.
        params: The point.
        others: There may be other parameters, such as those that a ``fit`` of the study's own asks for.
    """
    for name, value in params.items():
        if space and name not in space and not others:
            raise SpecError(
                f"the study has no parameter {name!r}, only {', '.join(sorted(space))}.{did_you_mean(name, space)}"
            )
        recorded = space.get(name, DYNAMIC)
        if recorded == DYNAMIC:
            continue
        distribution = json_to_distribution(recorded)
        if not contains(distribution, value):
            raise SpecError(f"{name}={value!r} is not in {distribution}")


def as_in_a_grid(distribution: BaseDistribution, value: Param) -> Param:
    """Return a value as a grid's cells have it: 0.3 for what samplers make of three steps of 0.1, 1.0 for 1."""
    if not isinstance(distribution, FloatDistribution) or not isinstance(value, int | float):
        return value
    if distribution.step is None:
        return float(value)
    steps = round((value - distribution.low) / distribution.step)
    return float(Decimal(str(distribution.low)) + steps * Decimal(str(distribution.step)))


def contains(distribution: BaseDistribution, value: Param) -> bool:
    """Return whether a value is in a distribution, and of its type."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return any(value == choice and type(value) is type(choice) for choice in choices)
        case IntDistribution(low=low, high=high, step=step):
            return type(value) is int and low <= value <= high and (value - low) % step == 0
        case FloatDistribution(low=low, high=high, step=step):
            if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
                return False
            # As Optuna rounds: 0.3 is a step of 0.1 although three of them are a little more.
            return step is None or abs((value - low) / step - round((value - low) / step)) < 1e-8
    return False


def check_kept(space: Mapping[str, str], name: str, distribution: BaseDistribution) -> None:
    """Raise ``StudyFileError`` where a parameter comes with another distribution than the study was created with."""
    recorded = space.get(name)
    if recorded in (None, DYNAMIC):
        return
    received = distribution_to_json(distribution)
    if json.loads(recorded) != json.loads(received):
        raise StudyFileError(
            f"parameter {name!r} is {json_to_distribution(recorded)} in this study, but was suggested as "
            f"{distribution}. Give the other range another name, or create a new study"
        )
