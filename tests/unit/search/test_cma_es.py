"""CMA-ES, its state worked out from the trials."""

from __future__ import annotations

import datetime
import random
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from tuner_service.domain.sampler import CmaEs, Random, Sampler
from tuner_service.search.sampler import make_sampler

_SPACE: dict[str, BaseDistribution] = {
    "x": FloatDistribution(-5.0, 5.0),
    "y": FloatDistribution(-5.0, 5.0),
    "n": IntDistribution(1, 100),
    "kind": CategoricalDistribution(["a", "b"]),
}


def _run(sampler: Sampler, trials: int, *, seed: int, sign: int = 1, begin: int = 0, study: Any = None) -> Any:
    """Run a study over a bowl whose bottom is at x = 2, y = -1, n = 30, a sampler made anew for each trial."""
    study = study or optuna.create_study(direction="minimize" if sign > 0 else "maximize")
    for configuration in range(begin, begin + trials):
        study.sampler = make_sampler(sampler, seed=seed, configuration=configuration)
        trial = study.ask(_SPACE)
        at = trial.params
        height = (at["x"] - 2) ** 2 + (at["y"] + 1) ** 2 + ((at["n"] - 30) / 10) ** 2
        study.tell(trial, sign * height)
    return study


@pytest.mark.parametrize("sign", [pytest.param(1, id="minimize"), pytest.param(-1, id="maximize")])
def test_it_finds_the_bottom_that_random_draws_miss(sign: int) -> None:
    """In a hundred trials, on each of three seeds, both ways."""
    for seed in range(3):
        best = abs(_run(CmaEs(), 100, seed=seed, sign=sign).best_value)
        assert best < 0.2
        assert best < abs(_run(Random(), 100, seed=seed, sign=sign).best_value)


def test_it_goes_on_from_the_trials_alone() -> None:
    """Half a study, read by a process that knows nothing of its first half, goes on as the whole one does."""
    whole = _run(CmaEs(), 40, seed=1)
    half = _run(CmaEs(), 20, seed=1)
    read = optuna.create_study()
    read.add_trials(half.trials)
    rest = _run(CmaEs(), 20, seed=1, begin=20, study=read)
    assert [one.params for one in rest.trials] == [one.params for one in whole.trials]


def test_a_seed_may_be_as_large_as_it_likes() -> None:
    """The package takes 32 bits; a study's seed has no limit, and another seed is another study."""
    one, other = (_run(CmaEs(), 20, seed=seed).trials[-1].params for seed in (2**40, 2**40 + 1))
    assert one != other


def test_the_order_in_which_trials_are_numbered_does_not_matter() -> None:
    """A generation is what ended together: a trial that was begun early and ended late comes late."""
    ended = _run(CmaEs(), 20, seed=2).trials
    start = datetime.datetime(2026, 1, 1)
    rows = [
        optuna.trial.create_trial(params=one.params, distributions=one.distributions, value=one.value) for one in ended
    ]
    for second, row in enumerate(rows):
        row.datetime_complete = start + datetime.timedelta(seconds=second)
    drawn = []
    for order in (rows, random.Random(0).sample(rows, len(rows))):
        study = optuna.create_study()
        study.add_trials(order)
        drawn.append(_run(CmaEs(), 1, seed=2, begin=20, study=study).trials[-1].params)
    assert drawn[0] == drawn[1]


def test_before_the_first_generation_it_draws_at_random() -> None:
    """And writes nothing into the storage, ever: no state to unpickle."""
    study = _run(CmaEs(population=6), 12, seed=0)
    random_ones = _run(Random(), 12, seed=0)
    same = [one.params == other.params for one, other in zip(study.trials, random_ones.trials, strict=True)]
    assert same == [True] * 6 + [False] * 6
    assert all(not one.system_attrs for one in study.trials)


def test_a_parameter_of_some_branches_is_drawn_by_itself() -> None:
    """What not every complete trial has cannot be in the distribution."""
    study = optuna.create_study()
    for number in range(12):
        study.sampler = make_sampler(CmaEs(), seed=0, configuration=number)
        trial = study.ask()
        x = trial.suggest_float("x", -1, 1)
        if number % 2:
            trial.suggest_float("only at times", 0, 1)
        study.tell(trial, x**2)
    assert list(study.sampler.infer_relative_search_space(study, study.trials[-1])) == ["x"]
