"""Samplers by their dotted names."""

from __future__ import annotations

import sys
import types
from typing import Any

import optuna
import pytest

from tuner_service.domain.sampler import CustomSampler
from tuner_service.errors import SpecError
from tuner_service.search.custom import kept_in_memory, make_custom


class Remembering(optuna.samplers.RandomSampler):
    """Draws at random, and remembers in memory what it has seen."""

    def __init__(self, seed: int | None = None, best: float | None = None) -> None:
        super().__init__(seed=seed)
        self.seen = 0
        self.best = best

    def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
        """Count."""
        self.seen += 1


class Seedless(optuna.samplers.BaseSampler):
    """Takes no seed."""

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        """Return the first value."""
        return param_distribution.to_external_repr(getattr(param_distribution, "low", 0))


@pytest.fixture(autouse=True)
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Provide the samplers above as an installed package."""
    module = types.ModuleType("samplers_of_mine")
    vars(module).update(Remembering=Remembering, Seedless=Seedless, NONE=None)
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_it_gets_its_arguments_and_a_seed() -> None:
    """As they are written; the seed of the draw where it takes one."""
    spec = CustomSampler(path="samplers_of_mine.Remembering", arguments={"best": 0.5})
    made = make_custom(spec, seed=3)
    assert isinstance(made, Remembering)
    assert made.best == 0.5
    assert isinstance(make_custom(CustomSampler(path="samplers_of_mine.Seedless"), seed=3), Seedless)


def test_one_that_learns_in_memory_is_one_object() -> None:
    """So that what it has learned is there at the next claim; any other is made anew, with the seed of its draw."""
    remembering = CustomSampler(path="samplers_of_mine.Remembering")
    assert make_custom(remembering, seed=3) is make_custom(remembering, seed=4)
    plain = CustomSampler(path="optuna.samplers.RandomSampler")
    drawn = [optuna.create_study(sampler=make_custom(plain, seed)).ask().suggest_float("x", 0, 1) for seed in (3, 3, 4)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    ("path", "arguments", "message"),
    [
        pytest.param("no_such_package.Sampler", {}, "no_such_package.Sampler cannot be imported", id="no package"),
        pytest.param("optuna.samplers.NoSuchSampler", {}, "cannot be imported", id="no class"),
        pytest.param("samplers_of_mine.NONE", {}, "is not a class derived from", id="no sampler"),
        pytest.param("optuna.samplers.TPESampler", {"sed": 3}, "does not take them: .*'sed'", id="no such argument"),
    ],
)
def test_what_cannot_be_made_is_refused(path: str, arguments: dict[str, Any], message: str) -> None:
    """By its name, with what to do."""
    with pytest.raises(SpecError, match=message):
        make_custom(CustomSampler(path=path, arguments=arguments), seed=0)


@pytest.mark.parametrize(
    ("path", "arguments", "kept"),
    [
        pytest.param("samplers_of_mine.Remembering", {}, ["seen"], id="one that counts what it has seen"),
        pytest.param("samplers_of_mine.Seedless", {}, [], id="one without any state"),
        pytest.param("optuna.samplers.RandomSampler", {}, [], id="random"),
        pytest.param("optuna.samplers.TPESampler", {}, [], id="TPE, whose caches the study fills"),
        pytest.param("optuna.samplers.NSGAIISampler", {"population_size": 4}, [], id="NSGA-II"),
    ],
)
def test_what_a_sampler_keeps_in_memory_is_found(path: str, arguments: dict[str, Any], kept: list[str]) -> None:
    """Random generators and caches of the study are not what it has learned."""
    assert kept_in_memory(CustomSampler(path=path, arguments=arguments)) == kept
