"""`--baseline`, from the command to the first trial of the companion."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tuner_service.bootstrap import open_storage
from tuner_service.cli.running import create
from tuner_service.training import inspection, isolated

_STUDY = """
import keras
import numpy as np
from tuner_service import Data, StudySpec
spec = StudySpec(name="small", metric="val_loss", trials=2, max_epochs=2)
def load_data():
    x = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
    return Data.split(x, x[:, :1])
def build_model(hp):
    units = hp.Int("units", 4, 8, default=6)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(hp.Float("rate", 1e-4, 1e-2, sampling="log")), "mse")
    return model
"""


def _here(function: Any, *arguments: Any, backend: str | None = None) -> Any:
    return function(*arguments)


def test_a_companion_begins_with_the_defaults(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its first trial has KerasTuner's defaults, the next one is drawn; said again, nothing is another."""
    monkeypatch.setattr(inspection, "DRAWS", 1)
    monkeypatch.setattr(isolated, "call", _here)
    path = tmp_path / "small.py"
    path.write_text(_STUDY)
    create(path, storage=sqlite_url, artifacts=str(tmp_path / "artifacts"), baseline=True)
    assert "small-baseline: created, 2 parameters found, 1 point to try first" in capsys.readouterr().out
    with closing(open_storage(sqlite_url)) as storage:
        companion = storage.study("small-baseline")
        claims = [storage.claim(companion.study_id, "w", lease_s=9.0, code=companion.code.digest) for _ in range(2)]
        assert [claim and claim.params for claim in claims] == [{"units": 6, "rate": 1e-4}, {}]
    create(path, storage=sqlite_url, artifacts=str(tmp_path / "artifacts"), baseline=True)
    assert "small-baseline: continued" in capsys.readouterr().out
