"""Samplers, seeded for one configuration."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from tuner_service.domain.sampler import Random, Sampler, Tpe
from tuner_service.search.sampler import make_sampler

_SAMPLERS = [
    pytest.param(Random(), id="random"),
    pytest.param(Tpe(), id="TPE while it is random"),
    pytest.param(Tpe(startup_trials=2), id="TPE once it has a model"),
    pytest.param(Tpe(startup_trials=2, multivariate=False, constant_liar=False), id="TPE, each parameter by itself"),
    pytest.param(Tpe(startup_trials=2, multivariate=True), id="TPE, all parameters together"),
]


def _draw(sampler: Sampler, *, seed: int, configuration: int) -> dict[str, Any]:
    """Return the parameters that a configuration gets in a study with a history of five trials."""
    study = optuna.create_study(sampler=make_sampler(sampler, seed=seed, configuration=configuration))
    distributions = {"rate": FloatDistribution(0, 1), "kind": CategoricalDistribution(["a", "b"])}
    for number in range(5):
        params = {"rate": number / 5, "kind": "a" if number % 2 else "b"}
        study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=number / 5))
    return study.ask(distributions).params


@pytest.mark.parametrize("sampler", _SAMPLERS)
def test_a_configuration_draws_the_same_again(sampler: Sampler) -> None:
    """A study that is repeated with its seed is the same study."""
    assert _draw(sampler, seed=1, configuration=2) == _draw(sampler, seed=1, configuration=2)


@pytest.mark.parametrize("sampler", _SAMPLERS)
def test_no_two_configurations_or_seeds_draw_the_same(sampler: Sampler) -> None:
    """Workers that start at the same moment from the same history do not train the same network."""
    rates = [_draw(sampler, seed=seed, configuration=one)["rate"] for seed in range(2) for one in range(4)]
    assert len(set(rates)) == len(rates)


def test_tpe_is_set_as_the_specification_says() -> None:
    """Random trials at the start, candidates and the rest reach Optuna."""
    made = make_sampler(Tpe(startup_trials=3, candidates=7, constant_liar=False), seed=0, configuration=0)
    assert isinstance(made, optuna.samplers.TPESampler)
    assert (made._n_startup_trials, made._n_ei_candidates, made._constant_liar) == (3, 7, False)
