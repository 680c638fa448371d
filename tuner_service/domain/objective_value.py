"""Which epochs of a training make its value: the best one, the last one, or the mean of the last few."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from tuner_service.domain.direction import Direction, is_better
from tuner_service.domain.numbers import PositiveInt


class BestEpoch(BaseModel):
    """The best epoch's metric. It flatters: the best of n noisy epochs is better than the network is."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["best"] = "best"

    def of(self, series: Sequence[float], direction: Direction) -> float:
        """Return the value of a training from its metric in each epoch; there is at least one."""
        return max(series) if direction == "maximize" else min(series)

    def keeps_last(self, series: Sequence[float], direction: Direction) -> bool:
        """Return whether the weights after the last of these epochs are those that belong to the value."""
        return len(series) == 1 or is_better(series[-1], self.of(series[:-1], direction), direction)


class _AtTheEnd(BaseModel):
    """What the two share whose weights are those after the last epoch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def keeps_last(self, series: Sequence[float], direction: Direction) -> bool:  # noqa: ARG002
        """Return that the weights after the last of these epochs are those that belong to the value."""
        return True


class LastEpoch(_AtTheEnd):
    """The last epoch's metric."""

    kind: Literal["last"] = "last"

    def of(self, series: Sequence[float], direction: Direction) -> float:  # noqa: ARG002
        """Return the value of a training from its metric in each epoch; there is at least one."""
        return series[-1]


class MeanOfLast(_AtTheEnd):
    """The mean of the metric over the last epochs, of all where there are fewer; the model is the last epoch's."""

    kind: Literal["mean-of-last"] = "mean-of-last"
    epochs: PositiveInt = 5  #: how many of the last epochs count

    def of(self, series: Sequence[float], direction: Direction) -> float:  # noqa: ARG002
        """Return the value of a training from its metric in each epoch; there is at least one."""
        return statistics.fmean(series[-self.epochs :])


ObjectiveValue = Annotated[BestEpoch | LastEpoch | MeanOfLast, Field(discriminator="kind")]
