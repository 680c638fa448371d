"""The companion of a study, which says what its search was worth: the same by random search, and the defaults first."""

from __future__ import annotations

from collections.abc import Mapping

from tuner_service.domain.attempt import Param
from tuner_service.domain.override import override
from tuner_service.domain.revision import meaning
from tuner_service.domain.sampler import is_exhaustive
from tuner_service.domain.spec import parse_spec
from tuner_service.domain.study import StudyRecord
from tuner_service.errors import SpecError


def companion_name(study: str) -> str:
    """Return the name of a study's companion."""
    return f"{study}-baseline"


def baseline_of(study: StudyRecord, defaults: Mapping[str, Param] | None = None) -> dict[str, object]:
    """Return the changes of a study's specification that make its companion.

    Args:
        study: The study.
        defaults: What its parameters are where nothing is known, if its code says; its companion tries them first.

    Raises:
        SpecError: If the study tries every cell of its search space.
    """
    if is_exhaustive(study.spec.sampler):
        raise SpecError(f"{study.name} tries every cell of its search space: random search finds nothing else there")
    # Draws of its own: those with which the study's sampler begins are random too, and would be the same.
    sampler = {"kind": "random", "seed": study.spec.sampler_seed + 1}
    points = [] if defaults is None else [dict(defaults)]
    begin = {"defaults_first": False, "points": points, "warm_start": ()}
    return {"name": companion_name(study.name), "sampler": sampler, **begin}


def is_companion(study: StudyRecord, other: StudyRecord) -> bool:
    """Return whether trials of the other mean the same, so that they can stand beside those of the study.

    A study of the companion's name may have been made by hand, or of the file as it was before a change.
    """
    if is_exhaustive(study.spec.sampler) or study.code.digest != other.code.digest:
        return False
    changes = baseline_of(study) | {"points": other.spec.points}
    return meaning(parse_spec(override(study.spec.model_dump(), changes))) == meaning(other.spec)
