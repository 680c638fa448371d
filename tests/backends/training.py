"""Small networks, and their training in this process until it has ended or is interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import optuna

from tests.unit.training.fakes import FakePipe
from tuner_service.training import runs
from tuner_service.training.assignment import Assignment
from tuner_service.training.data import Data
from tuner_service.training.epoch_watch import EpochWatch, InterruptedTrainingError
from tuner_service.training.study_file import StudyFile


def sequential(*layers: Any, **options: Any) -> keras.Model:
    """Return a network of six inputs, compiled with these options."""
    model = keras.Sequential([keras.Input((6,)), *layers])
    model.compile(**{"optimizer": keras.optimizers.Adam(0.02), "loss": "mse", **options})
    return model


def dense(**options: Any) -> keras.Model:
    """Return a perceptron with one output."""
    return sequential(keras.layers.Dense(4, "tanh"), keras.layers.Dense(1), **options)


def train(
    study: StudyFile, data: Data, pipe: FakePipe, task: Assignment, scratch: Path, interrupt_in: int | None = None
) -> tuple[EpochWatch, list[float] | None]:
    """Train an attempt; its supervisor asks it to end once so many epochs are told, and then it has no values."""
    watch = EpochWatch(pipe, task, scratch)

    def interrupt(op: str, *arguments: Any) -> None:
        if op == "progress" and arguments[0] == interrupt_in:
            watch.interrupt()

    pipe.when_told = interrupt
    try:
        return watch, runs.train(study, optuna.trial.FixedTrial({"units": 3}), data, pipe, task, watch, scratch)
    except InterruptedTrainingError:
        assert interrupt_in is not None
        return watch, None
