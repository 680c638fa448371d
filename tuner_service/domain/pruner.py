"""When a trial is stopped early: the ladders of fidelities, and the decision at each rung.

Fidelity is the number of epochs trained, counted from 1. A configuration is judged once in each rung, whichever of its
attempts reached it, and never at ``max_epochs``: who gets there is complete.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tuner_service.domain.direction import Direction, best_of
from tuner_service.domain.numbers import FiniteFloat, NonNegativeFloat, NonNegativeInt, PositiveInt
from tuner_service.domain.seeds import hash_seed


def rung_epochs(min_epochs: int, max_epochs: int, reduction_factor: int) -> tuple[int, ...]:
    """Return the fidelities, in epochs, at which one bracket compares its trials, lowest first.

    Rung ``k`` is ``min_epochs * reduction_factor**k``, as long as it is below ``max_epochs``: at the top no decision is
    taken.

    Raises:
        ValueError: If ``min_epochs < 1`` or ``reduction_factor < 2``.

    Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, arXiv:1810.05934.

    >>> rung_epochs(1, 243, 3)
    (1, 3, 9, 27, 81)
    """
    if min_epochs < 1 or reduction_factor < 2:
        raise ValueError(f"need min_epochs >= 1 and reduction_factor >= 2, got {min_epochs}, {reduction_factor}")
    rungs = []
    # Multiply, do not take logarithms: math.log(243, 3) is 4.999..., and floor() loses a rung.
    while min_epochs < max_epochs:
        rungs.append(min_epochs)
        min_epochs *= reduction_factor
    return tuple(rungs)


def bracket_shares(min_epochs: int, max_epochs: int, reduction_factor: int, brackets: int | None) -> tuple[int, ...]:
    """Return how many configurations each bracket gets, relative to the others, the earliest-stopping bracket first.

    Bracket ``b`` leaves out the lowest ``b`` rungs. Without a number there is one bracket for each ``min_epochs *
    reduction_factor**k`` up to and including ``max_epochs``: 243 epochs and a factor of 3 give 6.

    Source: Li et al., Hyperband, JMLR 18 (2018), Algorithm 1: bracket ``s`` starts ``ceil((s_max + 1) / (s + 1) *
    eta**s)`` configurations.

    >>> bracket_shares(1, 243, 3, None)
    (243, 98, 41, 18, 9, 6)
    >>> bracket_shares(1, 27, 3, 1)
    (27,)
    """
    fidelities = len(rung_epochs(min_epochs, max_epochs + 1, reduction_factor))
    kept = fidelities if brackets is None else min(brackets, fidelities)
    return tuple(
        -(-fidelities * reduction_factor**s // (s + 1)) for s in range(fidelities - 1, fidelities - 1 - kept, -1)
    )


class _Pruner(BaseModel):
    """One ladder of rungs, the same for every configuration; a pruner says which, and how it judges there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def compares(self) -> bool:
        """Whether a trial is compared with others, so that its values at the rungs have to be recorded."""
        return True

    def brackets_for(self, max_epochs: int) -> int:  # noqa: ARG002 - one signature for all pruners
        """Return the number of brackets: one."""
        return 1

    def bracket_of(self, configuration: int, max_epochs: int, seed: int) -> int:  # noqa: ARG002
        """Return the bracket of a configuration: there is only one."""
        return 0

    def rungs(self, bracket: int, max_epochs: int) -> tuple[int, ...]:
        """Return the epochs after which a trial of this bracket is judged, all below ``max_epochs``."""
        raise NotImplementedError

    def should_prune(self, value: float, others: Sequence[float], curve: Sequence[float], direction: Direction) -> bool:
        """Return whether a trial stops at a rung.

        Args:
            value: Its best value so far.
            others: The best values that other configurations had when they reached this rung; finite.
            curve: The trial's values, one an epoch, as far as it has come; those of the attempt that it goes on from
                up to that one's checkpoint, and nothing later.
            direction: Which way is better.
        """
        raise NotImplementedError


class _Halving(_Pruner):
    """What the two pruners share that stop all but the best at each rung."""

    min_epochs: PositiveInt = 1  #: epochs of the lowest rung; no trial is judged earlier
    reduction_factor: int = Field(default=3, ge=2, strict=True)  #: one in this many goes on from a rung

    def rungs(self, bracket: int, max_epochs: int) -> tuple[int, ...]:
        """Return the epochs after which a trial of this bracket is judged: it leaves out the lowest rungs."""
        return rung_epochs(self.min_epochs, max_epochs, self.reduction_factor)[bracket:]

    def should_prune(
        self,
        value: float,
        others: Sequence[float],
        curve: Sequence[float],  # noqa: ARG002
        direction: Direction,
    ) -> bool:
        """Return whether the trial is not among the best part of those that have reached the rung.

        The first ``reduction_factor - 1`` to arrive go on only if they are the best so far.

        Source: asynchronous successive halving, as in Optuna's ``pruners/_successive_halving.py``.
        """
        reached = sorted((*others, value), reverse=direction == "maximize")
        kept = max(len(reached) // self.reduction_factor, 1)
        return _is_worse(value, reached[kept - 1], direction)


class SuccessiveHalving(_Halving):
    """Asynchronous successive halving (ASHA, arXiv:1810.05934): one ladder of rungs for all trials."""

    kind: Literal["successive-halving"] = "successive-halving"


class Hyperband(_Halving):
    """Hyperband (Li et al., JMLR 18, 2018): several ladders, each starting at another rung.

    The default is one bracket, which suits studies of up to some hundred trials: with several, each bracket compares
    its own trials only. ``brackets=None`` takes as many as the paper does.
    """

    kind: Literal["hyperband"] = "hyperband"
    brackets: PositiveInt | None = 1  #: number of ladders, at most one for each fidelity; None: one for each

    def brackets_for(self, max_epochs: int) -> int:
        """Return the number of brackets."""
        return len(self._shares(max_epochs))

    def bracket_of(self, configuration: int, max_epochs: int, seed: int) -> int:
        """Return the bracket of a configuration: a function of its id alone, so that every attempt gets the same."""
        shares = self._shares(max_epochs)
        ticket = hash_seed(seed, configuration, "bracket") % sum(shares)
        for bracket, share in enumerate(shares):
            if ticket < share:
                return bracket
            ticket -= share
        raise AssertionError("the shares add up to more than any ticket")

    def _shares(self, max_epochs: int) -> tuple[int, ...]:
        return bracket_shares(self.min_epochs, max_epochs, self.reduction_factor, self.brackets)


class _EveryFewEpochs(_Pruner):
    """What the pruners share that judge at even intervals."""

    min_epochs: PositiveInt = 1  #: epochs trained before a trial is judged for the first time
    interval_epochs: PositiveInt = 1  #: epochs from one judgement to the next

    def rungs(self, bracket: int, max_epochs: int) -> tuple[int, ...]:  # noqa: ARG002
        """Return the epochs after which a trial is judged."""
        return tuple(range(self.min_epochs, max_epochs, self.interval_epochs))


class _BestPart(_EveryFewEpochs):
    """What the two pruners share that stop a trial outside of the best part of the earlier ones.

    A trial is compared by its best value so far with those that the others had there, whatever became of them;
    Optuna leaves out those that were stopped, and takes the others' value of that very epoch.
    """

    startup_trials: NonNegativeInt = 5  #: configurations that must have reached an epoch before one is stopped there

    @property
    def kept_percent(self) -> float:
        """The best part, in percent, that goes on."""
        raise NotImplementedError

    def should_prune(
        self,
        value: float,
        others: Sequence[float],
        curve: Sequence[float],  # noqa: ARG002
        direction: Direction,
    ) -> bool:
        """Return whether the trial is worse than the worst of the best part of enough others."""
        if not others or len(others) < self.startup_trials:
            return False
        percent = 100 - self.kept_percent if direction == "maximize" else self.kept_percent
        return _is_worse(value, _percentile(others, percent), direction)


class Median(_BestPart):
    """Stops a trial that is worse than the median of the earlier ones at that epoch (Golovin et al., Vizier, 2017)."""

    kind: Literal["median"] = "median"

    @property
    def kept_percent(self) -> float:
        """The better half."""
        return 50.0


class Percentile(_BestPart):
    """Stops a trial that is not in this part of the earlier ones at that epoch, as Optuna's ``PercentilePruner``."""

    kind: Literal["percentile"] = "percentile"
    percentile: float = Field(ge=0, le=100)  #: the best part, in percent, that goes on: 25 keeps the best quarter

    @property
    def kept_percent(self) -> float:
        """The part that the user named."""
        return self.percentile


class Threshold(_EveryFewEpochs):
    """Stops a trial whose metric is out of bounds, as Optuna's ``ThresholdPruner``: no other trial is looked at."""

    kind: Literal["threshold"] = "threshold"
    lower: FiniteFloat | None = None  #: a trial stops where its latest value is below
    upper: FiniteFloat | None = None  #: a trial stops where its latest value is above

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        if self.lower is None and self.upper is None:
            raise ValueError("pruner: a threshold needs a bound; give lower, upper or both")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(f"pruner: lower must not be above upper, got {self.lower:g} and {self.upper:g}")
        return self

    @property
    def compares(self) -> bool:
        """Whether a trial is compared with others: no."""
        return False

    def should_prune(
        self,
        value: float,  # noqa: ARG002
        others: Sequence[float],  # noqa: ARG002
        curve: Sequence[float],
        direction: Direction,  # noqa: ARG002
    ) -> bool:
        """Return whether the latest value is out of bounds."""
        latest = curve[-1]
        return (self.lower is not None and latest < self.lower) or (self.upper is not None and latest > self.upper)


class _NoRungs(_Pruner):
    """What the two share that judge no trial by its epochs."""

    def rungs(self, bracket: int, max_epochs: int) -> tuple[int, ...]:  # noqa: ARG002
        """Return the epochs after which a trial is judged: none."""
        return ()


class NoPruning(_NoRungs):
    """Every trial is trained to its end."""

    kind: Literal["none"] = "none"


#: Bracket under which the values of whole runs are recorded, apart from those at epochs; its rungs are runs, from 0.
RUNS_BRACKET = -1


class Wilcoxon(_NoRungs):
    """Stops a trial after a run, once its runs are significantly worse than those of the best trial so far.

    Runs of the same fold and execution are compared, so that a hard fold counts against both. As the test is repeated
    after each run, the share of good trials that it stops by chance is above ``p_threshold``.

    Source: Wilcoxon's signed-rank test, as in Optuna's ``pruners/_wilcoxon.py``.
    """

    kind: Literal["wilcoxon"] = "wilcoxon"
    p_threshold: float = Field(0.1, ge=0, le=1)  #: largest probability of such a difference by chance, at one test
    startup_runs: NonNegativeInt = 2  #: runs before the first test; it needs two in any case

    def should_stop(self, pairs: Sequence[tuple[float, float]], best_value: float, direction: Direction) -> bool:
        """Return whether a trial stops whose runs had the first of these values, and the best trial's the second.

        Args:
            pairs: One for each run that both have finished.
            best_value: The mean over all runs of the best trial.
            direction: Which way is better.
        """
        if len(pairs) < max(2, self.startup_runs):
            return False
        # Here, since it takes a second and only such studies need it.
        from scipy.stats import wilcoxon

        # The test is one of signs and ranks: a trial may fail it and have the better mean all the same.
        if not _is_worse(statistics.fmean(mine for mine, _ in pairs), best_value, direction):
            return False
        worse: Literal["less", "greater"] = "less" if direction == "maximize" else "greater"
        differences = [mine - best for mine, best in pairs]
        # zsplit is defined where all differences are zero.
        return bool(wilcoxon(differences, alternative=worse, zero_method="zsplit").pvalue < self.p_threshold)


class Patient(_Pruner):
    """Lets another pruner stop a trial only once its own curve stands still, as Optuna's ``PatientPruner``.

    The other pruner records and judges at its own rungs; Optuna's does so only where patience has run out. Without
    another pruner a trial stops by its own curve alone, which is early stopping whose trials count as pruned: use
    ``keras.callbacks.EarlyStopping`` in ``fit_options`` where they are to count as complete.
    """

    kind: Literal["patient"] = "patient"
    #: the pruner that decides once patience has run out; None: then the trial stops
    wrapped: (
        Annotated[Hyperband | SuccessiveHalving | Percentile | Median | Threshold, Field(discriminator="kind")] | None
    ) = None
    patience: NonNegativeInt  #: epochs beyond one that may pass without a new best
    min_delta: NonNegativeFloat = 0.0  #: a new best has to come this near to the old one, in units of the metric

    @property
    def compares(self) -> bool:
        """Whether a trial is compared with others: where the other pruner does."""
        return self.wrapped is not None and self.wrapped.compares

    def brackets_for(self, max_epochs: int) -> int:
        """Return the number of brackets of the other pruner."""
        return 1 if self.wrapped is None else self.wrapped.brackets_for(max_epochs)

    def bracket_of(self, configuration: int, max_epochs: int, seed: int) -> int:
        """Return the bracket that the other pruner gives a configuration."""
        return 0 if self.wrapped is None else self.wrapped.bracket_of(configuration, max_epochs, seed)

    def rungs(self, bracket: int, max_epochs: int) -> tuple[int, ...]:
        """Return the rungs of the other pruner, or every epoch at which patience can have run out."""
        if self.wrapped is None:
            return tuple(range(self.patience + 2, max_epochs))
        return self.wrapped.rungs(bracket, max_epochs)

    def should_prune(self, value: float, others: Sequence[float], curve: Sequence[float], direction: Direction) -> bool:
        """Return whether patience has run out, and the other pruner, if there is one, stops the trial.

        Source: Optuna's ``pruners/_patient.py``.
        """
        recent = self.patience + 1
        before, after = best_of(curve[:-recent], direction), best_of(curve[-recent:], direction)
        if before is None or after is None:
            return False
        bar = before - self.min_delta if direction == "maximize" else before + self.min_delta
        if not _is_worse(after, bar, direction):
            return False
        return self.wrapped is None or self.wrapped.should_prune(value, others, curve, direction)


Pruner = Annotated[
    Hyperband | SuccessiveHalving | Percentile | Median | Threshold | Patient | Wilcoxon | NoPruning,
    Field(discriminator="kind"),
]


def _is_worse(value: float, than: float, direction: Direction) -> bool:
    return value < than if direction == "maximize" else value > than


def _percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile, between two values in proportion to its place, as ``numpy.percentile`` does."""
    ordered = sorted(values)
    place = percent / 100 * (len(ordered) - 1)
    below = math.floor(place)
    low, high, part = ordered[below], ordered[min(below + 1, len(ordered) - 1)], place - below
    # From the nearer end, so that equal ends give themselves.
    return low + (high - low) * part if part < 0.5 else high - (high - low) * (1 - part)


def judged_before(values: Mapping[int, float], configuration: int) -> list[float]:
    """Return the finite values of the other configurations at a rung, from the values by configuration."""
    return [value for other, value in values.items() if other != configuration and math.isfinite(value)]


def reported_epochs(max_epochs: int, rungs: Sequence[int], points: int = 30) -> frozenset[int]:
    """Return the epochs whose metric Optuna is told: the rungs, the last one, and about ``points`` in all.

    >>> sorted(reported_epochs(100, (1, 3, 9), points=4))
    [1, 3, 9, 25, 50, 75, 100]
    """
    step = max(1, math.ceil(max_epochs / points))
    return frozenset((*rungs, *range(step, max_epochs + 1, step), max_epochs))
