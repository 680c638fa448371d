"""Looking at what a training depends on."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner_service.training.data import Data
from tuner_service.training.provenance import data_digest, device_name, look, versions


def _data(**fields: Any) -> Data:
    x = np.arange(40.0).reshape(10, 4)
    return Data(**{"train": (x, np.arange(10)), "validation": (x + 1, np.arange(10)), **fields})


def test_data_has_the_same_digest_each_time() -> None:
    """Equal arrays have equal digests, whatever memory they lie in."""
    other = Data(train=tuple(np.asfortranarray(one) for one in _data().train), validation=_data().validation)
    assert data_digest(_data()) == data_digest(other)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"train": (np.arange(40.0).reshape(10, 4)[::-1], np.arange(10))}, id="another order"),
        pytest.param({"train": (np.arange(40, dtype="f4").reshape(10, 4), np.arange(10))}, id="another type"),
        pytest.param({"train": (np.arange(40.0).reshape(20, 2), np.arange(20))}, id="another shape"),
        pytest.param({"test": (np.zeros((2, 4)), np.zeros(2))}, id="a test part"),
        pytest.param({"groups": np.zeros(20)}, id="groups"),
        pytest.param({"train": (np.array([{"a": 1}, "b"], object), np.arange(2))}, id="objects"),
    ],
)
def test_other_data_has_another_digest(fields: dict[str, Any]) -> None:
    """Whatever may change a training changes the digest."""
    assert data_digest(_data(**fields)) not in (None, data_digest(_data()))


def test_large_data_is_looked_at_in_pieces() -> None:
    """Beginning, end and shape count, and the digest takes no longer."""
    rows = np.zeros((100_000, 8))
    labels = np.zeros(1)
    digests = set()
    for row in (None, 0, len(rows) - 1):
        changed = rows.copy()
        if row is not None:
            changed[row] = 1
        digests.add(data_digest(Data((changed, labels)), most_bytes=64_000))
    digests.add(data_digest(Data((rows[1:], labels)), most_bytes=64_000))
    assert len(digests) == 4


def test_a_build_under_another_name_is_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a laptop records as tensorflow is not missing in the image whose TensorFlow has no CUDA."""
    (tmp_path / "tensorflow_cpu-9.9.dist-info").mkdir()
    (tmp_path / "tensorflow_cpu-9.9.dist-info" / "METADATA").write_text("Name: tensorflow-cpu\nVersion: 9.9\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert versions(["tensorflow", "optuna"]) == {"tensorflow": "9.9"}


def test_data_that_is_read_as_it_is_needed_has_no_digest() -> None:
    """A generator would be used up."""
    assert data_digest(Data(train=(row for row in range(3)))) is None


def test_the_repository_of_a_study_is_named(tmp_path: Path) -> None:
    """Its commit, and whether the study is not as it was committed; without a repository nothing is claimed."""
    path = tmp_path / "study.py"
    path.write_text("x = 1\n")
    assert (look(path, None).commit, look(path, None).dirty) == (None, None)

    def git(*arguments: str) -> str:
        names = ("-c", "user.name=a", "-c", "user.email=a@b")
        return subprocess.check_output(["git", "-C", tmp_path, *names, *arguments], text=True).strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "a")
    commit = git("rev-parse", "HEAD")
    assert (look(path, None).commit, look(path, None).dirty) == (commit, False)
    path.write_text("x = 2\n")
    assert (look(path, None).commit, look(path, None).dirty) == (commit, True)
    git("commit", "-qam", "b")
    beside = tmp_path / "untracked.py"
    beside.write_text("")
    assert look(beside, None).dirty is True


def test_what_is_there_is_recorded(tmp_path: Path) -> None:
    """Python, the packages that are loaded, and what the data is made of."""
    found = look(tmp_path / "study.py", _data(test=[1, 2]))
    assert found.packages["python"] == platform.python_version()
    assert found.packages["numpy"] == np.__version__
    assert found.parts == {
        "train": "10 rows: x float64 (4), y int64",
        "validation": "10 rows: x float64 (4), y int64",
        "test": "list",
    }


def test_a_device_has_a_name() -> None:
    """Without a GPU it is the processor's."""
    assert device_name("-1")
