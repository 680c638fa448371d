"""Several short trials in one child: each comes to what it comes to in a child of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.tuner import STUDIES, run_python

# A supervisor that has no storage: children of one forkserver, a list of (seed, fails) for each.
_SUPERVISOR = """
import hashlib, json, os, sys, tempfile, time, zipfile
from pathlib import Path
from tests.unit.training.fakes import make_task
from tuner_service.training.remote_trial import Answer
from tuner_service.worker.training_process import TrainingProcess, start_forkserver

study, folder, work = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])

def train(child, seed, fails):
    asked_at = time.monotonic()
    while child.wait(1.0) is None:
        pass
    scratch = Path(tempfile.mkdtemp(dir=folder))
    asked = {"suggest": lambda name, _: fails if name == "fails" else 8, "drawn": lambda _: True,
             "keep_model": lambda _: True}
    child.assign(make_task(seed=seed, metric="val_auc", direction="maximize", max_epochs=3, checkpoint_s=1e9,
                           folder=str(scratch), trials_per_process=3))
    while True:
        ask = child.wait(1.0)
        if ask is not None and ask.op == "done":
            break
        if ask is not None and ask.wants_answer:
            child.answer(Answer(asked[ask.op](*ask.arguments)))
    result, goes_on = ask.arguments
    model = []
    if result.reason == "finished":
        with zipfile.ZipFile(scratch / "model.keras") as saved:
            layers = json.loads(saved.read("config.json"))["config"]["layers"]
            model = [layer["config"]["name"] for layer in layers]
            model += [hashlib.sha256(saved.read("model.weights.h5")).hexdigest()]
    log = (scratch / "log.txt").read_text()
    return {"reason": result.reason, "value": result.value, "goes_on": goes_on, "pid": child.pid,
            "curve": json.loads((scratch / "curve.json").read_text()), "model": model, "log": log,
            "seconds": time.monotonic() - asked_at}

start_forkserver(study, keras_backend=os.environ["KERAS_BACKEND"], uses_gpus=False)
seen = []
for trials in work:
    child = TrainingProcess(study, folder)
    seen.append([train(child, *one) for one in trials])
    ended = child.end(0.0 if seen[-1][-1]["goes_on"] else 10.0)
    seen[-1][-1]["exit"] = ended
print(json.dumps(seen))
"""


def _train(folder: Path, work: list[list[tuple[int, bool]]], monkeypatch: pytest.MonkeyPatch, backend: str) -> Any:
    monkeypatch.setenv("KERAS_BACKEND", backend)
    monkeypatch.setenv("PYTHONPATH", str(STUDIES.parents[2]))
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    printed = run_python(_SUPERVISOR, STUDIES / "noisy.py", folder, json.dumps(work))
    return json.loads(printed.splitlines()[-1])


def _result(one: Any) -> Any:
    return {name: one[name] for name in ("reason", "value", "curve", "model")}


@pytest.mark.parametrize("backend", ["tensorflow", pytest.param("jax", marks=pytest.mark.soak)])
def test_a_trial_comes_to_the_same_in_whichever_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    """To the last bit of its curve and its model: first, second and third in one child, and each in its own."""
    work = [[(1, False), (2, False), (1, False)], [(1, False)], [(2, False)], [(2, True)]]
    together, alone, other, failed = _train(tmp_path, work, monkeypatch, backend)
    assert {one["pid"] for one in together} == {together[0]["pid"]}
    assert _result(together[0]) == _result(together[2]) == _result(alone[0])
    assert _result(together[1]) == _result(other[0]) != _result(alone[0])
    # The third one was the last of its number; an exception ends a child in any case, and its log is its own.
    assert [one["goes_on"] for one in together] == [True, True, False]
    assert (together[2]["exit"], failed[0]["reason"], failed[0]["goes_on"], failed[0]["exit"]) == (0, "error", False, 0)
    print(*(f"{one['seconds']:.2f}" for one in (*together, *alone, *other)), os.getloadavg())
