"""A parameter's value as Optuna's tables hold it: a number, and the distribution as JSON."""

from __future__ import annotations

import functools
import json
from typing import Any, cast

from tuner_service.domain.attempt import Param


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
