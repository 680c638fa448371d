"""What the search was worth: its trials beside random ones, known points and the defaults, at equal cost."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tuner_service.domain.direction import Direction, best_of, is_better
from tuner_service.domain.outcome import Reason
from tuner_service.domain.sampler import Random, Sampler
from tuner_service.domain.spec import StudySpec
from tuner_service.domain.study import OF_DEFAULTS
from tuner_service.domain.trial import Trial
from tuner_service.storage.param import SOURCE

#: Groups of trials by how their parameters came about; what a sampler drew is called as the sampler.
RANDOM, GIVEN, DEFAULTS = "random", "given", "defaults"
#: Orders of a group's trials that are tried.
_ORDERS = 200


@dataclass(frozen=True)
class Group:
    """Trials whose parameters came about in one way."""

    name: str
    trials: int
    complete: int
    epochs: int  #: trained in them
    best: float | None  #: of the complete ones that satisfy their constraints
    median: float | None  #: of the same
    expected: Sequence[tuple[int, float]]  #: epochs, and the best complete value that they are expected to bring


@dataclass(frozen=True)
class GroupComparison:
    """Groups of a study's trials, side by side."""

    groups: Sequence[Group]
    verdict: str  #: in a sentence; empty where there is nothing to compare


def compare_groups(spec: StudySpec, trials: Sequence[Trial], companion: Sequence[Trial] = ()) -> GroupComparison:
    """Return the groups of a study's settled trials, by the first objective.

    Args:
        spec: The study's specification.
        trials: Its trials.
        companion: Trials of its companion: the defaults, and random draws.
    """
    names = _names(spec.sampler, trials)
    names += [DEFAULTS if name == GIVEN else name for name in _names(Random(), companion)]
    grouped: dict[str, list[Trial]] = {}
    for one, name in zip((*trials, *companion), names, strict=True):
        if one.attempt.value is not None and one.attempt.reason in (None, Reason.FINISHED, Reason.PRUNED):
            grouped.setdefault(name, []).append(one)
    order = dict.fromkeys((spec.sampler.kind, RANDOM, GIVEN, DEFAULTS))
    groups = [_group(name, grouped[name], spec.better) for name in order if name in grouped]
    return GroupComparison(groups, _verdict(groups, spec))


def expected_best(
    epochs: Sequence[int], values: Sequence[float | None], better: Direction, *, points: int = 60
) -> list[tuple[int, float]]:
    """Return which best value so many epochs bring: the mean over random orders of the trials.

    Epochs are what makes groups comparable: pruning makes trials of very different cost of them.

    Args:
        epochs: Epochs of each trial.
        values: Its value; ``None`` where it was stopped, so that it can only have cost.
        better: Which way is better.
        points: Numbers of epochs to look at, evenly spread; few of them, of a few trials.
    """
    sign = 1.0 if better == "maximize" else -1.0
    costs = np.asarray(epochs)
    gains = np.array([-np.inf if value is None else sign * value for value in values])
    budgets = np.unique(np.linspace(costs.max(), costs.sum(), points).round().astype(int))
    dice = np.random.default_rng(0)
    seen = np.empty((_ORDERS, len(budgets)))
    for row in range(_ORDERS):
        order = dice.permutation(len(costs))
        best = np.maximum.accumulate(gains[order])
        # How many trials fit; one fits always, since no budget is below the largest cost.
        seen[row] = best[np.searchsorted(np.cumsum(costs[order]), budgets, side="right") - 1]
    # Where some orders have brought nothing yet there is no mean.
    known = np.isfinite(seen.sum(axis=0))
    means = sign * np.where(known, seen, 0.0).mean(axis=0)
    return [(int(at), float(mean)) for at, mean, there in zip(budgets, means, known, strict=True) if there]


def _names(sampler: Sampler, trials: Sequence[Trial]) -> list[str]:
    """Return how each trial's parameters came about."""
    # A sampler with a model draws at random until so many trials have ended, by the time at which it was asked.
    startup = getattr(sampler, "startup_trials", getattr(sampler, "population", None)) or 0
    ended = sorted(
        one.attempt.ended_at
        for one in trials
        if one.attempt.ended_at is not None and one.attempt.reason in (Reason.FINISHED, Reason.PRUNED)
    )
    until = math.inf if startup > len(ended) else ended[startup - 1] if startup else -math.inf
    first: dict[int, str] = {}
    for one in trials:
        drawn = RANDOM if (one.started_at or 0.0) < until else sampler.kind
        # A retry has the parameters of the first attempt.
        source = one.attributes.get(SOURCE)
        given = DEFAULTS if source == OF_DEFAULTS else GIVEN
        first.setdefault(one.attempt.configuration, drawn if source is None else given)
    return [first[one.attempt.configuration] for one in trials]


def _group(name: str, trials: Sequence[Trial], better: Direction) -> Group:
    complete = [one.attempt.reason in (None, Reason.FINISHED) for one in trials]
    values = [
        one.attempt.value if whole and one.attempt.feasible else None
        for one, whole in zip(trials, complete, strict=True)
    ]
    allowed = [value for value in values if value is not None]
    epochs = [max(one.attempt.own_epochs, 1) for one in trials]
    return Group(
        name=name,
        trials=len(trials),
        complete=sum(complete),
        epochs=sum(epochs),
        best=best_of(allowed, better),
        median=statistics.median(allowed) if allowed else None,
        expected=expected_best(epochs, values, better) if allowed else [],
    )


def _verdict(groups: Sequence[Group], spec: StudySpec) -> str:
    by_name: Mapping[str, Group] = {one.name: one for one in groups}
    searched, random = by_name.get(spec.sampler.kind), by_name.get(RANDOM)
    if searched is None or searched.best is None:
        return ""
    sentences = [_against_random(searched, random, spec.better)]
    defaults = by_name.get(DEFAULTS)
    if defaults is not None and defaults.best is not None:
        sentences.append(f"The defaults reached {defaults.best:.5g}, the best of {searched.name} {searched.best:.5g}.")
    return " ".join(one for one in sentences if one)


def _against_random(searched: Group, random: Group | None, better: Direction) -> str:
    if random is None or random is searched or random.best is None or searched.best is None:
        return ""
    if not is_better(searched.best, random.best, better):
        return (
            f"No trial that {searched.name} proposed was better than the best of the {random.trials} random ones: "
            "here the search has not paid, or not yet."
        )
    found = (
        f"The best of {searched.trials} trials that {searched.name} proposed reached {searched.best:.5g}, the best of "
        f"{random.trials} random ones {random.best:.5g}"
    )
    equal = next((value for epochs, value in reversed(searched.expected) if epochs <= random.epochs), None)
    if equal is None:
        return f"{found}."
    return f"{found}; with as many epochs as those took, {random.epochs}, {searched.name} is expected at {equal:.5g}."
