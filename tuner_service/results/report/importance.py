"""How much each parameter mattered, by Optuna's evaluators."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, json_to_distribution
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator

from tuner_service.domain.direction import Direction
from tuner_service.domain.outcome import State
from tuner_service.domain.study import StudyRecord
from tuner_service.domain.trial import Trial
from tuner_service.results.report.thinning import spread_out
from tuner_service.search.space import DYNAMIC, contains

#: Complete trials below which importances say little.
FEW = 30
#: Of fANOVA's forest: beyond these it takes minutes for thousands of trials, and says the same.
_MOST_TRIALS, _TREES, _DEPTH = 1000, 20, 8


@dataclass(frozen=True)
class Importances:
    """Shares that sum to 1, by parameter, the most important first."""

    metric: str
    trials: int  #: complete trials that they come from
    among_best: Mapping[str, float]  #: PED-ANOVA: what tells the best tenth from the others
    variance: Mapping[str, float]  #: fANOVA: what explains the variance; without conditional parameters

    @property
    def few(self) -> bool:
        """Whether there are too few trials to rely on them."""
        return self.trials < FEW


def importances_of(study: StudyRecord, trials: Sequence[Trial]) -> list[Importances]:
    """Return the importances for each objective; none where fewer than two trials are complete."""
    complete = [one for one in trials if one.attempt.state is State.COMPLETE and one.params]
    count = len(study.spec.metrics)
    complete = [one for one in complete if len(one.attempt.values) == count]
    if len(complete) < 2:
        return []
    space = distributions(study, complete)
    return [_of_metric(study, complete, space, index) for index in range(count)]


def distributions(study: StudyRecord, trials: Sequence[Trial]) -> dict[str, BaseDistribution]:
    """Return the search space: as recorded, or of a parameter whose range varies as the trials had it."""
    found: dict[str, BaseDistribution] = {}
    for name in dict.fromkeys(name for one in trials for name in one.params):
        values = list(dict.fromkeys(one.params[name] for one in trials if name in one.params))
        recorded = study.space.get(name, DYNAMIC)
        known = None if recorded == DYNAMIC else json_to_distribution(recorded)
        if known is not None and all(contains(known, value) for value in values):
            found[name] = known
        elif all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            numbers = [float(value) for value in values if value is not None]
            found[name] = FloatDistribution(min(numbers), max(numbers))
        else:
            found[name] = CategoricalDistribution(values)
    return found


def _of_metric(
    study: StudyRecord, complete: Sequence[Trial], space: Mapping[str, BaseDistribution], index: int
) -> Importances:
    thinned = spread_out(complete, _MOST_TRIALS)
    shared = [name for name in space if all(name in one.params for one in thinned)]
    direction = study.spec.directions[index]
    among_best = _evaluated(PedAnovaImportanceEvaluator(), complete, space, direction, index, list(space))
    variance = _evaluated(_fanova(), thinned, space, direction, index, shared)
    return Importances(study.spec.metrics[index], len(complete), among_best, variance)


def _fanova() -> FanovaImportanceEvaluator:
    return FanovaImportanceEvaluator(n_trees=_TREES, max_depth=_DEPTH, seed=0)


def _evaluated(
    evaluator: optuna.importance.BaseImportanceEvaluator,
    trials: Sequence[Trial],
    space: Mapping[str, BaseDistribution],
    direction: Direction,
    index: int,
    params: list[str],
) -> Mapping[str, float]:
    """Return what an evaluator says of an Optuna study of one objective that is made of these trials."""
    if not params:
        return {}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(direction=direction)
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params={name: space[name].to_external_repr(space[name].to_internal_repr(value))
                            for name, value in one.params.items()},
                    distributions={name: space[name] for name in one.params},
                    value=one.attempt.values[index],
                )
                for one in trials
            ]
        )  # fmt: skip
        with warnings.catch_warnings():
            # The evaluators warn of few trials and of equal values, and so does the report.
            warnings.simplefilter("ignore")
            found = optuna.importance.get_param_importances(study, evaluator=evaluator, params=params)
            return {name: float(share) for name, share in found.items()}
    finally:
        optuna.logging.set_verbosity(verbosity)
