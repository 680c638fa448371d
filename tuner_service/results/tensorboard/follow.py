"""A study written for TensorBoard while it runs: what is reported as it is, and each trial as a whole in the end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from tuner_service.domain.attempt import Attempt
from tuner_service.domain.outcome import Reason, State
from tuner_service.domain.study import StudyRecord
from tuner_service.domain.trial import Trial
from tuner_service.errors import ArtifactError
from tuner_service.ledger.patience import Patience
from tuner_service.results.tensorboard.event_file import EventFile
from tuner_service.results.tensorboard.events import (
    begin_again,
    experiment,
    of_run,
    run_folder,
    scalar,
)
from tuner_service.results.tensorboard.export import check_installed, told_if_unwritable
from tuner_service.results.trials import curves, first_epoch, reported_curve
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.storage.live import LiveEpoch, LiveMetrics

#: Pause between two looks, in seconds; looking takes at most one part in so many of the time.
_LOOK_S, _SHARE = 2.0, 5
#: Trials that are read at a time.
_PIECE = 200


def follow_tensorboard(
    storage: LedgerStorage,
    name: str,
    folder: Path,
    *,
    live: LiveMetrics | None = None,
    pause: Callable[[float], object] = time.sleep,
) -> int:
    """Write a study below ``folder/NAME`` until it has ended, and return how many trials there are.

    A storage that is away is waited for. Started again, it goes on: a trial that is there as a whole is left as it is,
    and one that runs is told anew.

    Args:
        storage: Where the study is.
        name: The study.
        folder: Made where it is missing.
        live: Has every metric of every epoch; without it there is what trials report to the storage.
        pause: Waits between two looks.

    Raises:
        SpecError: If TensorBoard is not installed, or the folder cannot be written to.
        StudyNotFoundError: If there is no such study.
    """
    check_installed()
    following = _Following(storage, storage.study(name), folder, live)
    patiently = Patience()
    while True:
        began = time.monotonic()
        if patiently(following.look):
            return patiently(following.finish)
        pause(max(_LOOK_S, _SHARE * (time.monotonic() - began)))


class _Run:
    """The file of a run that goes on."""

    def __init__(self, file: EventFile) -> None:
        self._file = file
        self._last: dict[str, int] = {}
        self._events: list[Any] = []
        held = file.held()
        if held.is_whole:
            # Of another study that had this name.
            file.replace([])
        elif held.size:
            # What another process has told is told anew, since nobody knows how it went on.
            file.cut_to(held.size)
            self._events.append(begin_again())

    def tell(self, metric: str, epoch: int, value: float, at: float) -> None:
        """Take note of a value, unless this or a later epoch is known: TensorBoard wants them in their order."""
        if epoch > self._last.get(metric, 0) and math.isfinite(value):
            self._last[metric] = epoch
            self._events.append(scalar(metric, epoch, value, at))

    def write(self) -> None:
        """Write what is new."""
        if self._last and self._events:
            self._file.append(self._events)
            self._events = []


class _Following:
    """Writes what is new at each look; one that was cut short because the storage went away may be repeated."""

    def __init__(self, storage: LedgerStorage, study: StudyRecord, folder: Path, live: LiveMetrics | None) -> None:
        self._storage, self._study, self._live = storage, study, live
        self._folder, self._root = folder, folder / study.name
        self._runs: dict[tuple[int, int], _Run] = {}
        self._ended: set[int] = set()
        self._metrics: dict[str, None] = {}
        self._heard: list[tuple[str, LiveEpoch]] = []
        self._after = "0"

    def look(self) -> bool:
        """Write what is new, and return whether the study has ended."""
        # Before the rows are read, so that each trial that is heard of is among them.
        self._hear()
        rows = self._storage.look(self._study.name)
        running = [one.number for one in rows.attempts if one.state is State.RUNNING]
        is_over = rows.study.ending is not None and not running
        ended = [one.number for one in rows.attempts if _has_trained(one) and one.number not in self._ended]
        with told_if_unwritable(self._folder):
            if rows.study.ending is None:
                # Without the columns of before TensorBoard finds out itself which there are.
                EventFile(self._root).path.unlink(missing_ok=True)
            self._tell_heard(frozenset(running))
            for one in self._read(running):
                for step, value in sorted(one.reported.items()):
                    epoch = step + first_epoch(self._study)
                    self._run(one.attempt.number, 0).tell(self._study.spec.watched, epoch, value, rows.now)
            for run in self._runs.values():
                run.write()
            for one in self._read(ended):
                try:
                    self._end(one)
                except ArtifactError:
                    # The next look tries again; the last one has to say it.
                    if is_over:
                        raise
        return is_over

    def finish(self) -> int:
        """Name the columns of the HParams tab, and return how many trials there are."""
        trials = [one for one in self._storage.trials(self._study.study_id) if one.started_at is not None]
        with told_if_unwritable(self._folder):
            EventFile(self._root).replace([experiment(self._study, trials, self._metrics)])
        return len(trials)

    def _hear(self) -> None:
        while self._live is not None and (entries := self._live.read(self._study.probe, self._after)):
            self._heard += entries
            self._after = entries[-1][0]

    def _tell_heard(self, running: Collection[int]) -> None:
        for number, epoch in self._heard:
            if epoch.trial in running:
                for metric, value in epoch.metrics.items():
                    # Redis numbers its entries by milliseconds since 1970, and within them.
                    at = int(number.partition("-")[0]) / 1000
                    self._run(epoch.trial, epoch.run).tell(metric, epoch.epoch, value, at)
        self._heard.clear()

    def _read(self, numbers: Sequence[int]) -> Iterator[Trial]:
        for first in range(0, len(numbers), _PIECE):
            piece = numbers[first : first + _PIECE]
            yield from self._storage.trials(self._study.study_id, numbers=piece, curves=True)

    def _run(self, trial: int, run: int) -> _Run:
        if (trial, run) not in self._runs:
            self._runs[trial, run] = _Run(self._file(trial, run))
        return self._runs[trial, run]

    def _file(self, trial: int, run: int) -> EventFile:
        return EventFile(self._root / run_folder(self._study, trial, run))

    def _end(self, trial: Trial) -> None:
        """Write the runs of a trial as wholes, in place of what was told of them."""
        number = trial.attempt.number
        for run, curve in enumerate(curves(self._study, number) or [reported_curve(self._study, trial)]):
            self._metrics |= dict.fromkeys(curve)
            file = self._file(number, run)
            held = file.held()
            if held.begin not in (None, trial.started_at):
                # Of another study that had this name.
                file.replace(of_run(self._study, trial, curve))
            elif not held.is_whole:
                file.cut_to(held.size)
                again = [begin_again()] if held.size else []
                file.append([*again, *of_run(self._study, trial, curve)])
            self._runs.pop((number, run), None)
        self._ended.add(number)


def _has_trained(attempt: Attempt) -> bool:
    return attempt.state.final and attempt.claimed_at is not None and attempt.reason is not Reason.WITHDRAWN
