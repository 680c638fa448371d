"""A worker as others see it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WorkerInfo:
    """A worker's announcement; times are the database's, in seconds since 1970."""

    worker_id: str
    study_id: int
    host: str
    pid: int
    slots: int
    started_at: float
    beat_at: float  #: its last sign of life
    lease_s: float  #: how long one is good for
    beat_s: float = 10.0  #: from one to the next
    stopped: bool = False  #: it said goodbye

    def alive(self, now: float) -> bool:
        """Return whether it has not stopped and is heard of."""
        return not self.stopped and now - self.beat_at < self.lease_s

    def late(self, now: float) -> bool:
        """Return whether its last beat is more than two beats ago."""
        return now - self.beat_at > 2 * self.beat_s


@dataclass(frozen=True)
class Progress:
    """Where a running trial stands."""

    trial_id: int
    epoch: int  #: epochs trained, over all runs
    value: float | None  #: the metric at that epoch
    run: int = 0  #: which of its runs it is at, from 0
    resumed_from: int = 0  #: epochs of them that an earlier attempt had trained
    checkpoint: int = 0  #: epochs after which it was last saved
