"""The study that stands beside another one, to say what its search was worth."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.records import make_spec, make_study
from tuner_service.domain.companion import baseline_of, is_companion
from tuner_service.domain.override import override
from tuner_service.domain.spec import parse_spec
from tuner_service.domain.study import CodeRecord, StudyRecord
from tuner_service.errors import SpecError


def _companion(study: StudyRecord, defaults: dict[str, Any] | None = None, **changes: Any) -> StudyRecord:
    spec = override(study.spec.model_dump(), baseline_of(study, defaults), changes)
    return make_study(spec=parse_spec(spec))


@pytest.mark.parametrize(
    "study",
    [
        pytest.param({"sampler": "tpe"}, id="a search"),
        pytest.param({"sampler": "random"}, id="random search"),
        pytest.param({"sampler": {"kind": "tpe", "seed": 7}}, id="a sampler with a seed"),
        pytest.param({"points": [{"units": 1}], "warm_start": ["before"]}, id="with known points"),
        pytest.param({"defaults_first": True}, id="that begins with the defaults itself"),
    ],
)
def test_a_companion_is_known(study: dict[str, Any]) -> None:
    """It draws at random, by a seed of its own, and begins with the defaults; its budget may be another."""
    one = make_study(spec=make_spec(**study))
    companion = _companion(one, {"units": 64}, trials=80)
    assert is_companion(one, companion)
    assert companion.name == "digits-baseline"
    assert companion.spec.sampler.kind == "random"
    assert companion.spec.sampler_seed != one.spec.sampler_seed
    assert (companion.spec.defaults_first, companion.spec.points) == (False, ({"units": 64},))
    assert companion.spec.warm_start == ()
    # Its folds, weights and batches are the study's.
    assert companion.spec.seed == one.spec.seed


def test_a_study_that_only_has_the_name_is_none() -> None:
    """Other epochs, or other code, and its trials do not mean the same."""
    one = make_study()
    assert not is_companion(one, _companion(one, max_epochs=30))
    assert not is_companion(one, dataclasses.replace(_companion(one), code=CodeRecord("digits.py", "f" * 16)))


def test_a_grid_has_none() -> None:
    """Random search finds nothing that all cells do not hold."""
    study = make_study(spec=make_spec(sampler="grid"))
    with pytest.raises(SpecError, match="every cell"):
        baseline_of(study)
    assert not is_companion(study, study)
