"""Parameters as Optuna keeps them: a number and the distribution as JSON, and attributes of their trial."""

from __future__ import annotations

import functools
import json
from typing import Any, cast

from tuner_service.domain.attempt import Param
from tuner_service.errors import StudyFileError

#: Where Optuna's ``enqueue_trial`` keeps the parameters of a trial that are not to be sampled.
FIXED_PARAMS = "fixed_params"
#: Where this service keeps which point a trial's parameters come from, for people.
SOURCE = "point"
#: What the name of a constraint follows in Optuna's system attributes (``optuna/study/_constrained_optimization.py``).
CONSTRAINT = "constraints:"


def is_sampler_note(key: str) -> bool:
    """Return whether a system attribute of a trial is its sampler's, the generation it belongs to for instance."""
    return key != FIXED_PARAMS and not key.startswith((CONSTRAINT, "tuner:"))


def check_compatible(name: str, before: str, now: str) -> None:
    """Raise ``StudyFileError`` where two distributions of one name, as JSON, cannot stand in one Optuna study."""
    from optuna.distributions import check_distribution_compatibility, json_to_distribution

    old, new = json_to_distribution(before), json_to_distribution(now)
    try:
        check_distribution_compatibility(old, new)
    except ValueError:
        raise StudyFileError(
            f"parameter {name!r} was {old} in another trial and is {new} now, which Optuna cannot keep under one name. "
            "Give it another name where its choices, its type or its scale differ"
        ) from None


def decode(distribution_json: str, value: float) -> Param:
    """Return the value that was suggested.

    Source: ``to_external_repr`` of the three classes in Optuna's ``distributions.py``, written again here because
    importing Optuna takes longer than reading a study.
    """
    distribution = _parsed(distribution_json)
    match distribution["name"]:
        case "CategoricalDistribution":
            return cast(Param, distribution["attributes"]["choices"][int(value)])
        case "IntDistribution":
            return int(value)
    return value


@functools.lru_cache(maxsize=1024)
def _parsed(distribution_json: str) -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(distribution_json))
