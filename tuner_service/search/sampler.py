"""From a specification's sampler to Optuna's, seeded for one configuration."""

from __future__ import annotations

import optuna

from tuner_service.domain.sampler import Random, Sampler, Tpe
from tuner_service.domain.seeds import hash_seed


def make_sampler(sampler: Sampler, *, seed: int, configuration: int) -> optuna.samplers.BaseSampler:
    """Return a sampler for one claim.

    It is made anew each time: its history is the study's, and its random numbers depend on the study's seed and the
    configuration alone, so that no two workers draw the same and a repeated study draws the same again.
    """
    own_seed = hash_seed(seed, configuration, "sampler")
    match sampler:
        case Random():
            return optuna.samplers.RandomSampler(seed=own_seed)
        case Tpe():
            return optuna.samplers.TPESampler(
                seed=own_seed,
                n_startup_trials=sampler.startup_trials,
                n_ei_candidates=sampler.candidates,
                multivariate=sampler.multivariate,
                constant_liar=sampler.constant_liar,
            )
