"""CMA-ES whose state is worked out from the study's trials, each time anew."""

from __future__ import annotations

import datetime
from typing import Any

import cmaes
import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tuner_service.domain.sampler import CmaEs
from tuner_service.search.unit_cube import from_unit, to_unit


class RebuiltCmaEs(BaseSampler):
    """Covariance matrix adaptation for the numbers that every trial has; the rest is drawn at random.

    Optuna's sampler keeps its state pickled in the storage, and unpickles what it finds there. Here the complete
    trials, in the order in which they ended, are told generation by generation to an optimizer that begins anew, which
    takes milliseconds. A generation also takes in what earlier generations proposed and what was drawn at random, as it
    must where trials end in any order.

    Source: Hansen, The CMA Evolution Strategy: A Tutorial, arXiv:1604.00772, by the package ``cmaes``.
    """

    def __init__(self, spec: CmaEs, *, own_seed: int) -> None:
        self._spec = spec
        self._own_seed = own_seed
        self._independent = optuna.samplers.RandomSampler(seed=own_seed)
        self._search_space = IntersectionSearchSpace()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """Return the numbers that all complete trials have: not choices, and not what only some branches ask for."""
        return {
            name: distribution
            for name, distribution in self._search_space.calculate(study).items()
            if not isinstance(distribution, CategoricalDistribution) and not distribution.single()
        }

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,  # noqa: ARG002
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Return a point of the distribution that the complete generations lead to; none before the first."""
        if not search_space:
            return {}
        optimizer = cmaes.CMA(
            mean=np.full(len(search_space), 0.5),
            sigma=self._spec.sigma,
            bounds=np.array([[0.0, 1.0]] * len(search_space)),
            seed=self._own_seed,
            n_max_resampling=10 * len(search_space),
            population_size=self._spec.population,
        )
        sign = -1.0 if study.direction is StudyDirection.MAXIMIZE else 1.0
        told = [
            (np.array([to_unit(one, done.params[name]) for name, one in search_space.items()]), sign * done.values[0])
            for done in _complete(study)
        ]
        size = optimizer.population_size
        if len(told) < size:
            return {}
        for begin in range(0, len(told) - size + 1, size):
            optimizer.tell(told[begin : begin + size])
        point = optimizer.ask()
        return {name: from_unit(one, share) for (name, one), share in zip(search_space.items(), point, strict=True)}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:  # noqa: ANN401 - as in Optuna
        """Return a random value."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)


def _complete(study: Study) -> list[FrozenTrial]:
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(complete, key=lambda one: (one.datetime_complete or datetime.datetime.min, one.number))
