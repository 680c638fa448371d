"""When a trial is stopped early: the ladders of fidelities, and the decision at each rung.

Fidelity is the number of epochs trained, counted from 1. A configuration is judged once in each rung, whichever of its
attempts reached it, and never at ``max_epochs``: who gets there is complete.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from tuner_service.domain.direction import Direction
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


class _Halving(BaseModel):
    """What the two pruners share that stop all but the best at each rung."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    min_epochs: PositiveInt = 1  #: epochs of the lowest rung; no trial is judged earlier
    reduction_factor: int = Field(default=3, ge=2)  #: one in this many goes on from a rung

    def should_prune(self, value: float, others: Sequence[float], direction: Direction) -> bool:
        """Return whether a trial stops at a rung where it has this value and the configurations before it had others.

        The first ``reduction_factor - 1`` to arrive go on only if they are the best so far.

        Source: asynchronous successive halving, as in Optuna's ``pruners/_successive_halving.py``.
        """
        reached = sorted((*others, value), reverse=direction == "maximize")
        kept = max(len(reached) // self.reduction_factor, 1)
        threshold = reached[kept - 1]
        return value < threshold if direction == "maximize" else value > threshold


class SuccessiveHalving(_Halving):
    """Asynchronous successive halving (ASHA, arXiv:1810.05934): one ladder of rungs for all trials."""

    kind: Literal["successive-halving"] = "successive-halving"

    def brackets_for(self, max_epochs: int) -> int:  # noqa: ARG002 - one signature for all pruners
        """Return the number of brackets: one."""
        return 1

    def bracket_of(self, configuration: int, max_epochs: int, seed: int) -> int:  # noqa: ARG002
        """Return the bracket of a configuration: there is only one."""
        return 0

    def rungs(self, bracket: int, max_epochs: int) -> tuple[int, ...]:  # noqa: ARG002
        """Return the epochs after which a trial is judged."""
        return rung_epochs(self.min_epochs, max_epochs, self.reduction_factor)


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

    def rungs(self, bracket: int, max_epochs: int) -> tuple[int, ...]:
        """Return the epochs after which a trial of this bracket is judged."""
        return rung_epochs(self.min_epochs, max_epochs, self.reduction_factor)[bracket:]

    def _shares(self, max_epochs: int) -> tuple[int, ...]:
        return bracket_shares(self.min_epochs, max_epochs, self.reduction_factor, self.brackets)


class Median(BaseModel):
    """Stops a trial that is worse than the median of the earlier ones at that epoch (Golovin et al., Vizier, 2017)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["median"] = "median"
    startup_trials: NonNegativeInt = 5  #: configurations that must have reached an epoch before one is stopped there
    min_epochs: PositiveInt = 1  #: epochs trained before a trial is judged for the first time
    interval_epochs: PositiveInt = 1  #: epochs from one judgement to the next

    def brackets_for(self, max_epochs: int) -> int:  # noqa: ARG002
        """Return the number of brackets: one."""
        return 1

    def bracket_of(self, configuration: int, max_epochs: int, seed: int) -> int:  # noqa: ARG002
        """Return the bracket of a configuration: there is only one."""
        return 0

    def rungs(self, bracket: int, max_epochs: int) -> tuple[int, ...]:  # noqa: ARG002
        """Return the epochs after which a trial is judged."""
        return tuple(range(self.min_epochs, max_epochs, self.interval_epochs))

    def should_prune(self, value: float, others: Sequence[float], direction: Direction) -> bool:
        """Return whether a trial stops at an epoch where it has this value and earlier configurations had others."""
        if not others or len(others) < self.startup_trials:
            return False
        median = statistics.median(others)
        return value < median if direction == "maximize" else value > median


class NoPruning(BaseModel):
    """Every trial is trained to its end."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["none"] = "none"

    def brackets_for(self, max_epochs: int) -> int:  # noqa: ARG002
        """Return the number of brackets: one."""
        return 1

    def bracket_of(self, configuration: int, max_epochs: int, seed: int) -> int:  # noqa: ARG002
        """Return the bracket of a configuration: there is only one."""
        return 0

    def rungs(self, bracket: int, max_epochs: int) -> tuple[int, ...]:  # noqa: ARG002
        """Return the epochs after which a trial is judged: none."""
        return ()

    def should_prune(self, value: float, others: Sequence[float], direction: Direction) -> bool:  # noqa: ARG002
        """Return that no trial is stopped."""
        return False


Pruner = Annotated[Hyperband | SuccessiveHalving | Median | NoPruning, Field(discriminator="kind")]


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
