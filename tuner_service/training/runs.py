"""The runs of a configuration: executions and folds, trained together or one after the other; their mean its value."""

from __future__ import annotations

import gc
import json
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import optuna

from tuner_service.domain.direction import best_of, is_better
from tuner_service.domain.run import Run
from tuner_service.training import network, together
from tuner_service.training.assignment import CURVE_FILE, EVALUATION_FILE, MODEL_FILE, Assignment
from tuner_service.training.checkpoint import Checkpoint
from tuner_service.training.data import Data
from tuner_service.training.epoch_watch import DivergedError, EpochWatch
from tuner_service.training.folds import fold_data
from tuner_service.training.keras_settings import KerasSettings
from tuner_service.training.objectives import objectives
from tuner_service.training.remote_trial import Pipe, RemoteTrial
from tuner_service.training.study_file import StudyFile
from tuner_service.training.together import NotTogetherError, Together


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
    for one in _trained(study, trial, data, pipe, task, watch, scratch):
        part = _data_of(one.run, data, task)
        values = _values(one.trained, one.model, part, task, scratch)
        watch.finish(one.trained.value, () if task.metrics == (task.metric,) else values)
        # Of several runs nobody knows yet what their mean will be; the model is there if it is asked for.
        if pipe.ask("keep_model", values) if only else _is_best(watch, task) and not one.is_beaten:
            network.save(one.model, part, one.trained, one.run, scratch)
        del one
        if task.judges_runs and pipe.ask("should_stop_after", [one.record.value for one in watch.finished]):
            raise optuna.TrialPruned(f"stopped after run {len(watch.finished)}")
    records = [one.record for one in watch.finished]
    values = tuple(map(statistics.fmean, zip(*(one.values or [one.value] for one in records), strict=True)))
    if not only and not pipe.ask("keep_model", values):
        for name in (MODEL_FILE, EVALUATION_FILE):
            (scratch / name).unlink()
    return values


def save_curves(watch: EpochWatch, folder: Path) -> None:
    """Write every metric of every epoch, a dictionary a run: ``[{"val_loss": [...], ...}, ...]``."""
    (folder / CURVE_FILE).write_text(json.dumps(watch.curves))


@dataclass(frozen=True)
class _Trained:
    """A run whose network has the weights that count; the watch is turned to it."""

    run: Run
    model: keras.Model
    trained: network.Trained
    is_beaten: bool = False  #: by a run after it


def _trained(
    study: StudyFile, trial: RemoteTrial, data: Data, pipe: Pipe, task: Assignment, watch: EpochWatch, scratch: Path
) -> Iterator[_Trained]:
    """Train the runs that are left, and yield them in their order."""
    settings = KerasSettings()

    def prepare(run: Run) -> network.Prepared:
        return network.prepare(study, trial, pipe, task, run.seed, settings)

    prepared, saved = _go_on(prepare, data, task, watch, scratch, own_fit=study.fit is not None)
    parameters: set[str] | None = None
    apart_because: str | None = None
    while runs := task.runs[len(watch.finished) :]:
        run = runs[0]
        if prepared is None:
            if watch.finished:
                # A network's memory is not needed twice.
                gc.collect()
            watch.begin(run)
            prepared = prepare(run)
        why_not = together.obstacle(study, task, runs) if apart_because is None else apart_because
        if why_not is None and not watch.epochs:
            try:
                parameters = network.check_parameters(trial, parameters, run)
                members = Together(prepare, trial, data, pipe, task, watch, scratch).train(runs, prepared, saved)
            except NotTogetherError as error:
                why_not = apart_because = str(error)
                watch.together = ()
                # The others had their turn with the random numbers.
                prepared = prepare(run)
            else:
                yield from _in_order(members, task, watch)
                return
        model, given = prepared
        trained = network.train(study, trial, model, given, _data_of(run, data, task), task, watch)
        if why_not and watch.path is not None and not watch.path.because:
            watch.take_path(replace(watch.path, because=f"runs one after the other, because {why_not}"))
        parameters = network.check_parameters(trial, parameters, run)
        prepared, saved = None, ()
        yield _Trained(run, model, trained)
        del model, given


def _in_order(members: Sequence[together.Member], task: Assignment, watch: EpochWatch) -> Iterator[_Trained]:
    outcomes = [network.outcome(None, one.given, task, one.watch) for one in members]
    for place, (member, trained) in enumerate(zip(members, outcomes, strict=True)):
        watch.take(member.watch)
        is_beaten = any(is_better(one.value, trained.value, task.direction) for one in outcomes[place + 1 :])
        yield _Trained(member.watch.run, member.model, trained, is_beaten)


def _go_on(
    prepare: Callable[[Run], network.Prepared],
    data: Data,
    task: Assignment,
    watch: EpochWatch,
    scratch: Path,
    *,
    own_fit: bool,
) -> tuple[network.Prepared | None, Sequence[Checkpoint]]:
    """Turn the watch to the newest checkpoint that is whole and fits.

    Returns:
        Its network with its options, and the states of the runs that were trained together.
    """
    for name in task.checkpoints:
        checkpoint = Checkpoint.load(scratch / name)
        if checkpoint is None or len(checkpoint.finished) >= len(task.runs):
            continue
        if own_fit and checkpoint.epoch:
            # Of a time when the study had no fit of its own, which cannot go on in the middle.
            continue
        run = task.runs[len(checkpoint.finished)]
        prepared = prepare(run)
        if network.fits(prepared[0], checkpoint, _data_of(run, data, task)):
            for file, content in checkpoint.files.items():
                (scratch / file).write_bytes(content)
            watch.resume(run, checkpoint)
            return prepared, checkpoint.members
    return None, ()


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
