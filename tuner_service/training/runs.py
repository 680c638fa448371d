"""The runs of a configuration: executions and folds trained one after the other, their mean its value."""

from __future__ import annotations

import gc
import json
import math
import statistics
from pathlib import Path
from typing import Any

import keras
import optuna

from tuner_service.domain.direction import best_of
from tuner_service.domain.run import Run
from tuner_service.errors import StudyFileError
from tuner_service.training import network
from tuner_service.training.assignment import CURVE_FILE, EVALUATION_FILE, MODEL_FILE, Assignment
from tuner_service.training.checkpoint import Checkpoint
from tuner_service.training.data import Data
from tuner_service.training.epoch_watch import DivergedError, EpochWatch
from tuner_service.training.folds import fold_data
from tuner_service.training.measuring import objectives
from tuner_service.training.remote_trial import Pipe, RemoteTrial
from tuner_service.training.study_file import StudyFile


def train(
    study: StudyFile,
    trial: RemoteTrial,
    data: Data,
    pipe: Pipe,
    task: Assignment,
    watch: EpochWatch,
    scratch: Path,
) -> tuple[float, ...]:
    """Train every run, keep the model of the best one, and return the objectives' values; the watch knows the rest.

    Raises:
        optuna.TrialPruned: If the pruner stopped it.
        DivergedError: If the metric of a run became NaN or infinite.
        StudyFileError: If the study's code broke its side of the contract.
    """
    data, only = data.for_tuning(), len(task.runs) == 1
    prepared = _go_on(study, trial, data, pipe, task, watch, scratch)
    parameters: set[str] | None = None
    for run in task.runs[len(watch.finished) :]:
        part = _data_of(run, data, task)
        if prepared is None:
            if watch.finished:
                # A network's memory is not needed twice.
                gc.collect()
            watch.begin(run)
            prepared = network.prepare(study, trial, pipe, task, run.seed)
        model, given = prepared
        trained = network.train(study, trial, model, given, part, task, watch)
        values = _values(trained, model, part, task, scratch)
        watch.finish(trained.value, () if task.metrics == (task.metric,) else values)
        parameters = _check_parameters(trial, parameters, run)
        # Of several runs nobody knows yet what their mean will be; the model is there if it is asked for.
        if pipe.ask("keep_model", values) if only else _is_best(watch, task):
            network.save(model, part, trained, run, scratch)
        del model, given
        prepared = None
        if task.judges_runs and pipe.ask("should_stop_after", [one.record.value for one in watch.finished]):
            raise optuna.TrialPruned(f"stopped after run {run.index + 1}")
    records = [one.record for one in watch.finished]
    values = tuple(map(statistics.fmean, zip(*(one.values or [one.value] for one in records), strict=True)))
    if not only and not pipe.ask("keep_model", values):
        for name in (MODEL_FILE, EVALUATION_FILE):
            (scratch / name).unlink()
    return values


def save_curves(watch: EpochWatch, folder: Path) -> None:
    """Write every metric of every epoch, a dictionary a run: ``[{"val_loss": [...], ...}, ...]``."""
    (folder / CURVE_FILE).write_text(json.dumps(watch.curves))


def _go_on(
    study: StudyFile,
    trial: RemoteTrial,
    data: Data,
    pipe: Pipe,
    task: Assignment,
    watch: EpochWatch,
    scratch: Path,
) -> tuple[keras.Model, dict[str, Any]] | None:
    """Turn the watch to the newest checkpoint that is whole and fits, and return its network with its options."""
    for name in task.checkpoints:
        checkpoint = Checkpoint.load(scratch / name)
        if checkpoint is None or len(checkpoint.finished) >= len(task.runs):
            continue
        if study.fit is not None and checkpoint.epoch:
            # Of a time when the study had no fit of its own, which cannot go on in the middle.
            continue
        run = task.runs[len(checkpoint.finished)]
        prepared = network.prepare(study, trial, pipe, task, run.seed)
        if network.fits(prepared[0], checkpoint, _data_of(run, data, task)):
            for file, content in checkpoint.files.items():
                (scratch / file).write_bytes(content)
            watch.resume(run, checkpoint)
            return prepared
    return None


def _values(
    trained: network.Trained, model: keras.Model, data: Data, task: Assignment, scratch: Path
) -> tuple[float, ...]:
    values = objectives(task.metrics, trained.reported, model, data, scratch)
    for metric, value in zip(task.metrics, values, strict=True):
        if not math.isfinite(value):
            raise DivergedError(f"{metric} is {value}")
    return values


def _data_of(run: Run, data: Data, task: Assignment) -> Data:
    return data if task.folds is None or run.fold is None else fold_data(data, task.folds, run.fold)


def _is_best(watch: EpochWatch, task: Assignment) -> bool:
    values = [one.record.value for one in watch.finished]
    return values.index(best_of(values, task.direction)) == len(values) - 1  # type: ignore[arg-type]  # there is one


def _check_parameters(trial: RemoteTrial, before: set[str] | None, run: Run) -> set[str]:
    names = set(trial.distributions)
    if before is not None and names != before:
        raise StudyFileError(
            f"run {run.index + 1} of this configuration asked for {', '.join(sorted(names - before))}, which the runs "
            "before it did not: build_model, fit_options and fit must ask for the same parameters each time they are "
            "called with one trial"
        )
    return names
