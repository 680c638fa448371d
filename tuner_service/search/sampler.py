"""From a specification's sampler to Optuna's, seeded for one draw of one configuration."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

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
from tuner_service.domain.seeds import hash_seed
from tuner_service.errors import SpecError, StudyFileError, how_to_install
from tuner_service.search.custom import make_custom
from tuner_service.search.quasi_random import SequencePoint
from tuner_service.search.tpe import KeptTpe, TpeMemory


def make_sampler(
    sampler: Sampler,
    *,
    seed: int,
    configuration: int,
    draw: int = 0,
    space: Mapping[str, str] | None = None,
    memory: TpeMemory | None = None,
) -> BaseSampler:
    """Return a sampler for one claim.

    It is made anew each time: its history is the study's, and its random numbers depend on the study's seed, the
    configuration and the draw alone, so that no two workers draw the same and a repeated study draws the same again.

    Args:
        sampler: The specification.
        seed: The study's.
        configuration: For which it draws.
        draw: 0, then 1, 2, ... where a draw was one that another configuration had before.
        space: The search space as it is recorded.
        memory: What TPE has read of the study before; only for one of one objective.

    Raises:
        SpecError: If it is not installed here.
    """
    own_seed = hash_seed(seed, configuration, f"sampler/{draw}" if draw else "sampler")
    with warnings.catch_warnings():
        # Of TPE's `group` and of NSGA-III; whoever names them has chosen them.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return _make(sampler, seed, own_seed, configuration, draw, space or {}, memory)


def _make(
    sampler: Sampler,
    seed: int,
    own_seed: int,
    configuration: int,
    draw: int,
    space: Mapping[str, str],
    memory: TpeMemory | None,
) -> BaseSampler:
    match sampler:
        case Random():
            return optuna.samplers.RandomSampler(seed=own_seed)
        case Tpe():
            options: dict[str, Any] = {
                "seed": own_seed,
                "n_startup_trials": sampler.startup_trials,
                "n_ei_candidates": sampler.candidates,
                "multivariate": sampler.multivariate,
                "group": sampler.group,
                "constant_liar": sampler.constant_liar,
            }
            if memory is not None and sampler.multivariate is not False and not sampler.group:
                return KeptTpe(memory, **options)
            return optuna.samplers.TPESampler(**options)
        case GaussianProcess():
            check_torch()
            return optuna.samplers.GPSampler(
                seed=own_seed,
                n_startup_trials=sampler.startup_trials,
                deterministic_objective=sampler.deterministic,
                warn_independent_sampling=False,
            )
        case CmaEs():
            # Here, not above: the package brings half of SciPy, for which no command should wait.
            from tuner_service.search.cma_es import RebuiltCmaEs

            return RebuiltCmaEs(sampler, own_seed=own_seed)
        case QuasiRandom():
            if draw:
                # Its place in the sequence is taken.
                return optuna.samplers.RandomSampler(seed=own_seed)
            return SequencePoint(sampler, study_seed=seed, own_seed=own_seed, configuration=configuration, space=space)
        case Nsga2() | Nsga3():
            genetic: dict[str, Any] = {
                "seed": own_seed,
                "population_size": sampler.population,
                "crossover_prob": sampler.crossover_probability,
                "swapping_prob": sampler.swapping_probability,
                "mutation_prob": sampler.mutation_probability,
            }
            if isinstance(sampler, Nsga3):
                return optuna.samplers.NSGAIIISampler(**genetic, dividing_parameter=sampler.divisions)
            return optuna.samplers.NSGAIISampler(**genetic)
        case CustomSampler():
            return make_custom(sampler, own_seed)
        case Grid() | BruteForce():
            return _OutsideTheCell()


def check_torch() -> None:
    """Raise ``SpecError`` where what Optuna's Gaussian process needs is not installed."""
    try:
        import torch  # type: ignore[import-not-found]  # noqa: F401 - an extra
    except ImportError:
        raise SpecError(
            f"sampler=GaussianProcess() needs torch, which is not installed here: {how_to_install('gp')}"
        ) from None


class _OutsideTheCell(BaseSampler):
    """Draws nothing: the parameters of a cell are given with its row."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        return {}

    def sample_relative(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
        search_space: dict[str, BaseDistribution],  # noqa: ARG002
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
        param_name: str,
        param_distribution: BaseDistribution,  # noqa: ARG002
    ) -> Any:  # noqa: ANN401
        raise StudyFileError(
            f"parameter {param_name!r} is in no cell of this grid: it was not asked for when the cells were found. "
            "Suggest it in build_model or fit_options, depending on other parameters only, or name it in "
            "Grid(space=...)"
        )
