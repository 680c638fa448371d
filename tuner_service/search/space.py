"""The search space of a study, as probing found it, and as trials have to keep to it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution

from tuner_service.errors import StudyFileError

#: What is recorded of a parameter whose range depends on other parameters.
DYNAMIC = "dynamic"


def merge(space: Mapping[str, str], drawn: Mapping[str, BaseDistribution]) -> dict[str, str]:
    """Return the space with the distributions of one more draw."""
    merged = dict(space)
    for name, distribution in drawn.items():
        text = distribution_to_json(distribution)
        merged[name] = text if merged.get(name, text) == text else DYNAMIC
    return merged


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
