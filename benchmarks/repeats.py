"""Five folds of a perceptron for images of MNIST's size, on JAX and one thread: one after the other, and together.

Each number is the time of one trial in a process forked from a warm one, its programs in the cache: the processor's, so
that what else the machine does counts less, the best of three. Run with ``python benchmarks/repeats.py``.
"""

from __future__ import annotations

import multiprocessing.queues
import os
import tempfile
import time
from pathlib import Path
from typing import cast

os.environ |= {
    "KERAS_BACKEND": "jax",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "OMP_NUM_THREADS": "1",
    "JAX_COMPILATION_CACHE_DIR": tempfile.mkdtemp(),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}

import keras
import numpy as np
import optuna

from tuner_service.domain.folds import Folds
from tuner_service.training import jax_together, runs, together
from tuner_service.training.assignment import Assignment
from tuner_service.training.data import Data
from tuner_service.training.epoch_watch import EpochWatch
from tuner_service.training.remote_trial import Pipe, RemoteTrial
from tuner_service.training.study_file import StudyFile

EPOCHS, FOLDS, TIMES = 10, 5, 3
SIZES = (
    (2_000, 32),
    (2_000, 512),
    (12_000, 32),
    (12_000, 128),
    (12_000, 512),
    (48_000, 32),
    (48_000, 128),
    (48_000, 512),
)
#: How the runs are trained, and the step, in floating-point operations, below which they are computed at once.
WAYS = {"one after the other": None, "together, in turn": 0.0, "together, at once": 1e99}


class NoSupervisor(Pipe):
    """Keeps every draw and no model, and is told nothing."""

    def __init__(self) -> None:
        pass

    def ask(self, op: str, *_: object) -> bool:
        """Answer at once."""
        return op == "drawn"

    def tell(self, op: str, *_: object) -> None:
        """Hear nothing."""


def build_model(_: optuna.trial.BaseTrial) -> keras.Model:
    """Return the network of 784-32-10."""
    layers = keras.layers
    model = keras.Sequential([keras.Input((784,)), layers.Dense(32, "relu"), layers.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def train(way: str, rows: int, batch_size: int, times: multiprocessing.queues.Queue[float]) -> None:
    """Train one configuration, and put the processor's time."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, rows)
    images = (rng.normal(size=(10, 784))[labels] + rng.normal(size=(rows, 784))).astype("float32")
    study = StudyFile(
        path=Path("study.py"), spec=None, objective=None, build_model=build_model, load_data=None, fit=None,
        fit_options=lambda _: {"batch_size": batch_size, "epochs": EPOCHS},
    )  # fmt: skip
    task = Assignment(
        number=0, started_at=0.0, seed=1, metrics=("val_accuracy",), metric="val_accuracy", direction="maximize",
        judged="val_accuracy", judged_direction="maximize", max_epochs=EPOCHS, rungs=frozenset(), reported=frozenset(),
        devices="-1", folder="", folds=Folds(n=FOLDS, seed=0),
    )  # fmt: skip
    step = WAYS[way]
    if step is None:
        together.obstacle = lambda *_: ""
    else:
        jax_together._SMALL_STEP = step
    pipe, trial = NoSupervisor(), cast(RemoteTrial, optuna.trial.FixedTrial({}))
    with tempfile.TemporaryDirectory() as scratch:
        watch = EpochWatch(pipe, task, Path(scratch))
        began = time.process_time()
        runs.train(study, trial, Data((images, labels)), pipe, task, watch, Path(scratch))
        times.put(time.process_time() - began)


def measure(way: str, rows: int, batch_size: int) -> float:
    """Return the time of a trial in a process of its own."""
    context = multiprocessing.get_context("fork")
    times = context.Queue()
    process = context.Process(target=train, args=(way, rows, batch_size, times))
    process.start()
    found: float = times.get()
    process.join()
    return found


def main() -> None:
    """Print the table."""
    print("| rows | batch |", " | ".join(WAYS), "|")
    print("| --- | --- |", " | ".join("---" for _ in WAYS), "|")
    for rows, batch_size in SIZES:
        # The first of each fills the cache.
        found = [{way: measure(way, rows, batch_size) for way in WAYS} for _ in range(1 + TIMES)][1:]
        print(
            f"| {rows} | {batch_size} |",
            " | ".join(f"{min(one[way] for one in found):.2f}" for way in WAYS),
            "|",
            flush=True,
        )


if __name__ == "__main__":
    main()
