"""Samplers, seeded for one configuration."""

from __future__ import annotations

import sys
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from tuner_service.domain.sampler import (
    BruteForce,
    CmaEs,
    CustomSampler,
    GaussianProcess,
    Grid,
    Nsga2,
    Nsga3,
    QuasiRandom,
    Random,
    Sampler,
    Tpe,
)
from tuner_service.errors import SpecError, StudyFileError
from tuner_service.search.sampler import make_sampler
from tuner_service.search.space import merge
from tuner_service.search.tpe import TpeMemory

_SAMPLERS = [
    pytest.param(Random(), id="random"),
    pytest.param(Tpe(), id="TPE while it is random"),
    pytest.param(Tpe(startup_trials=2), id="TPE once it has a model"),
    pytest.param(Tpe(startup_trials=2, multivariate=False, constant_liar=False), id="TPE, each parameter by itself"),
    pytest.param(Tpe(startup_trials=2, multivariate=True), id="TPE, all parameters together"),
    pytest.param(Tpe(startup_trials=2, group=True), id="TPE, parameters in groups"),
    pytest.param(CmaEs(), id="CMA-ES before its first generation"),
    pytest.param(CmaEs(population=4), id="CMA-ES"),
    pytest.param(QuasiRandom(), id="Sobol"),
    pytest.param(QuasiRandom(sequence="halton"), id="Halton"),
    pytest.param(Nsga2(population=3), id="NSGA-II"),
    pytest.param(Nsga3(population=3), id="NSGA-III"),
    pytest.param(CustomSampler(path="optuna.samplers.TPESampler"), id="one by its name"),
]


def _draw(sampler: Sampler, *, seed: int, configuration: int, draw: int = 0) -> dict[str, Any]:
    """Return the parameters that a configuration gets in a study with a history of five trials."""
    distributions = {"rate": FloatDistribution(0, 1), "kind": CategoricalDistribution(["a", "b"])}
    space = merge({}, distributions)
    made = make_sampler(sampler, seed=seed, configuration=configuration, draw=draw, space=space)
    study = optuna.create_study(sampler=made)
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


@pytest.mark.parametrize("sampler", _SAMPLERS)
def test_a_draw_that_is_repeated_is_another(sampler: Sampler) -> None:
    """Where another configuration has the parameters, the next draw has others."""
    rates = [_draw(sampler, seed=0, configuration=1, draw=draw)["rate"] for draw in range(3)]
    assert len(set(rates)) == 3


@pytest.mark.parametrize("sampler", [Grid(), BruteForce()])
def test_what_is_in_no_cell_is_an_error(sampler: Sampler) -> None:
    """A grid draws nothing."""
    with pytest.raises(StudyFileError, match="parameter 'rate' is in no cell of this grid"):
        _draw(sampler, seed=0, configuration=0)


def test_a_gaussian_process_needs_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is missing, the error says what to install."""
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SpecError, match=r"pip install '\.\[gp\]'"):
        make_sampler(GaussianProcess(), seed=0, configuration=0)


def test_a_gaussian_process_draws() -> None:
    """With torch, it is reproducible; two configurations may get the same, which is then drawn again."""
    # Not among what the tests need: from PyPI it comes with CUDA, over five gigabytes for this one test.
    pytest.importorskip("torch", reason="needs the extra gp, torch")
    sampler = GaussianProcess(startup_trials=2)
    assert _draw(sampler, seed=1, configuration=2) == _draw(sampler, seed=1, configuration=2)
    assert 0 <= _draw(sampler, seed=1, configuration=3)["rate"] <= 1


def test_tpe_is_set_as_the_specification_says() -> None:
    """Random trials at the start, candidates and the rest reach Optuna."""
    made = make_sampler(Tpe(startup_trials=3, candidates=7, constant_liar=False), seed=0, configuration=0)
    assert isinstance(made, optuna.samplers.TPESampler)
    assert (made._n_startup_trials, made._n_ei_candidates, made._constant_liar) == (3, 7, False)


@pytest.mark.parametrize("spec", [Tpe(startup_trials=3), Tpe(startup_trials=3, constant_liar=False)], ids=str)
def test_tpe_that_remembers_draws_as_optunas_own(spec: Tpe) -> None:
    """Claim after claim, with trials that are pruned or fail, and a parameter that only some of them have."""
    memory = TpeMemory()
    study = optuna.create_study()
    for configuration in range(12):
        drawn = []
        for kept in (memory, None):
            study.sampler = make_sampler(spec, seed=1, configuration=configuration, memory=kept)
            trial = study.ask()
            rate = trial.suggest_float("rate", 1e-3, 1, log=True) + trial.suggest_float("share", 0, 0.5, step=0.1)
            rate += trial.suggest_int("width", 8, 64, log=True) + trial.suggest_int("depth", 1, 9, step=2)
            if configuration % 4 == 1:
                trial.suggest_int("sometimes", 1, 9)
            drawn.append((rate, trial.suggest_categorical("kind", ["a", "b"])))
            if kept is memory:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
        assert drawn[0] == drawn[1]
        trial.report(rate, 1)
        pruned = optuna.trial.TrialState.PRUNED if configuration % 3 else None
        study.tell(trial, None if pruned else rate, state=pruned)
    assert memory._columns, "Optuna's TPE no longer calls what is overridden: it reads all trials for each claim"
