"""Which of two studies found something better, as far as their trials can tell."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tuner_service.domain.direction import Direction
from tuner_service.domain.run import CONFIDENCE

#: Fewest trials of each study, and runs of each winner, that say anything.
LEAST_TRIALS, LEAST_RUNS = 10, 3

#: Draws from each study's trials.
_DRAWS = 10_000


@dataclass(frozen=True)
class Gain:
    """By how much the first of two studies is better, in the metric; negative where it is worse."""

    gain: float  #: the median, or the difference of means
    low: float  #: of the interval
    high: float
    of: str  #: what is compared, in words

    @property
    def decided(self) -> bool:
        """The interval leaves out zero."""
        return self.low > 0 or self.high < 0


def gain_of_search(
    mine: Sequence[float | None], theirs: Sequence[float | None], direction: Direction, *, seed: int = 0
) -> Gain | None:
    """Compare the best of as many trials of each study; ``None`` where one has too few to say anything.

    From each study's configurations, half as many as the smaller study has are drawn with replacement, and the best
    values compared, again and again: the interval holds 95 of 100 such differences. Half, since the best value of a
    draw of all would hardly vary. Trials count alike, whenever they came, so that a sampler that learns is judged by
    all that it did.

    Args:
        mine: The values of the settled configurations; ``None`` of one that did not finish, which is worse than all.
        theirs: Those of the other study.
        direction: Which way is better.
        seed: Of the draws.

    Source: Dodge et al., Show Your Work: Improved Reporting of Experimental Results, arXiv:1909.03004, the best of n
    trials; Bickel, Götze and van Zwet, Resampling Fewer Than n Observations, Statistica Sinica 7 (1997), why fewer.
    """
    many = min(len(mine), len(theirs)) // 2
    if 2 * many < LEAST_TRIALS:
        return None
    draw = random.Random(seed)
    ranked = [sorted(_gain(value, direction) for value in values)[::-1] for values in (mine, theirs)]
    gains = []
    for _ in range(_DRAWS):
        # The smallest of `many` ranks that are drawn, by the inverse of its distribution.
        ours, others = (values[int(len(values) * -math.expm1(math.log1p(-draw.random()) / many))] for values in ranked)
        gains.append(0.0 if ours == others else ours - others)
    gains.sort()
    low, middle, high = (
        gains[int(share * (_DRAWS - 1))] for share in ((1 - CONFIDENCE) / 2, 0.5, (1 + CONFIDENCE) / 2)
    )
    return Gain(middle, low, high, f"the best of {many} trials")


def gain_of_runs(mine: Sequence[float], theirs: Sequence[float], direction: Direction) -> Gain | None:
    """Compare the mean of some runs with that of others by Welch's t; ``None`` of too few runs.

    Source: Welch, The generalization of Student's problem when several different population variances are involved,
    Biometrika 34 (1947). Runs of folds share rows, for which the interval is too narrow.
    """
    if min(len(mine), len(theirs)) < LEAST_RUNS:
        return None
    sign = 1 if direction == "maximize" else -1
    gain = sign * (statistics.fmean(mine) - statistics.fmean(theirs))
    parts = [statistics.variance(values) / len(values) for values in (mine, theirs)]
    of = "the mean of the winners' runs"
    if not any(parts):
        return Gain(gain, gain, gain, of)
    # Here, since it takes half a second to import.
    from scipy.stats import t

    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, (mine, theirs), strict=True)
    )
    reach = float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * math.sqrt(sum(parts))
    return Gain(gain, gain - reach, gain + reach, of)


def _gain(value: float | None, direction: Direction) -> float:
    if value is None:
        return -math.inf
    return value if direction == "maximize" else -value
