"""What happens at each epoch's end: the metric is reported and judged, the epoch that counts kept, the state saved."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import optuna

from tuner_service.domain.run import Run, RunRecord
from tuner_service.training.assignment import EVALUATION_FILE, MODEL_FILE, Assignment, checkpoint_file
from tuner_service.training.checkpoint import Checkpoint, plain_state, restore_plain, variables_of
from tuner_service.training.engine import TrainingPath
from tuner_service.training.objectives import check_names, reported_one
from tuner_service.training.remote_trial import Pipe


class DivergedError(Exception):
    """The metric or the loss is not a finite number any more."""


class InterruptedTrainingError(Exception):
    """The supervisor wants the child to end; the state of the last epoch is saved."""


@dataclass(frozen=True)
class FinishedRun:
    """A run that has ended, with every metric of its epochs."""

    record: RunRecord
    curve: Mapping[str, list[float]]


class EpochWatch(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Watches the runs of one attempt, one after the other; ``curve``, ``epochs`` and the like are the present run's.

    Only the first run is judged at rungs, and only its epochs are told Optuna: what later runs come to belongs to the
    mean, and would be compared with first runs there.
    """

    def __init__(self, pipe: Pipe, assignment: Assignment, scratch: Path) -> None:
        super().__init__()
        self._pipe = pipe
        self._task = assignment
        self._scratch = scratch
        # As Keras does when it trains: a `fit` of the study's own can look there.
        self.set_params({"epochs": assignment.max_epochs})
        self.finished: list[FinishedRun] = []
        self.run: Run = assignment.runs[0]
        self.curve: dict[str, list[float]] = {}
        self.epochs = 0
        self.last: float | None = None
        self.best_epoch: int | None = None  #: the one whose weights belong to the value
        self.path: TrainingPath | None = None  #: how it was trained, where it is this service that does it
        self.together: Sequence[EpochWatch] = ()  #: the watches of runs that are trained at once, the present one first
        self.has_ended = False  #: whether the run trains no further epoch, while others do with which it is trained
        self._best_weights: list[Any] = []
        self._saves = False
        self._others: list[keras.callbacks.Callback] = []
        self._others_state: Sequence[Mapping[str, Any]] = []
        self._saved_at = time.monotonic()
        self._interrupted = False

    def take_path(self, path: TrainingPath) -> None:
        """Take note of how the present run is trained."""
        self.path = path

    @property
    def value(self) -> float | None:
        """The value of the present run so far."""
        series = self.curve.get(self._task.metric)
        return self._task.value.of(series, self._task.direction) if series and self.best_epoch else None

    @property
    def value_of_weights(self) -> float | None:
        """The metric in the epoch whose weights are kept."""
        return None if self.best_epoch is None else self.curve[self._task.metric][self.best_epoch - 1]

    @property
    def value_if_stopped(self) -> float | None:
        """The value of a trial that is stopped here: the mean of its finished runs, or the first run's last epoch."""
        values = [one.record.value for one in self.finished]
        return statistics.fmean(values) if values else self.last

    @property
    def epochs_of_all(self) -> int:
        """Epochs trained over all runs."""
        return self._epochs_before + sum(one.epochs for one in self.together or (self,))

    @property
    def curves(self) -> list[Mapping[str, list[float]]]:
        """Every metric of every epoch, run by run."""
        present = [one.curve for one in self.together or (self,)]
        return [*(one.curve for one in self.finished[: self.run.index]), *present]

    @property
    def _epochs_before(self) -> int:
        return sum(one.record.epochs for one in self.finished[: self.run.index])

    def interrupt(self) -> None:
        """End the training after the epoch that is being trained, saved where it can go on from there."""
        self._interrupted = True

    def begin(self, run: Run) -> None:
        """Turn to a run, whose network is not built yet; what was finished is saved now and then.

        Raises:
            InterruptedTrainingError: If the supervisor wants the child to end.
        """
        self.run, self.curve, self.epochs, self.last = run, {}, 0, None
        self.best_epoch, self._best_weights, self.together = None, [], ()
        self._saves, self._others, self._others_state = False, [], []
        if run.index:
            self.save_if_due()

    def finish(self, value: float, values: Sequence[float]) -> None:
        """Keep the present run as one that has this value, and of several objectives these."""
        run = self.run
        record = RunRecord(run.execution, run.fold, run.seed, value, self.epochs, self.best_epoch, tuple(values))
        self.finished.append(FinishedRun(record, self.curve))

    def keep_checkpoints(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """Save the training now and then, with the plain state of these callbacks."""
        self._saves = True
        self._others = list(callbacks)

    def resume(self, run: Run, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint: its curves are this attempt's, and what was reported there is reported anew."""
        self.finished = [FinishedRun(RunRecord.of(one["record"]), one["curve"]) for one in checkpoint.finished]
        self.go_on(run, checkpoint)
        first = checkpoint.members[0].curve if checkpoint.members and not self.finished else self.curves[0]
        for epoch, value in enumerate(first.get(self._task.metric, []), start=1):
            if epoch in self._task.reported:
                self._pipe.tell("report", epoch, epoch, value)
        self._pipe.tell("resumed", self._epochs_before + checkpoint.epochs, run.index)

    def go_on(self, run: Run, checkpoint: Checkpoint) -> None:
        """Turn to a run that a checkpoint has the state of."""
        self.run = run
        self.curve = {name: list(values) for name, values in checkpoint.curve.items()}
        self.epochs, self.best_epoch = checkpoint.epoch, checkpoint.best_epoch
        self._best_weights, self.has_ended = list(checkpoint.best_weights), checkpoint.has_ended
        self._others_state = checkpoint.callbacks
        self.last = next(iter(self.curve.get(self._task.metric, [])[-1:]), None)

    def take(self, member: EpochWatch) -> None:
        """Turn to a run that was trained together with others, as its own watch has it; those after it follow."""
        self.run, self.curve, self.epochs, self.last = member.run, member.curve, member.epochs, member.last
        self.best_epoch = member.best_epoch
        self.together = self.together[self.together.index(member) :]

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Give the study's callbacks their state back, which they have just reset."""
        for callback, state in zip(self._others, self._others_state, strict=False):
            restore_plain(callback, state)
        self._others_state = []

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Take note of an epoch. It is counted here, from 1, since a study's own ``fit`` may call Keras' twice."""
        task, is_first = self._task, self.run.index == 0
        value = reported_one(logs or {}, task.metric)
        # The other objectives, too, before an epoch more is trained; what only `fit` returns is not in the logs.
        for metric in (task.judged, *(one for one in task.metrics if one in (logs or {}))):
            reported_one(logs or {}, metric)
        logs = numbers(logs or {})
        check_names(task.metrics, logs)
        self.epochs += 1
        self.last = value
        for name, one in logs.items():
            self.curve.setdefault(name, []).append(one)
        self.tell_progress(self)
        if is_first and self.epochs in task.reported:
            self._pipe.tell("report", self.epochs, self.epochs, value)
        broken = [name for name in (task.metric, task.judged, "loss") if not math.isfinite(logs.get(name, 0.0))]
        if broken:
            raise DivergedError(f"{broken[0]} became {logs[broken[0]]} in epoch {self.epochs}")
        if task.value.keeps_last(self.curve[task.metric], task.direction):
            self.best_epoch = self.epochs
            self._best_weights = self.model.get_weights()
        judged = is_first and self.epochs in task.rungs
        if judged and self._should_prune():
            raise optuna.TrialPruned(f"stopped after epoch {self.epochs}")
        if self._saves and (self.model.stop_training or self.epochs >= self.params["epochs"]):
            # This was the last epoch: what is left takes less time than to train it again, and to go on would be wrong.
            return
        if self._saves:
            self.save_if_due()
        elif self._interrupted:
            # A study's own fit cannot go on in the middle; what is finished need not be done again.
            if self.finished:
                self._save(Checkpoint())
            raise InterruptedTrainingError

    def _should_prune(self) -> bool:
        task, curve = self._task, tuple(self.curve[self._task.judged])
        value = task.value.of(curve, task.judged_direction)
        return bool(self._pipe.ask("should_prune", self.epochs, value, curve))

    def tell_progress(self, of: EpochWatch) -> None:
        """Tell how far the attempt is, and what a run came to in its last epoch."""
        metrics = {name: values[-1] for name, values in of.curve.items()}
        self._pipe.tell("progress", self.epochs_of_all, of.last, of.run.index, metrics)

    def save_if_due(self) -> None:
        """Save the training now and then.

        Raises:
            InterruptedTrainingError: If the supervisor wants the child to end.
        """
        if self._interrupted or time.monotonic() - self._saved_at >= self._task.checkpoint_s:
            self._save(self._state())
        if self._interrupted:
            raise InterruptedTrainingError

    def _state(self) -> Checkpoint:
        if self.together:
            return Checkpoint(members=[one._state() for one in self.together])
        if not self.epochs:
            return Checkpoint()
        return Checkpoint(
            has_ended=self.has_ended,
            epoch=self.epochs,
            curve=self.curve,
            best_epoch=self.best_epoch,
            best_weights=self._best_weights,
            variables=[keras.ops.convert_to_numpy(one) for one in variables_of(self.model)],
            callbacks=[plain_state(one) for one in self._others],
        )

    def _save(self, state: Checkpoint) -> None:
        """Save the state of the present run, and what the finished ones left."""
        files = [self._scratch / name for name in (MODEL_FILE, EVALUATION_FILE)]
        checkpoint = dataclasses.replace(
            state,
            finished=[dataclasses.asdict(one) for one in self.finished],
            files={file.name: file.read_bytes() for file in files if file.exists()},
        )
        name = checkpoint_file(state.epochs, self.run.index)
        checkpoint.save(self._scratch / name)
        self._pipe.tell("checkpoint", self._epochs_before + state.epochs, name)
        self._saved_at = time.monotonic()

    def restore_best(self) -> None:
        """Give the model the weights that belong to its value."""
        # Also after the last epoch: the study's early stopping may have put back another one.
        if self._best_weights:
            self.model.set_weights(self._best_weights)


class MemberWatch(EpochWatch):
    """Watches one of several runs that are trained together; progress and checkpoints are those of all of them."""

    def tell_progress(self, of: EpochWatch) -> None:
        """Tell nothing."""

    def save_if_due(self) -> None:
        """Save nothing."""


def numbers(logs: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics that are one number; F1Score, for instance, gives one for each class unless it is told to."""
    return {name: float(value) for name, value in logs.items() if np.ndim(value) == 0}
