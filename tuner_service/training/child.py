"""The process in which trials are trained, one or several short ones, and the user's code runs."""

from __future__ import annotations

import dataclasses
import faulthandler
import gc
import math
import os
import random
import signal
import socket
import sys
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from tuner_service.domain.outcome import Failure, Reason
from tuner_service.domain.run import RUNS, spread_of
from tuner_service.errors import SpaceExhaustedError, StudyFileError, TrialLostError
from tuner_service.training.assignment import LOG_FILE, Assignment, Result
from tuner_service.training.parent import die_with_parent
from tuner_service.training.remote_trial import Pipe, RemoteTrial
from tuner_service.training.succession import Tenure, trains_alike
from tuner_service.training.value import numbers

if TYPE_CHECKING:
    from tuner_service.training.data import Data
    from tuner_service.training.epoch_watch import EpochWatch
    from tuner_service.training.keras_settings import KerasSettings
    from tuner_service.training.study_file import StudyFile

#: Exceptions that a backend raises where memory ran out, by name, since importing them would import the backend.
_OUT_OF_MEMORY = {"MemoryError", "ResourceExhaustedError"}


def main(connection: Connection[Any, Any], path: str, log: str, devices: str | None) -> None:
    """Get ready, train the attempt that is assigned then, and say how it went; the entry point of the process.

    The supervisor claims a trial when a child is ready for it, so that nothing that is slow, or wrong, in loading the
    study is paid by a trial. Where trials are short the child gets ready once more.

    Args:
        connection: To the supervisor.
        path: The study file.
        log: File for what is printed before there is a trial.
        devices: The GPUs it may use, also while it loads the study, where they are known before there is a trial.
    """
    from tuner_service.training import warm

    die_with_parent(warm.WARM.process_id)
    # A group of its own, so that the supervisor ends it with everything that it started.
    os.setpgid(0, 0)
    # The supervisor alone hears Ctrl-C and decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _write_output_to(Path(log))
    faulthandler.enable()

    if devices is not None:
        # Before the study is loaded here: a backend takes what it sees when it starts, and keeps to it.
        os.environ["CUDA_VISIBLE_DEVICES"] = devices
    pipe = Pipe(connection)
    try:
        study, data = warm.load(Path(path))
    except StudyFileError as error:
        pipe.tell("ready", "", error)
        return
    cold_because = warm.WARM.cold_because
    settings = _keras_settings() if trains_alike(study, data, cold=bool(cold_because)) else None
    tenure = Tenure()
    try:
        while True:
            pipe.tell("ready", cold_because, None)
            task: Assignment = pipe.receive()
            _write_output_to(Path(task.folder) / LOG_FILE)
            os.environ["CUDA_VISIBLE_DEVICES"] = task.devices
            started = time.monotonic()
            result = dataclasses.replace(_train(study, data, pipe, task), environment=_environment(task))
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            goes_on = tenure.goes_on(
                result.reason,
                seconds=time.monotonic() - started,
                used_bytes=psutil.Process().memory_info().rss,
                most_trials=task.trials_per_process,
            )
            if settings is None or not goes_on:
                pipe.tell("done", result, False)
                return
            pipe.tell("done", result, True)
            # While the supervisor settles and claims.
            settings.start_anew()
            gc.collect()
    except (TrialLostError, EOFError):
        # Nobody waits for this any more: the trial went to another worker, or no trial was left.
        return


def _keras_settings() -> KerasSettings:
    from tuner_service.training.keras_settings import KerasSettings

    return KerasSettings()


def _train(study: StudyFile, data: Data | None, pipe: Pipe, task: Assignment) -> Result:
    _seed(task.seed)
    trial = RemoteTrial(pipe, task.number, task.started_at)
    if data is None:
        return _run_objective(study, trial, len(task.metrics))
    return _train_network(study, trial, data, pipe, task, Path(task.folder))


def _train_network(
    study: StudyFile, trial: RemoteTrial, data: Data, pipe: Pipe, task: Assignment, scratch: Path
) -> Result:
    import optuna

    from tuner_service.training import epoch_watch, runs

    watch = epoch_watch.EpochWatch(pipe, task, scratch)
    signal.signal(signal.SIGTERM, lambda *_: watch.interrupt())

    def result(reason: Reason, value: float | None = None, *others: float, failure: Failure | None = None) -> Result:
        best_epoch = watch.best_epoch if len(task.runs) == 1 else None
        return Result(reason, value, others, watch.epochs_of_all, best_epoch, failure, _record(task, watch))

    try:
        try:
            return result(Reason.FINISHED, *runs.train(study, trial, data, pipe, task, watch, scratch))
        finally:
            runs.save_curves(watch, scratch)
    except TrialLostError:
        raise
    except optuna.TrialPruned:
        return result(Reason.PRUNED, watch.value_if_stopped)
    except SpaceExhaustedError as error:
        return result(Reason.EXHAUSTED, failure=Failure("SpaceExhausted", str(error), host=socket.gethostname()))
    except epoch_watch.InterruptedTrainingError:
        return result(Reason.INTERRUPTED)
    except epoch_watch.DivergedError as error:
        return result(Reason.DIVERGED, failure=Failure("Diverged", str(error), host=socket.gethostname()))
    except (Exception, SystemExit) as error:
        return result(_cause(error), failure=_failure(error, study.path))


def _run_objective(study: StudyFile, trial: RemoteTrial, objectives: int) -> Result:
    import optuna

    assert study.objective is not None  # noqa: S101 - the study is of this kind

    def result(reason: Reason, value: float | None = None, *others: float, failure: Failure | None = None) -> Result:
        epochs = max(trial.reported, default=-1) + 1
        return Result(reason, value, others, epochs=epochs, failure=failure)

    try:
        values = numbers(study.objective(trial), objectives)
    except TrialLostError:
        raise
    except optuna.TrialPruned:
        last = max(trial.reported, default=None)
        return result(Reason.PRUNED, None if last is None else trial.reported[last])
    except (Exception, SystemExit) as error:
        return result(_cause(error), failure=_failure(error, study.path))
    broken = [value for value in values if not math.isfinite(value)]
    if broken:
        failure = Failure("Diverged", f"the objective returned {broken[0]}", host=socket.gethostname())
        return result(Reason.DIVERGED, failure=failure)
    return result(Reason.FINISHED, *values)


def _record(task: Assignment, watch: EpochWatch) -> dict[str, object]:
    """Return what is recorded beside the value; the runs only where a trial has several."""
    record: dict[str, object] = {} if watch.path is None else {"engine": str(watch.path)}
    if len(task.runs) == 1:
        return record if watch.best_epoch is None else {**record, "best_epoch": watch.best_epoch}
    record[RUNS] = [dataclasses.asdict(one.record) for one in watch.finished]
    spread = spread_of([one.record.value for one in watch.finished])
    return record if spread is None else {**record, "std": spread.std}


def _environment(task: Assignment) -> dict[str, str]:
    from tuner_service.training.provenance import device_name
    from tuner_service.training.warm import WARM

    found = {"device": device_name(task.devices)}
    return found if WARM.data_digest is None else {**found, "data": WARM.data_digest}


def _cause(error: BaseException) -> Reason:
    names = {kind.__name__ for kind in type(error).__mro__}
    # JAX has one class for all that goes wrong in a computation.
    ran_out = names & _OUT_OF_MEMORY or ("JaxRuntimeError" in names and str(error).startswith("RESOURCE_EXHAUSTED"))
    return Reason.OOM if ran_out else Reason.ERROR


def _failure(error: BaseException, path: Path) -> Failure:
    from tuner_service.training.study_file import user_traceback

    message = str(error) or "".join(traceback.format_exception_only(error)).strip()
    return Failure(type(error).__name__, message, user_traceback(error, path), socket.gethostname()).shortened()


def _seed(seed: int) -> None:
    if "keras" in sys.modules:
        from tuner_service.training.seeding import seed_all

        seed_all(seed)
        return
    random.seed(seed)
    if "numpy" in sys.modules:
        import numpy as np

        np.random.seed(seed)


def _write_output_to(log: Path) -> None:
    """Send what Python and native libraries print to a file: the terminal is the supervisor's."""
    sys.stdout.flush()
    sys.stderr.flush()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
