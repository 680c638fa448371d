"""The metrics of every epoch while it is young: for those who watch, beside the storage, and worth nothing later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class LiveEpoch:
    """What a training came to after an epoch."""

    trial: int  #: Optuna's number
    epoch: int  #: trained so far, over all runs
    run: int  #: which run it belongs to, from 0
    metrics: Mapping[str, float]


class LiveMetrics(Protocol):
    """Carries epochs from workers to those who watch. Where it is away, nothing waits and nothing fails."""

    def publish(self, stream: str, epoch: LiveEpoch) -> None:
        """Send an epoch of a study, at once or never."""

    def read(self, stream: str, after: str) -> list[tuple[str, LiveEpoch]] | None:
        """Return what came after an id, each with its own; ``None`` where it is away. The first id is ``0``."""

    def close(self) -> None:
        """Send what is on its way, if that takes no time, and let go of the connection."""
