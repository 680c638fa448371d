"""GPUs that the workers of one run share; what is trained there does not touch them, so that none need be there."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.e2e.tuner import Tuner

_WHERE = """
import os
import time


def objective(trial):
    trial.set_user_attr("gpu", os.environ["CUDA_VISIBLE_DEVICES"])
    time.sleep(1.0)
    return trial.suggest_float("x", -1, 1) ** 2
"""


@pytest.mark.parametrize(
    ("gpus", "options", "slots", "used"),
    [
        pytest.param("0,1,2", (), {1, 2}, {"0", "1", "2"}, id="each worker has its own"),
        pytest.param("5", ("--slots-per-gpu", "4"), {2}, {"5"}, id="two workers share the slots of one"),
    ],
)
def test_workers_of_a_run_share_the_gpus(
    tuner: Tuner, monkeypatch: pytest.MonkeyPatch, gpus: str, options: tuple[str, ...], slots: set[int], used: set[str]
) -> None:
    """No GPU is idle while another one has the trials of two workers, unless there are more workers than GPUs."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    (tuner.folder / "where.py").write_text(_WHERE)
    fields = ("--set", "direction=minimize", "--set", "trials=9")
    tuner("run", "where.py", "--workers", "2", *options, *fields)
    trials = tuner("trials", "where", "--json").json("trials")
    assert Counter(one["attributes"]["gpu"] for one in trials).keys() == used
    assert {number for (number,) in tuner.query("SELECT slots FROM tuner_workers")} == slots
