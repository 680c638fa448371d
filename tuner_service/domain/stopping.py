"""When a study ends before its budget of trials is settled."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from tuner_service.domain.numbers import FiniteFloat, PositiveFloat, PositiveInt


class Stopping(BaseModel):
    """Rules of which each alone ends a study; trials are limited by the specification's ``trials``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    #: epochs trained in all trials together, repeated ones included; a trial starts only where its longest training
    #: still fits, so that they are never exceeded
    epochs: PositiveInt | None = None
    hours: PositiveFloat | None = None  #: since the first trial began; anew once a study that had ended goes on
    device_hours: PositiveFloat | None = None  #: hours of trials on their slots, added up
    target: FiniteFloat | None = None  #: a value of the metric that is good enough
    patience: PositiveInt | None = None  #: configurations settled one after another without a better value
    #: once a rule other than ``epochs`` holds: trials that run are trained to their end, or cancelled
    running: Literal["finish", "cancel"] = "finish"

    @property
    def has_rules(self) -> bool:
        """Whether there is any."""
        return any(value is not None for name, value in self if name != "running")
