"""Numbers between 0 and 1 for parameters, and back: what CMA-ES and low-discrepancy sequences work with."""

from __future__ import annotations

import math

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from tuner_service.domain.attempt import Param


def from_unit(distribution: BaseDistribution, share: float) -> Param:
    """Return the parameter that lies at this share of a distribution; every step and choice has the same width.

    >>> [from_unit(IntDistribution(1, 4), share) for share in (0.0, 0.24, 0.26, 1.0)]
    [1, 1, 2, 4]
    """
    match distribution:
        case CategoricalDistribution(choices=choices):
            return choices[min(int(share * len(choices)), len(choices) - 1)]
        case IntDistribution(low=low, high=high, step=step, log=log):
            value = _at(*_edges(low, high, step, log=log), share, log=log)
            return min(max(low + step * round((value - low) / step), low), high)
        case FloatDistribution(low=low, high=high, step=step, log=log):
            value = _at(*_edges(low, high, step, log=log), share, log=log)
            if step is not None:
                value = low + step * round((value - low) / step)
            return min(max(value, low), high)
    raise TypeError(f"a distribution of an unknown kind, {distribution!r}")


def to_unit(distribution: BaseDistribution, value: float) -> float:
    """Return the share of a range at which a number lies."""
    assert isinstance(distribution, IntDistribution | FloatDistribution)  # noqa: S101 - choices have no order
    low, high = _edges(distribution.low, distribution.high, distribution.step, log=distribution.log)
    if low == high:
        return 0.5
    if distribution.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low)


def _edges(low: float, high: float, step: float | None, *, log: bool) -> tuple[float, float]:
    """Return a range widened by half a step at each end, so that the first and the last value get as much of it."""
    if step is None or (log and not isinstance(low, int)):
        return low, high
    return low - step / 2, high + step / 2


def _at(low: float, high: float, share: float, *, log: bool) -> float:
    return low * (high / low) ** share if log else low + share * (high - low)
