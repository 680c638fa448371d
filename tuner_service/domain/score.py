"""A look at the test part: what a finished model did on the data that tuning never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Scored(StrEnum):
    """Which model of a trial was measured."""

    TRIAL = "trial"  # the one that its training left
    REFIT = "refit"  # one trained with its parameters on all data but the test part


@dataclass(frozen=True)
class Score:
    """One look, as the storage keeps it."""

    trial: int
    model: Scored
    metrics: Mapping[str, float]
    who: str  #: user and host
    at: float = 0.0  #: the storage's time, in seconds since 1970
