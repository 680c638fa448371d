"""A low-discrepancy sequence in which each configuration has its place: there is no state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.samplers import BaseSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study
from optuna.trial import FrozenTrial

from tuner_service.domain.sampler import QuasiRandom
from tuner_service.search.space import DYNAMIC
from tuner_service.search.unit_cube import from_unit


class SequencePoint(BaseSampler):
    """Point number ``configuration`` of a scrambled Sobol or Halton sequence over the recorded search space.

    A parameter that probing found has a dimension of its own, whether a branch asks for it or not. One whose range
    depends on others is drawn at random. The space of an Optuna script is that of its complete trials.
    """

    def __init__(
        self, spec: QuasiRandom, *, study_seed: int, own_seed: int, configuration: int, space: Mapping[str, str]
    ) -> None:
        self._spec = spec
        self._study_seed = study_seed
        self._configuration = configuration
        self._space = {name: json_to_distribution(text) for name, text in space.items() if text != DYNAMIC}
        self._independent = optuna.samplers.RandomSampler(seed=own_seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """Return the recorded search space, in the order of the names."""
        space = self._space or IntersectionSearchSpace().calculate(study)
        return {name: one for name, one in sorted(space.items()) if not one.single()}

    def sample_relative(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Return the configuration's point of the sequence."""
        if not search_space:
            return {}
        from scipy.stats import qmc  # takes a second to import

        sequence = {"sobol": qmc.Sobol, "halton": qmc.Halton}[self._spec.sequence]
        engine = sequence(len(search_space), scramble=True, rng=self._study_seed)
        if self._configuration:
            engine.fast_forward(self._configuration)
        (point,) = engine.random(1)
        return {
            name: from_unit(one, float(share)) for (name, one), share in zip(search_space.items(), point, strict=True)
        }

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:  # noqa: ANN401 - as in Optuna
        """Return a random value."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)
