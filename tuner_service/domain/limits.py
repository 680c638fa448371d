"""How long a trial may take and be silent, how often it is saved, and with how many it shares a process."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from tuner_service.domain.numbers import PositiveFloat, PositiveInt

#: A trial is stuck once an epoch takes this many times the median of those before it.
_STALLED_EPOCHS = 5


class Limits(BaseModel):
    """Limits of one attempt, in seconds, and of the process that trains it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    trial_s: PositiveFloat | None = None  #: longest time of an attempt; without one it may take what it takes
    #: an attempt is stuck if no epoch ends for so long and for five times the median epoch; before its first epoch has
    #: ended, if it does not even use the processor for so long
    stalled_s: PositiveFloat = 600.0
    checkpoint_s: float = Field(10.0, ge=0, strict=True)  #: time from one checkpoint to the next; 0: one each epoch
    #: short trials that one process trains one after the other, where they come to the same as each in its own
    trials_per_process: PositiveInt = 30

    def stalled_after(self, median_epoch_s: float) -> float:
        """Return how long an attempt may be silent, from the median time of its epochs so far.

        >>> Limits().stalled_after(3.0), Limits().stalled_after(1000.0)
        (600.0, 5000.0)
        """
        return max(self.stalled_s, _STALLED_EPOCHS * median_epoch_s)
