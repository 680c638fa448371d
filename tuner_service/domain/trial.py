"""A trial as people read it: one attempt with its parameters, values and reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tuner_service.domain.attempt import Attempt, Param
from tuner_service.domain.outcome import Failure
from tuner_service.domain.run import RUNS, RunRecord, Spread, parse_runs, spread_of


@dataclass(frozen=True)
class Trial:
    """One row of a study; times are the database's, in seconds since 1970."""

    attempt: Attempt
    params: Mapping[str, Param] = field(default_factory=dict)
    best_epoch: int | None = None  #: the epoch, from 1, at which the value of a single run was reached
    reported: Mapping[int, float] = field(default_factory=dict)  #: values by step, as Optuna has them
    attributes: Mapping[str, object] = field(default_factory=dict)  #: user attributes
    constraints: Mapping[str, float] = field(default_factory=dict)  #: satisfied at zero or below
    failure: Failure | None = None
    started_at: float | None = None
    code: str | None = None  #: digest of the code that trained it
    environment: Mapping[str, str] = field(default_factory=dict)  #: what trained it: host, device, digest of the data

    @property
    def runs(self) -> list[RunRecord]:
        """Its finished runs where it has several, in their order."""
        return parse_runs(self.attributes.get(RUNS))

    @property
    def spread(self) -> Spread | None:
        """How far the values of its runs lie apart; ``None`` of fewer than two."""
        return spread_of([one.value for one in self.runs])

    @property
    def seconds(self) -> float | None:
        """How long it took, from claim to end."""
        if self.started_at is None or self.attempt.ended_at is None:
            return None
        return self.attempt.ended_at - self.started_at

    @property
    def epoch_seconds(self) -> float | None:
        """How long an epoch of it took, everything around it included; ``None`` where none was trained."""
        trained = self.attempt.own_epochs
        return self.seconds / trained if trained > 0 and self.seconds is not None else None
