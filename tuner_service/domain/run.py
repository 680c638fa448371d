"""A run: one training of a configuration. It has as many as executions times folds, and their mean is its value."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from tuner_service.domain.seeds import hash_seed

#: Name of the attribute of a trial that holds its runs.
RUNS = "runs"
#: Share of such intervals that hold the true mean, were the runs independent draws of a normal distribution.
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Run:
    """Which training it is; everything counts from 0."""

    index: int  #: its place among the configuration's runs
    execution: int  #: which repetition
    fold: int | None  #: which fold its rows are of; None without folds
    seed: int  #: of its initial weights, shuffling and dropout


def runs_of(executions: int, folds: int | None, seed: int) -> list[Run]:
    """Return the runs of a configuration in their order: all folds of the first execution, then of the next.

    The first has the configuration's own seed, as it would alone.

    >>> [(run.execution, run.fold) for run in runs_of(2, 3, seed=7)]
    [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    """
    places = itertools.product(range(executions), [None] if folds is None else range(folds))
    return [
        Run(index, execution, fold, seed if index == 0 else hash_seed(seed, index, "run"))
        for index, (execution, fold) in enumerate(places)
    ]


@dataclass(frozen=True)
class RunRecord:
    """A run that has ended, as its trial keeps it."""

    execution: int
    fold: int | None
    seed: int
    value: float
    epochs: int  #: epochs trained
    best_epoch: int | None  #: the epoch, from 1, whose weights belong to the value
    values: tuple[float, ...] = ()  #: of several objectives, all

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Return the record that JSON held, which knows lists only."""
        return cls(**{**fields, "values": tuple(fields.get("values", ()))})


@dataclass(frozen=True)
class Spread:
    """How far the values of a configuration's runs lie apart."""

    runs: int
    mean: float
    std: float  #: standard deviation of the values, with n - 1
    low: float  #: of the interval of the mean, by Student's t
    high: float


def spread_of(values: Sequence[float]) -> Spread | None:
    """Return the spread of some values; ``None`` of fewer than two."""
    if len(values) < 2:
        return None
    # Here, since nothing else in the commands needs it, and it takes half a second.
    from scipy.stats import t

    mean, std = statistics.fmean(values), statistics.stdev(values)
    reach = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * std / math.sqrt(len(values))
    return Spread(len(values), mean, std, mean - reach, mean + reach)


def parse_runs(attribute: object) -> list[RunRecord]:
    """Return the runs that a trial's attribute holds; none where a user's own attribute has that name."""
    try:
        return [RunRecord.of(one) for one in attribute if isinstance(one, Mapping)]  # type: ignore[attr-defined]
    except TypeError:
        return []
