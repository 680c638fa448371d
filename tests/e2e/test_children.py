"""Children of a supervisor that has no storage."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.tuner import run_python

_STUDY = """
import os
from pathlib import Path

Path(__file__).with_name("seen").open("a").write(os.environ["CUDA_VISIBLE_DEVICES"] + "\\n")


def objective(trial):
    return 0.0
"""

_SUPERVISOR = """
import sys
from pathlib import Path
from tuner_service.worker.training_process import TrainingProcess, start_forkserver

study, folder = Path(sys.argv[1]), Path(sys.argv[2])
start_forkserver(study, keras_backend=None, uses_gpus=True)
for devices in ("1", "2,3", None):
    child = TrainingProcess(study, folder, devices)
    while (ready := child.wait(1.0)) is None:
        pass
    assert ready.arguments[1] is None, ready
    child.end()
"""


def test_a_child_loads_the_study_on_the_devices_of_its_slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study that starts the backend while it is loaded does so on these, not on the machine's first GPU."""
    study = tmp_path / "lab.py"
    study.write_text(_STUDY)
    # As where importing the study starts the backend: each child does it anew.
    monkeypatch.setenv("TUNER_WARM_LEVEL", "keras")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    run_python(_SUPERVISOR, study, tmp_path)
    assert (tmp_path / "seen").read_text().split() == ["1", "2,3", "0,1,2,3"]
