"""Training one network: built, fitted, its value taken, the model saved."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import optuna

from tuner_service.domain.engine import Computing, Engine
from tuner_service.domain.objective_value import BestEpoch
from tuner_service.domain.run import Run
from tuner_service.errors import StudyFileError
from tuner_service.training import compiled
from tuner_service.training.assignment import EVALUATION_FILE, MODEL_FILE, Assignment
from tuner_service.training.batches import BATCH_SIZE, ShuffledBatches, is_arrays
from tuner_service.training.checkpoint import Checkpoint, restore
from tuner_service.training.data import Data, Part
from tuner_service.training.distribution import check_batches, scope_of, spread
from tuner_service.training.engine import TrainingPath, fit_because, path_for
from tuner_service.training.epoch_watch import DivergedError, EpochWatch, numbers
from tuner_service.training.keras_settings import KerasSettings
from tuner_service.training.model_file import write
from tuner_service.training.objectives import reported_one
from tuner_service.training.remote_trial import Pipe, RemoteTrial
from tuner_service.training.seeding import seed_all
from tuner_service.training.study_file import StudyFile
from tuner_service.training.value import number

#: Arguments of ``fit`` that are this service's to give.
_OURS = {"x", "y", "validation_data", "validation_split", "initial_epoch"}

#: A network, and the arguments of its ``fit``.
Prepared = tuple[keras.Model, dict[str, Any]]

#: How a ``fit`` of the study's own reports its epochs.
_REPORTING = (
    "pass the callbacks that it is given to model.fit (in a loop of its own: callback.set_model(model) before, and "
    "callback.on_epoch_end(epoch, logs) after each epoch)"
)


def build(study: StudyFile, trial: optuna.trial.BaseTrial, computing: Computing | None = None) -> keras.Model:
    """Return the network of a trial, checked to be a compiled one."""
    assert study.build_model is not None  # noqa: S101 - the caller has looked at the kind
    computing = computing or Computing()
    if computing.precision is not None:
        keras.config.set_dtype_policy(computing.precision)
    with spread(computing.devices):
        model = study.build_model(trial)
    if not isinstance(model, keras.Model):
        raise StudyFileError(f"build_model must return a compiled keras.Model, got {type(model).__name__}")
    if not model.compiled:
        raise StudyFileError(
            "build_model returned a model that is not compiled; "
            "call model.compile(optimizer=..., loss=..., metrics=[...]) before returning it"
        )
    if computing.steps_per_execution is not None:
        model.steps_per_execution = computing.steps_per_execution
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


def prepare(
    study: StudyFile, trial: RemoteTrial, pipe: Pipe, task: Assignment, seed: int, settings: KerasSettings
) -> Prepared:
    """Return the network of a trial and the arguments of its fit, for parameters that no other configuration has.

    They are drawn, and the network is built, as often as that takes. What a study's own ``fit`` will ask for is not
    known yet; there nothing is compared. Each is built as if it were the first, with the same names of layers and
    metrics: a metric without a name of its own is reported as ``val_auc`` by each run.

    Raises:
        SpaceExhaustedError: If no such parameters are found.
    """
    # Of a later run the parameters are known.
    is_known = bool(trial.distributions)
    while True:
        settings.start_anew()
        seed_all(seed)
        model = build(study, trial, task.computing)
        given = {} if study.fit is not None else options(study, trial, task.max_epochs)
        if is_known or pipe.ask("drawn", study.fit is not None):
            return model, given
        trial.redraw()


def check_parameters(trial: RemoteTrial, before: set[str] | None, run: Run) -> set[str]:
    """Return the parameters that a trial has asked for, which must be those of the runs before.

    Raises:
        StudyFileError: If they are others.
    """
    names = set(trial.distributions)
    if before is not None and names != before:
        raise StudyFileError(
            f"run {run.index + 1} of this configuration asked for {', '.join(sorted(names - before))}, which the runs "
            "before it did not: build_model, fit_options and fit must ask for the same parameters each time they are "
            "called with one trial"
        )
    return names


def arguments(part: Part) -> dict[str, Any]:
    """Return a part of the data as arguments of ``fit`` or ``evaluate``."""
    if not isinstance(part, tuple):
        return {"x": part}
    return dict(zip(("x", "y", "sample_weight"), part, strict=False))


@dataclass(frozen=True)
class Trained:
    """What one training came to."""

    value: float  #: of the watched metric
    reported: Mapping[str, float]  #: all metrics, as they count
    kept: float  #: the metric of the weights that the model has now
    batch_size: int | None  #: to evaluate it with


def train(
    study: StudyFile,
    trial: RemoteTrial,
    model: keras.Model,
    given: dict[str, Any],
    data: Data,
    task: Assignment,
    watch: EpochWatch,
) -> Trained:
    """Train a network, from its start or from where the watch has it, and give it the weights that count.

    Raises:
        optuna.TrialPruned: If the pruner stopped it.
        DivergedError: If the metric became NaN or infinite.
        StudyFileError: If the study's code broke its side of the contract.
    """
    if study.fit is not None:
        returned = study.fit(trial, model, data, [watch])
        if task.rungs and not watch.epochs and watch.run.index == 0:
            trial.set_user_attr("not_pruned", f"fit reported no epoch, so it could not be stopped early: {_REPORTING}")
        return outcome(returned, {}, task, watch)
    watch.keep_checkpoints(given["callbacks"])
    given["callbacks"].append(watch)
    if watch.epochs < given["epochs"]:
        _fit(model, data, given, watch.run.seed, watch.epochs, task.engine, watch.take_path)
    return outcome(None, given, task, watch)


def outcome(returned: object, given: Mapping[str, Any], task: Assignment, watch: EpochWatch) -> Trained:
    """Return what a training came to, and give its network the weights that count.

    Args:
        returned: By a ``fit`` of the study's own.
        given: The arguments of Keras' ``fit``.
        task: What was to be trained.
        watch: What it has seen of the training.

    Raises:
        DivergedError: If the metric became NaN or infinite.
        StudyFileError: If the study's code broke its side of the contract.
    """
    value, batch_size = _score(returned, watch, task), given.get("validation_batch_size", given.get("batch_size"))
    reported = _reported(returned, watch, task, value)
    if not math.isfinite(value):
        raise DivergedError(f"{task.metric} is {value}")
    if value != watch.value or watch.value_of_weights is None:
        return Trained(value, reported, value, batch_size)
    watch.restore_best()
    return Trained(value, reported, watch.value_of_weights, batch_size)


def fits(model: keras.Model, checkpoint: Checkpoint, data: Data) -> bool:
    """Give a model what a checkpoint holds of it, and return whether it was of its shape."""
    if not checkpoint.epoch:
        return True
    if not model.built:
        # A subclassed model has variables once it has seen data.
        model.evaluate(**arguments(data.train), steps=1, verbose=0)
    with scope_of(model):
        return restore(model, checkpoint.variables)


def _fit(
    model: keras.Model,
    data: Data,
    given: dict[str, Any],
    seed: int,
    epochs_trained: int,
    engine: Engine = "auto",
    take_path: Callable[[TrainingPath], None] = lambda _: None,
) -> None:
    """Fit a model from the epoch that it is at, its batches in an order that the seed and the epoch decide.

    ``take_path`` is told which way it is trained, before it is.
    """
    path = path_for(engine, model, data, given)
    take_path(path)
    if path.name == "compiled":
        try:
            compiled.fit(model, data, given, seed=seed, initial_epoch=epochs_trained)
        except compiled.NotCompiledError as error:
            take_path(fit_because(engine, str(error)))
            given = {**given, "callbacks": error.callbacks}
        else:
            return
    check_batches(data, given)
    train, given = arguments(data.train), dict(given)
    if is_arrays(data.train) and given.get("shuffle", True) and given.get("steps_per_epoch") is None:
        size = given.pop("batch_size", None) or BATCH_SIZE
        # What Keras would otherwise take from the batch size of the training.
        given.setdefault("validation_batch_size", size if isinstance(data.validation, tuple) else None)
        train = {"x": ShuffledBatches(data.train, size, seed=seed, epoch=epochs_trained)}
        given["shuffle"] = False
    model.fit(**train, validation_data=data.validation, initial_epoch=epochs_trained, **given)


def evaluate(model: keras.Model, part: Part, batch_size: int | None) -> dict[str, float]:
    """Return the model's metrics on a part of the data."""
    sizes = {} if batch_size is None or not isinstance(part, tuple) else {"batch_size": batch_size}
    measured = model.evaluate(**arguments(part), **sizes, verbose=0, return_dict=True)
    return numbers(measured)


def save(model: keras.Model, data: Data, trained: Trained, run: Run, folder: Path) -> None:
    """Write a model, and what it does on the data that its run was judged by."""
    part = "train" if data.validation is None else "validation"
    measured = evaluate(model, getattr(data, part), trained.batch_size)
    write(model, folder / MODEL_FILE)
    record = {"part": part, "fold": run.fold, "batch_size": trained.batch_size, "metrics": measured}
    (folder / EVALUATION_FILE).write_text(json.dumps({**record, "value": trained.kept}))


def _score(returned: object, watch: EpochWatch, task: Assignment) -> float:
    match returned:
        case None if watch.value is not None:
            return watch.value
        case None:
            raise StudyFileError(
                "fit returned nothing and reported no epoch; return the History, a dictionary of metrics or a number, "
                f"or {_REPORTING}"
            )
        case list() if returned:
            # Several trainings in one, as KerasTuner has it: each by itself, then their mean.
            return math.fsum(_score_of(one, task) for one in returned) / len(returned)
        case keras.callbacks.History() if watch.value is not None:
            return watch.value
    return _score_of(returned, task)


def _score_of(returned: object, task: Assignment) -> float:
    match returned:
        case keras.callbacks.History(history=history):
            reported_one({name: values[-1] for name, values in history.items() if values}, task.metric)
            finite = [float(value) for value in history[task.metric] if math.isfinite(value)]
            if not finite:
                raise DivergedError(f"{task.metric} was never a finite number")
            return task.value.of(finite, task.direction)
        case dict():
            return reported_one({str(name): number(value) for name, value in returned.items()}, task.metric)
    return number(returned)


def _reported(returned: object, watch: EpochWatch, task: Assignment, value: float) -> dict[str, float]:
    """Return the metrics of the epoch that counts beside the watched one's value, or those that ``fit`` returned."""
    if isinstance(returned, dict):
        return {str(name): number(one) for name, one in returned.items()}
    if watch.best_epoch is None or isinstance(returned, list):
        return {task.metric: value}
    at_end = not isinstance(task.value, BestEpoch)
    others = {
        name: task.value.of(series, task.direction) if at_end else series[watch.best_epoch - 1]
        for name, series in watch.curve.items()
        if len(series) == watch.epochs
    }
    return {**others, task.metric: value}
