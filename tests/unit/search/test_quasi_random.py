"""Low-discrepancy sequences without state."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.stats import qmc

from tuner_service.domain.sampler import QuasiRandom
from tuner_service.search.sampler import make_sampler
from tuner_service.search.space import DYNAMIC, merge

_DISTRIBUTIONS: dict[str, BaseDistribution] = {
    "x": FloatDistribution(0.0, 1.0),
    "y": FloatDistribution(0.0, 1.0),
    "kind": CategoricalDistribution(["a", "b", "c", "d"]),
}
_SPACE = merge({}, _DISTRIBUTIONS)


def _draw(configuration: int, *, seed: int = 0, sequence: str = "sobol", space: Any = _SPACE) -> dict[str, Any]:
    spec = QuasiRandom.model_validate({"sequence": sequence})
    sampler = make_sampler(spec, seed=seed, configuration=configuration, space=space)
    return optuna.create_study(sampler=sampler).ask(_DISTRIBUTIONS).params


@pytest.mark.parametrize("sequence", ["sobol", "halton"])
def test_configurations_are_the_points_of_one_sequence(sequence: str) -> None:
    """Each worker finds its point without asking what the others have drawn."""
    engine = {"sobol": qmc.Sobol, "halton": qmc.Halton}[sequence](3, scramble=True, rng=7)
    # In the order of the names: kind, x, y.
    expected = [tuple(point[1:]) for point in engine.random(8)]
    drawn = [_draw(configuration, seed=7, sequence=sequence) for configuration in range(8)]
    assert [(one["x"], one["y"]) for one in drawn] == expected
    assert _draw(5, seed=8, sequence=sequence) != drawn[5]


def test_the_space_is_covered_evenly() -> None:
    """Of 16 points each sixteenth of the square has one, and each of four choices four."""
    drawn = [_draw(configuration) for configuration in range(16)]
    assert len({(int(one["x"] * 4), int(one["y"] * 4)) for one in drawn}) == 16
    assert sorted(one["kind"] for one in drawn) == sorted("abcd" * 4)


def test_what_depends_on_others_is_drawn_at_random() -> None:
    """And has no dimension of its own."""
    space = {**_SPACE, "units": DYNAMIC}
    sampler = make_sampler(QuasiRandom(), seed=0, configuration=3, space=space)
    study = optuna.create_study(sampler=sampler)
    params = study.ask({**_DISTRIBUTIONS, "units": IntDistribution(1, 9)}).params
    assert {name: params[name] for name in _DISTRIBUTIONS} == _draw(3)
    assert 1 <= params["units"] <= 9
