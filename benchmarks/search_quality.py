"""The best value that each search finds at equal training epochs: this service's against KerasTuner's.

    python -m benchmarks.search_quality --idx FOLDER [--seeds 5] [--jobs 2] [--tasks ...] [--searches ...]

Each search trains the same functions, those of studies/ written for KerasTuner, for the same number of epochs in all.
What counts is the best value of any epoch within them. FOLDER has MNIST, or data in its format, of which the first
10 000 rows are used. Runs that are done are kept in search_quality.json and not run again. Written: the table
docs/search-quality.md and its plot docs/images/search-quality.png.

KerasTuner's three are RandomSearch, BayesianOptimization and Hyperband, with their defaults. A search that would go on
beyond the epochs is cut off there.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.page import table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "search_quality.json"
ROWS = 10_000


@dataclass(frozen=True)
class Task:
    """A study file, and how much may be trained on it."""

    file: str
    title: str
    metric: str
    maximize: bool
    epochs: int  #: in all
    max_epochs: int  #: of a trial


TASKS = {
    "layers": Task("keras_tuner_regression.py", "regression, 1 to 3 layers (R3)", "val_loss", False, 180, 9),
    "mnist": Task("keras_tuner_mnist.py", f"images, {ROWS:,} rows (R6)", "val_accuracy", True, 135, 9),
    "class": Task("hyper_model.py", "regression, a HyperModel of 1 to 5 layers (R9)", "val_loss", False, 180, 9),
}

#: Ours, as ``--set`` has them.
OURS: Mapping[str, Sequence[str]] = {
    "random": ("sampler=random",),
    "TPE": ("sampler=tpe",),
    "Gaussian process": ("sampler=gp",),
    "random, Hyperband": ("sampler=random", "pruner=hyperband"),
    "TPE, Hyperband": ("sampler=tpe", "pruner=hyperband"),
}
THEIRS = ("KerasTuner random", "KerasTuner Bayesian", "KerasTuner Hyperband")
#: Which of theirs each of ours is set beside.
RIVALS: Mapping[str, str] = {
    "random": "KerasTuner random",
    "TPE": "KerasTuner Bayesian",
    "Gaussian process": "KerasTuner Bayesian",
    "random, Hyperband": "KerasTuner Hyperband",
    "TPE, Hyperband": "KerasTuner Hyperband",
}

PAGE = """# How good the searches are

The best value that a search has seen once it has trained a given number of epochs, here and in KerasTuner: the same
functions, the same data, the same number of epochs of a trial. Median over {seeds} seeds, and in brackets the range.
The images are the first 10 000 of Fashion-MNIST, which comes in MNIST's format.
`benchmarks/search_quality.py` writes this page.

{table}

Beside KerasTuner's search of the same kind: *better* or *worse* where the median here lies outside the range of its
seeds.

{verdicts}

KerasTuner's `BayesianOptimization` first draws three points a parameter at random, as its random search does. So many
trials are not trained here, so that the two are the same; TPE and the Gaussian process learn once ten are drawn.

![Each seed's best value by search, with medians](images/search-quality.png)
"""


def main() -> None:
    """Run what is missing, then write the table and the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idx", type=Path, help="folder with the four IDX files of MNIST or of Fashion-MNIST")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2, help="searches at a time")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--searches", nargs="+", default=[*OURS, *THEIRS], choices=[*OURS, *THEIRS])
    parser.add_argument("--peer", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peer:
        print(json.dumps(search_with_keras_tuner(given.peer[0], given.peer[1], int(given.peer[2]))))
        return
    if "mnist" in given.tasks and given.idx is None:
        parser.error("--idx is needed for the task mnist")
    done: dict[str, float] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(given.jobs) as pool:
        if given.idx is not None:
            cut(given.idx, Path(folder))
        wanted = [
            (task, search, seed) for seed in range(given.seeds) for task in given.tasks for search in given.searches
        ]
        missing = [one for one in wanted if key(*one) not in done]
        for one, value in zip(missing, pool.map(lambda one: best_found(Path(folder), *one), missing), strict=True):
            done[key(*one)] = value
            RESULTS.write_text(json.dumps(done, indent=1))
            print(key(*one), value, flush=True)
    write(done)


def key(task: str, search: str, seed: int) -> str:
    """Return the name of a run in the results."""
    return f"{task}/{search}/{seed}"


def cut(source: Path, folder: Path) -> None:
    """Write the first rows of IDX files into a folder: as many to train and validate on, a tenth to test on."""
    for part, rows in (("train", ROWS), ("t10k", ROWS // 10)):
        for name in (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"):
            plain = source / name
            content = plain.read_bytes() if plain.exists() else gzip.decompress((source / f"{name}.gz").read_bytes())
            rank = content[3]
            header = 4 + 4 * rank
            sizes = [int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(rank)]
            row = 1
            for size in sizes[1:]:
                row *= size
            shortened = content[:4] + rows.to_bytes(4, "big") + content[8 : header + rows * row]
            (folder / name).write_bytes(shortened)


def best_found(data: Path, task: str, search: str, seed: int) -> float:
    """Run one search in processes of its own, on one thread, and return the best value that it saw."""
    environment = {
        **os.environ,
        "TUNER_IDX_DIR": str(data),
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    with tempfile.TemporaryDirectory() as folder:
        if search in THEIRS:
            command = [sys.executable, "-m", "benchmarks.search_quality", "--peer", task, search, str(seed)]
            ran = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
            if ran.returncode:
                raise RuntimeError(f"{search} on {task}, seed {seed}:\n{ran.stderr[-3000:]}")
            return float(json.loads(ran.stdout.splitlines()[-1]))
        return search_with_tuner(TASKS[task], OURS[search], seed, Path(folder), environment)


def search_with_tuner(
    task: Task, changes: Sequence[str], seed: int, folder: Path, environment: Mapping[str, str]
) -> float:
    """Run a study with one worker until its epochs are used up, and return the best value of any epoch."""
    from tuner_service import open_storage
    from tuner_service.domain.ending import epochs_trained
    from tuner_service.results.trials import curves

    url = f"sqlite:///{folder}/tuner.db"
    sets = [
        "name=quality", f"metric={task.metric}", f"trials={task.epochs}", f"max_epochs={task.max_epochs}",
        f"seed={seed}", "executions=1", f"stop.epochs={task.epochs}", *changes,
    ]  # fmt: skip
    command = [sys.executable, "-m", "tuner_service", "run", str(ROOT / "studies" / task.file), "--storage", url]
    command += ["--slots", "1", *(part for one in sets for part in ("--set", one))]
    ran = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(f"{task.file} with {', '.join(changes)}, seed {seed}:\n{ran.stderr[-3000:]}")
    storage = open_storage(url)
    study = storage.study("quality")
    attempts = storage.attempts(study.study_id)
    trained = epochs_trained(attempts)
    if trained > task.epochs:
        raise RuntimeError(f"{trained} epochs were trained, more than {task.epochs}")
    values = [value for one in attempts for run in curves(study, one.number) for value in run.get(task.metric, [])]
    return max(values) if task.maximize else min(values)


class EpochsUsedUpError(BaseException):
    """Ends KerasTuner's search: an ``Exception`` would be taken for a failed trial."""


def search_with_keras_tuner(task_name: str, search: str, seed: int) -> float:
    """Run a search of KerasTuner until its epochs are used up, and return the best value of any epoch."""
    import keras
    import keras_tuner

    task = TASKS[task_name]
    module = imported(ROOT / "studies" / task.file)
    data = module.load_data()
    keras.utils.set_random_seed(seed)
    values: list[float] = []

    class Count(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, _epoch: int, logs: Mapping[str, float] | None = None) -> None:
            values.append(float((logs or {})[task.metric]))
            if len(values) >= task.epochs:
                raise EpochsUsedUpError

        def __deepcopy__(self, memo: object) -> Count:
            return self  # KerasTuner copies callbacks for each trial; this one counts over all of them

    options: dict[str, Any] = {
        "hypermodel": getattr(module, "hypermodel", None) or module.build_model,
        "objective": keras_tuner.Objective(task.metric, "max" if task.maximize else "min"),
        "seed": seed,
        "directory": ".",
        "overwrite": True,
    }
    match search:
        case "KerasTuner random":
            tuner = keras_tuner.RandomSearch(max_trials=task.epochs, **options)
        case "KerasTuner Bayesian":
            tuner = keras_tuner.BayesianOptimization(max_trials=task.epochs, **options)
        case _:
            tuner = keras_tuner.Hyperband(max_epochs=task.max_epochs, hyperband_iterations=100, **options)
    epochs = {} if search == "KerasTuner Hyperband" else {"epochs": task.max_epochs}
    with contextlib.suppress(EpochsUsedUpError):
        tuner.search(*data.train, validation_data=data.validation, callbacks=[Count()], verbose=0, **epochs)
    return max(values) if task.maximize else min(values)


def imported(path: Path) -> ModuleType:
    """Return a study file as a module."""
    sys.path.insert(0, str(path.parent))
    found = importlib.util.spec_from_file_location(path.stem, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def shown(found: Sequence[float]) -> str:
    """Return the median of the seeds' values, and their range, in three digits; accuracies in four."""
    if not found:
        return "not run"
    median, low, high = (
        f"{one:.4f}" if one > 0.1 else f"{one:.2g}" for one in (statistics.median(found), min(found), max(found))
    )
    return f"{median} ({low} to {high})"


def verdict(ours: Sequence[float], theirs: Sequence[float], maximize: bool) -> str:
    """Return how our median lies to the range of their seeds."""
    if not ours or not theirs:
        return "not run"
    median = statistics.median(ours)
    if min(theirs) <= median <= max(theirs):
        return "within its range"
    return "better" if (median > max(theirs)) is maximize else "**worse**"


def write(done: Mapping[str, float]) -> None:
    """Write the table and the plot of what is done."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    def values_of(task: str, search: str) -> list[float]:
        return [value for name, value in done.items() if name.startswith(f"{task}/{search}/")]

    searches = [one for one in (*OURS, *THEIRS) if any(values_of(name, one) for name in TASKS)]
    titles = [f"{task.title}: {task.metric} after {task.epochs} epochs" for task in TASKS.values()]
    rows = [[search, *(shown(values_of(name, search)) for name in TASKS)] for search in searches]
    beside = [
        [f"{ours}, beside {theirs}"]
        + [verdict(values_of(name, ours), values_of(name, theirs), task.maximize) for name, task in TASKS.items()]
        for ours, theirs in RIVALS.items()
    ]
    counts = {len(values_of(name, search)) for name in TASKS for search in searches}
    page = PAGE.format(
        seeds=" to ".join(str(one) for one in sorted({min(counts), max(counts)})),
        table=table(["search", *titles], rows),
        verdicts=table(["here, beside KerasTuner's", *(task.title for task in TASKS.values())], beside),
    )
    (ROOT / "docs" / "search-quality.md").write_text(page)

    figure, axes = plt.subplots(1, len(TASKS), figsize=(13, 4.2), constrained_layout=True)
    for axis, (name, task) in zip(axes, TASKS.items(), strict=True):
        for row, search in enumerate(reversed(searches)):
            found = values_of(name, search)
            if not found:
                continue
            color = "#9a5b13" if search in THEIRS else "#1f5f8b"
            axis.plot(found, [row] * len(found), "o", color=color, alpha=0.45, markersize=5)
            axis.plot([statistics.median(found)] * 2, [row - 0.3, row + 0.3], color=color, linewidth=2.5)
        axis.set_title(task.title, fontsize=10)
        axis.set_xlabel(f"best {task.metric}, {'more' if task.maximize else 'less'} is better")
        axis.set_yticks(range(len(searches)), list(reversed(searches)) if axis is axes[0] else [""] * len(searches))
        if not task.maximize:
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.xaxis.set_minor_formatter(NullFormatter())
        axis.grid(axis="x", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    images = ROOT / "docs" / "images"
    figure.savefig(images / "search-quality.png", dpi=130)


if __name__ == "__main__":
    main()
