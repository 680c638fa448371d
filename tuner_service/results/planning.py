"""What a study will take: its epochs by simulation, its time by a short training or by what its trials took."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tuner_service.domain.forecast import Forecast, forecast
from tuner_service.domain.spec import StudySpec
from tuner_service.results.summary import Summary, summarize
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.training import isolated
from tuner_service.training.measure import Measured, look

#: Configurations that must be settled before a study's own epochs count more than simulated ones.
_ENOUGH = 10


@dataclass(frozen=True)
class Plan:
    """What a study, or what is left of it, will take on so many slots."""

    spec: StudySpec
    slots: int
    forecast: Forecast  #: of the configurations that are left
    settled: int  #: configurations that are settled already
    epochs_each: float | None  #: epochs of a settled configuration, where there are enough of them
    epoch_s: tuple[float, float] | None  #: seconds of an epoch; None where nothing was measured
    start_s: float  #: seconds before a trial's first epoch, where they are known apart
    measured: Measured | None

    @property
    def epochs(self) -> float:
        """Epochs that are expected: as simulated, or as those before them took."""
        return self.forecast.epochs if self.epochs_each is None else self.epochs_each * self.forecast.configurations

    @property
    def seconds(self) -> tuple[float, float] | None:
        """How long it takes on its slots, with the shortest and the longest epochs."""
        if self.epoch_s is None:
            return None
        starts = -(-self.forecast.configurations // self.slots) * self.start_s
        # The slot that works longest: the last trials leave the others idle.
        one_by_one = self.forecast.longest * self.epochs / max(self.forecast.epochs, 1.0)
        low, high = (one_by_one * epoch_s + starts for epoch_s in self.epoch_s)
        return low, high


def plan_file(
    path: Path, changes: Sequence[Mapping[str, object]] = (), *, slots: int, devices: str | None = None
) -> Plan:
    """Return what a study of a study file will take; its code runs in a child process, and nothing is made.

    Args:
        path: The study file.
        changes: Fields that replace those of its specification, later ones last.
        slots: Trials at a time, over all workers.
        devices: Where three configurations are trained for three epochs to learn how long one takes, as
            CUDA_VISIBLE_DEVICES has it; None: nowhere, so that no time is known.

    Raises:
        SpecError: If the specification is not valid.
        StudyFileError: If the file cannot be used.
    """
    looked = isolated.call(look, path.resolve(), list(changes), devices)
    spec, measured = looked.spec, looked.measured
    budgets = [one for one in (spec.trials, looked.cells) if one is not None]
    return Plan(
        spec=spec,
        slots=slots,
        forecast=forecast(spec, min(budgets), slots=slots),
        settled=0,
        epochs_each=None,
        epoch_s=None if measured is None else measured.epoch_s,
        start_s=0.0 if measured is None else measured.start_s,
        measured=measured,
    )


def plan_study(storage: LedgerStorage, name: str, *, slots: int) -> Plan:
    """Return what is left of a study, by what its trials took so far."""
    summary = summarize(storage, name)
    left = max(summary.study.budget - summary.settled, 0)
    took = [
        one.epoch_seconds
        for one in storage.trials(summary.study.study_id)
        if one.attempt.state.final and one.epoch_seconds
    ]
    return Plan(
        spec=summary.study.spec,
        slots=slots,
        forecast=forecast(summary.study.spec, left, slots=slots, settled=summary.settled),
        settled=summary.settled,
        epochs_each=_epochs_each(summary),
        epoch_s=_middle(took) if took else None,
        start_s=0.0,
        measured=None,
    )


def _epochs_each(summary: Summary) -> float | None:
    return summary.epochs_trained / summary.settled if summary.settled >= _ENOUGH else None


def _middle(values: Sequence[float]) -> tuple[float, float]:
    """Return the range that leaves out the lowest and the highest tenth."""
    if len(values) < 3:
        return min(values), max(values)
    tenths = statistics.quantiles(values, n=10, method="inclusive")
    return tenths[0], tenths[-1]
