"""Training one network: epochs with their metric watched, the best one kept, the model saved."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import optuna

from tuner_service.domain.direction import is_better
from tuner_service.errors import StudyFileError
from tuner_service.training.assignment import CURVE_FILE, EVALUATION_FILE, MODEL_FILE, Assignment, checkpoint_file
from tuner_service.training.batches import BATCH_SIZE, ShuffledBatches, is_arrays
from tuner_service.training.checkpoint import Checkpoint, plain_state, restore, restore_plain, variables_of
from tuner_service.training.data import Data, Part
from tuner_service.training.remote_trial import Pipe, RemoteTrial
from tuner_service.training.study_file import StudyFile
from tuner_service.training.value import number

#: Arguments of ``fit`` that are this service's to give.
_OURS = {"x", "y", "validation_data", "validation_split", "initial_epoch"}

#: How a ``fit`` of the study's own reports its epochs.
_REPORTING = (
    "pass the callbacks that it is given to model.fit (in a loop of its own: callback.set_model(model) before, and "
    "callback.on_epoch_end(epoch, logs) after each epoch)"
)


class DivergedError(Exception):
    """The metric or the loss is not a finite number any more."""


class InterruptedTrainingError(Exception):
    """The supervisor wants the child to end; the state of the last epoch is saved."""


class EpochWatch(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Watches the metric at each epoch's end: reports it, asks whether to go on, keeps the best epoch, checkpoints."""

    def __init__(self, pipe: Pipe, assignment: Assignment, scratch: Path) -> None:
        super().__init__()
        self._pipe = pipe
        self._task = assignment
        self._scratch = scratch
        # As Keras does when it trains: a `fit` of the study's own can look there.
        self.set_params({"epochs": assignment.max_epochs})
        self.curve: dict[str, list[float]] = {}
        self.epochs = 0
        self.resumed_from = 0  #: epochs that an earlier attempt had trained
        self.last: float | None = None
        self.best: float | None = None
        self.best_epoch: int | None = None
        self._best_weights: list[Any] = []
        self._saves = False
        self._others: list[keras.callbacks.Callback] = []
        self._others_state: Sequence[Mapping[str, Any]] = []
        self._saved_at = time.monotonic()
        self._interrupted = False

    def interrupt(self) -> None:
        """End the training after the epoch that is being trained, saved where it can go on from there."""
        self._interrupted = True

    def keep_checkpoints(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """Save the training now and then, with the plain state of these callbacks."""
        self._saves = True
        self._others = list(callbacks)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint: its curve is this attempt's, and what was reported there is reported anew."""
        task = self._task
        self.curve = {name: list(values) for name, values in checkpoint.curve.items()}
        self.epochs = self.resumed_from = checkpoint.epoch
        self.best, self.best_epoch = checkpoint.best, checkpoint.best_epoch
        self._best_weights = list(checkpoint.best_weights)
        self._others_state = checkpoint.callbacks
        for epoch, value in enumerate(self.curve.get(task.metric, []), start=1):
            self.last = value
            if epoch in task.reported:
                self._pipe.tell("report", epoch, epoch, value)
        self._pipe.tell("resumed", self.resumed_from)

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Give the study's callbacks their state back, which they have just reset."""
        for callback, state in zip(self._others, self._others_state, strict=False):
            restore_plain(callback, state)
        self._others_state = []

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Take note of an epoch. It is counted here, from 1, since a study's own ``fit`` may call Keras' twice."""
        task = self._task
        value, logs = metric_of(logs or {}, task.metric), numbers(logs or {})
        self.epochs += 1
        self.last = value
        for name, one in logs.items():
            self.curve.setdefault(name, []).append(one)
        self._pipe.tell("progress", self.epochs, value)
        if self.epochs in task.reported:
            self._pipe.tell("report", self.epochs, self.epochs, value)
        if not math.isfinite(value) or not math.isfinite(logs.get("loss", 0.0)):
            broken = task.metric if not math.isfinite(value) else "loss"
            raise DivergedError(f"{broken} became {logs[broken]} in epoch {self.epochs}")
        if is_better(value, self.best, task.direction):
            self.best, self.best_epoch = value, self.epochs
            self._best_weights = self.model.get_weights()
        if self.epochs in task.rungs and self._pipe.ask(
            "should_prune", self.epochs, self.best, tuple(self.curve[task.metric])
        ):
            raise optuna.TrialPruned(f"stopped after epoch {self.epochs}")
        if self._saves and (self.model.stop_training or self.epochs >= self.params["epochs"]):
            # This was the last epoch: what is left takes less time than to train it again, and to go on would be wrong.
            return
        if self._interrupted or time.monotonic() - self._saved_at >= task.checkpoint_s:
            self._save()
        if self._interrupted:
            raise InterruptedTrainingError

    def _save(self) -> None:
        if not self._saves:
            return
        checkpoint = Checkpoint(
            epoch=self.epochs,
            curve=self.curve,
            best=self.best,
            best_epoch=self.best_epoch,
            best_weights=self._best_weights,
            variables=[keras.ops.convert_to_numpy(one) for one in variables_of(self.model)],
            callbacks=[plain_state(one) for one in self._others],
        )
        name = checkpoint_file(self.epochs)
        checkpoint.save(self._scratch / name)
        self._pipe.tell("checkpoint", self.epochs, name)
        self._saved_at = time.monotonic()

    def restore_best(self) -> None:
        """Give the model the weights of its best epoch."""
        # Also after the last epoch: the study's early stopping may have put back another one.
        if self._best_weights:
            self.model.set_weights(self._best_weights)


def numbers(logs: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics that are one number; F1Score, for instance, gives one for each class unless it is told to."""
    return {name: float(value) for name, value in logs.items() if np.ndim(value) == 0}


def metric_of(logs: Mapping[str, Any], metric: str) -> float:
    """Return a metric of an epoch, or raise ``StudyFileError``: it is not there, or is more than one number."""
    if metric not in logs:
        raise StudyFileError(
            f"Keras reported no metric {metric!r}, only {', '.join(sorted(logs)) or 'none at all'}. "
            "Add it to model.compile(metrics=[...]), or change `metric` in the specification"
        )
    if np.ndim(logs[metric]):
        raise StudyFileError(
            f"the metric {metric!r} is an array of {np.size(logs[metric])} numbers, one for each class maybe, and a "
            "trial is judged by one. Have the metric average them, such as with "
            "keras.metrics.F1Score(average='macro'), or change `metric` in the specification"
        )
    return float(logs[metric])


def build(study: StudyFile, trial: optuna.trial.BaseTrial) -> keras.Model:
    """Return the network of a trial, checked to be a compiled one."""
    assert study.build_model is not None  # noqa: S101 - the caller has looked at the kind
    model = study.build_model(trial)
    if not isinstance(model, keras.Model):
        raise StudyFileError(f"build_model must return a compiled keras.Model, got {type(model).__name__}")
    if not model.compiled:
        raise StudyFileError(
            "build_model returned a model that is not compiled; "
            "call model.compile(optimizer=..., loss=..., metrics=[...]) before returning it"
        )
    return model


def options(study: StudyFile, trial: optuna.trial.BaseTrial, max_epochs: int) -> dict[str, Any]:
    """Return the arguments for ``model.fit`` that the study gives, ``epochs`` and ``callbacks`` among them."""
    given: Any = study.fit_options(trial) if study.fit_options else {}
    if not isinstance(given, dict):
        raise StudyFileError(f"fit_options must return a dictionary of arguments for fit, got {type(given).__name__}")
    refused = sorted(_OURS & given.keys())
    if refused:
        raise StudyFileError(f"fit_options must not give {', '.join(refused)}: the data comes from load_data")
    epochs = given.get("epochs", max_epochs)
    if not isinstance(epochs, int) or not 1 <= epochs <= max_epochs:
        raise StudyFileError(
            f"fit_options gave epochs={epochs!r}; it must be a whole number from 1 to the specification's max_epochs, "
            f"{max_epochs}"
        )
    return {"verbose": 0, **given, "epochs": epochs, "callbacks": list(given.get("callbacks") or [])}


def draw(study: StudyFile, trial: RemoteTrial, pipe: Pipe, task: Assignment) -> tuple[keras.Model, dict[str, Any]]:
    """Return the network of a trial and the arguments of its fit, for parameters that no other configuration has.

    They are drawn, and the network is built, as often as that takes. What a study's own ``fit`` will ask for is not
    known yet; there nothing is compared.

    Raises:
        SpaceExhaustedError: If no such parameters are found.
    """
    while True:
        model = build(study, trial)
        given = {} if study.fit is not None else options(study, trial, task.max_epochs)
        if pipe.ask("drawn", study.fit is not None):
            return model, given
        trial.redraw()
        # As if it were the first: the same initial weights, the same names of layers.
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(task.seed)


def arguments(part: Part) -> dict[str, Any]:
    """Return a part of the data as arguments of ``fit`` or ``evaluate``."""
    if not isinstance(part, tuple):
        return {"x": part}
    return dict(zip(("x", "y", "sample_weight"), part, strict=False))


def train(
    study: StudyFile,
    trial: RemoteTrial,
    data: Data,
    pipe: Pipe,
    task: Assignment,
    watch: EpochWatch,
    scratch: Path,
) -> float:
    """Build, train and score one network, and return the objective's value; the watch knows the rest.

    Raises:
        optuna.TrialPruned: If the pruner stopped it.
        DivergedError: If the metric became NaN or infinite.
        StudyFileError: If the study's code broke its side of the contract.
    """
    tuned = data.for_tuning()
    model, given = draw(study, trial, pipe, task)
    if study.fit is not None:
        returned = study.fit(trial, model, tuned, [watch])
        if task.rungs and not watch.epochs:
            trial.set_user_attr("not_pruned", f"fit reported no epoch, so it could not be stopped early: {_REPORTING}")
        value, batch_size = _score(returned, watch, task), None
    else:
        watch.keep_checkpoints(given["callbacks"])
        given["callbacks"].append(watch)
        _resume(model, tuned, task, watch, scratch)
        if watch.epochs < given["epochs"]:
            _fit(model, tuned, given, task.seed, watch.epochs)
        value, batch_size = _score(None, watch, task), given.get("validation_batch_size", given.get("batch_size"))
    if not math.isfinite(value):
        raise DivergedError(f"{task.metric} is {value}")
    if value == watch.best:
        watch.restore_best()
    if pipe.ask("keep_model", value):
        _save(model, tuned, batch_size, scratch)
    return value


def _resume(model: keras.Model, data: Data, task: Assignment, watch: EpochWatch, scratch: Path) -> None:
    """Go on from the newest checkpoint that is whole and fits; from the beginning where none does."""
    for name in task.checkpoints:
        checkpoint = Checkpoint.load(scratch / name)
        if checkpoint is None:
            continue
        if not model.built:
            # A subclassed model has variables once it has seen data.
            model.evaluate(**arguments(data.train), steps=1, verbose=0)
        if restore(model, checkpoint.variables):
            watch.resume(checkpoint)
            return


def _fit(model: keras.Model, data: Data, given: dict[str, Any], seed: int, epochs_trained: int) -> None:
    """Fit a model from the epoch that it is at, its batches in an order that the seed and the epoch decide."""
    train, given = arguments(data.train), dict(given)
    if is_arrays(data.train) and given.get("shuffle", True) and given.get("steps_per_epoch") is None:
        size = given.pop("batch_size", None) or BATCH_SIZE
        # What Keras would otherwise take from the batch size of the training.
        given.setdefault("validation_batch_size", size if isinstance(data.validation, tuple) else None)
        train = {"x": ShuffledBatches(data.train, size, seed=seed, epoch=epochs_trained)}
        given["shuffle"] = False
    model.fit(**train, validation_data=data.validation, initial_epoch=epochs_trained, **given)


def save_curve(watch: EpochWatch, folder: Path) -> None:
    """Write every metric of every epoch: ``{"val_loss": [...], ...}``, one number an epoch."""
    (folder / CURVE_FILE).write_text(json.dumps(watch.curve))


def evaluate(model: keras.Model, part: Part, batch_size: int | None) -> dict[str, float]:
    """Return the model's metrics on a part of the data."""
    sizes = {} if batch_size is None or not isinstance(part, tuple) else {"batch_size": batch_size}
    measured = model.evaluate(**arguments(part), **sizes, verbose=0, return_dict=True)
    return numbers(measured)


def _save(model: keras.Model, data: Data, batch_size: int | None, folder: Path) -> None:
    part = "train" if data.validation is None else "validation"
    measured = evaluate(model, getattr(data, part), batch_size)
    model.save(folder / MODEL_FILE)
    record = {"part": part, "batch_size": batch_size, "metrics": measured}
    (folder / EVALUATION_FILE).write_text(json.dumps(record))


def _score(returned: object, watch: EpochWatch, task: Assignment) -> float:
    match returned:
        case None if watch.best is not None:
            return watch.best
        case None:
            raise StudyFileError(
                "fit returned nothing and reported no epoch; return the History, a dictionary of metrics or a number, "
                f"or {_REPORTING}"
            )
        case list() if returned:
            # Several trainings in one, as KerasTuner has it: each by itself, then their mean.
            return math.fsum(_score_of(one, task) for one in returned) / len(returned)
        case keras.callbacks.History() if watch.best is not None:
            return watch.best
    return _score_of(returned, task)


def _score_of(returned: object, task: Assignment) -> float:
    match returned:
        case keras.callbacks.History(history=history):
            metric_of({name: values[-1] for name, values in history.items() if values}, task.metric)
            finite = [float(value) for value in history[task.metric] if math.isfinite(value)]
            if not finite:
                raise DivergedError(f"{task.metric} was never a finite number")
            return max(finite) if task.direction == "maximize" else min(finite)
        case dict():
            return metric_of({str(name): number(value) for name, value in returned.items()}, task.metric)
    return number(returned)
