"""Trials an hour: the same list of configurations and epochs in this service, KerasTuner and a plain Optuna script.

    python -m benchmarks.trial_throughput [--tasks R2 R3 R6] [--peers tensorflow] [--rounds 3] [--idx FOLDER] [--quick]

R2 and R3 are small regressions with 100 configurations: one layer in benchmarks/studies/units_regression.py, one to
three in studies/keras_tuner_regression.py. R6 is the perceptron of studies/keras_tuner_mnist.py on 50 000 images,
judged on 10 000. Each run is a whole process, imports included; with
``--peers tensorflow jax`` the peers run on both.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.mnist_like import mnist_folder, parser_for
from benchmarks.page import alternating, medians, ratio, seconds, table, write
from benchmarks.processes import BACKENDS, Run, run_peer, run_tuner

Configuration = dict[str, object]


def draw_units(dice: random.Random) -> Configuration:
    """Return a configuration of benchmarks/studies/units_regression.py."""
    return {"units": 32 * dice.randint(1, 8), "learning_rate": 10 ** dice.uniform(-4, -2)}


def draw_regression(dice: random.Random) -> Configuration:
    """Return a configuration of studies/keras_tuner_regression.py."""
    layers = dice.randint(1, 3)
    drawn: Configuration = {"num_layers": layers, "dropout": dice.randint(0, 5) / 10}
    for index in range(layers):
        drawn[f"units_{index}"] = 32 * dice.randint(1, 4)
        drawn[f"activation_{index}"] = dice.choice(["relu", "tanh", "sigmoid"])
    return {**drawn, "learning_rate": 10 ** dice.uniform(-4, -2)}


def draw_mnist(dice: random.Random) -> Configuration:
    """Return a configuration of studies/keras_tuner_mnist.py."""
    return {
        "activation": dice.choice(["relu", "tanh", "sigmoid"]),
        "units": 32 * dice.randint(1, 16),
        **{f"units_{index}": 8 * dice.randint(1, 8) for index in range(1, 4)},
        "dropout": dice.randint(0, 10) / 100,
        "learning_rate": 10 ** dice.uniform(-4, -2),
    }


@dataclass(frozen=True)
class Task:
    """What is trained, and how many times faster than KerasTuner on TensorFlow it has to be here, by backend."""

    study: str
    metric: str
    draw: Callable[[random.Random], Configuration]
    configurations: int
    epochs: int
    bars: Mapping[str, float]


TASKS = {
    "R2": Task("units_regression", "val_loss", draw_units, 100, 10, {"tensorflow": 4, "jax": 8}),
    "R3": Task("keras_tuner_regression", "val_loss", draw_regression, 100, 10, {"tensorflow": 4, "jax": 8}),
    "R6": Task("keras_tuner_mnist", "val_accuracy", draw_mnist, 5, 5, {"tensorflow": 4, "jax": 8}),
}


def main() -> None:
    """Measure, and write the table."""
    parser = parser_for(__doc__, "two configurations, one epoch")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--peers", nargs="+", choices=BACKENDS, default=["tensorflow"])
    parser.add_argument("--configurations", type=int, help="of each task")
    parser.add_argument("--epochs", type=int, help="of each configuration")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds = 1
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder, mnist_folder(arguments.idx, quick=arguments.quick) as idx:
        for name in arguments.tasks:
            task = TASKS[name]
            wanted = {"configurations": arguments.configurations, "epochs": arguments.epochs}
            task = replace(task, **{field: value for field, value in wanted.items() if value})
            if arguments.quick:
                task = replace(task, configurations=2, epochs=1)
            results = alternating(runs_of(task, Path(folder), idx, arguments.peers), arguments.rounds)
            taken = medians({who: [run.seconds for run in ones] for who, ones in results.items()})
            rows += rows_of(name, task, taken)
            text = table(["task", "seconds, whole process", "KerasTuner's / its", "trials an hour"], rows)
            if arguments.quick:
                print(text, flush=True)
            else:
                write("trial throughput", text, rounds=arguments.rounds)


def runs_of(task: Task, folder: Path, idx: Path, peers: list[str]) -> dict[str, Callable[[], Run]]:
    """Return what is to be run, by the tool's name and the backend."""
    dice = random.Random(0)
    configurations = [task.draw(dice) for _ in range(task.configurations)]
    file = folder / f"{task.study}.json"
    file.write_text(json.dumps(configurations))
    common = [task.study, task.metric, task.epochs, file, 1]
    changes = {
        "trials": task.configurations,
        "points": configurations,
        "max_epochs": task.epochs,
        "executions": 1,
    }
    runs: dict[str, Callable[[], Run]] = {}
    for backend in peers:
        keras_tuner = partial(run_peer, "keras_tuner_search", ["random", *common], backend=backend, idx=idx)
        runs[f"KerasTuner, {backend}"] = keras_tuner
        runs[f"Optuna script, {backend}"] = partial(run_peer, "optuna_script", common, backend=backend, idx=idx)
    for backend in BACKENDS:
        runs[f"tuner-service, {backend}"] = partial(run_tuner, task.study, changes, backend=backend, idx=idx)
    return runs


def rows_of(name: str, task: Task, taken: Mapping[str, float]) -> list[list[object]]:
    """Return the table's rows for a task, from the median seconds by tool and backend."""
    what = f"{name}, {task.configurations} configurations, {task.epochs} epochs"
    rows: list[list[object]] = []
    for who, took in taken.items():
        tool, _, backend = who.partition(", ")
        bar = task.bars[backend] if tool == "tuner-service" else None
        times = ratio(taken["KerasTuner, tensorflow"], took, bar) if "KerasTuner, tensorflow" in taken else ""
        rows.append([f"{what}: {who}", seconds(took), times, f"{3600 * task.configurations / took:.0f}"])
    return rows


if __name__ == "__main__":
    main()
