"""Parameters and values on axes: numbers, logarithms, or categories in places of their own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from tuner_service.domain.attempt import Param
from tuner_service.domain.direction import Direction

#: Longest name of a category that is shown.
_LONGEST = 24
#: Range of whole numbers up to which each has a tick.
_FEW = 12
#: Powers of ten from which on only they have ticks.
_MANY_DECADES = 2


@dataclass(frozen=True)
class Axis:
    """A parameter's axis."""

    name: str
    log: bool
    categories: Sequence[Param]  #: empty of a number
    few: bool = False  #: whole numbers, few enough to name each
    low: float = 0.0  #: its lower end
    decades: float = 0.0  #: that a logarithmic one spans

    def place(self, value: Param) -> float:
        """Return where a value stands: the number, or the number of its category."""
        if self.categories:
            return float(self.categories.index(value))
        assert isinstance(value, int | float)  # noqa: S101 - it has no categories
        return float(value)

    def scaled(self, value: Param) -> float:
        """Return where a value stands on a scale on which equal steps look equal."""
        place = self.place(value)
        return math.log10(place) if self.log else place

    @property
    def log_ticks(self) -> list[float]:
        """Ticks at 1, 2 and 5 of each power of ten, where a logarithmic axis spans less than two."""
        if self.decades >= _MANY_DECADES:
            return []
        first = math.floor(math.log10(self.low))
        ticks = [digit * 10.0**power for power in range(first, first + 4) for digit in (1, 2, 5)]
        return [tick for tick in ticks if 0.9 * self.low <= tick <= 1.1 * self.low * 10**self.decades]

    @property
    def labels(self) -> list[str]:
        """The names of its categories, shortened."""
        return [shortened(str(value)) for value in self.categories]


def axes(space: Mapping[str, BaseDistribution]) -> dict[str, Axis]:
    """Return the axis of each parameter."""
    found = {}
    for name, distribution in space.items():
        categories: Sequence[Param] = ()
        if isinstance(distribution, CategoricalDistribution):
            categories = list(distribution.choices)
        low, high = getattr(distribution, "low", 0), getattr(distribution, "high", 0)
        log = bool(getattr(distribution, "log", False)) and low > 0
        few = isinstance(distribution, IntDistribution) and not log and high - low <= _FEW
        found[name] = Axis(name, log, categories, few, low, math.log10(high / low) if log else 0.0)
    return found


def shortened(text: str, most: int = _LONGEST) -> str:
    """Return a text that fits, its end replaced by dots."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def view_of(values: Sequence[float], better: Direction) -> tuple[float, float] | None:
    """Return the range of values to look at where a few poor ones would flatten all others; else ``None``.

    It reaches from the best value over nine tenths of them and a little further.

    >>> view_of([0.1] * 5 + [0.2] * 5 + [0.3] * 9 + [1e6], "minimize")
    (0.08, 0.36)
    """
    finite = sorted((one for one in values if math.isfinite(one)), reverse=better == "maximize")
    if len(finite) < 10:
        return None
    best, most, worst = finite[0], finite[int(0.9 * (len(finite) - 1))], finite[-1]
    if abs(worst - best) <= 3 * abs(most - best) or most == best:
        return None
    reach = most - best
    ends = (best - 0.1 * reach, most + 0.3 * reach)
    return min(ends), max(ends)
