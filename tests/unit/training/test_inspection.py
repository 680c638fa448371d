"""What is found in a study file before a study is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuner_service.training import inspection

_STUDY = """
import keras
import numpy as np
from tuner_service import Data, StudySpec
spec = StudySpec(name="s", metric="val_loss", trials=2, max_epochs=2)
def load_data():
    x = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
    return Data.split(x, x[:, :1])
def build_model({parameter}):
    units, rate = {units}, {rate}
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(rate), "mse")
    return model
"""
_HP = {"units": 'hp.Int("units", 4, 8, default=6)', "rate": 'hp.Float("rate", 1e-4, 1e-2, sampling="log")'}
_TRIAL = {"units": 'trial.suggest_int("units", 4, 8)', "rate": 'trial.suggest_float("rate", 1e-4, 1e-2, log=True)'}


@pytest.mark.parametrize(
    ("parameter", "how", "defaults"),
    [
        pytest.param("hp", _HP, {"units": 6, "rate": 1e-4}, id="KerasTuner's, or the lowest values"),
        pytest.param("hp", {**_HP, "units": 'hp.Int("units", 4, 8, default=99)'}, None, id="none outside a range"),
        pytest.param("trial", _TRIAL, None, id="none of Optuna's functions"),
    ],
)
def test_defaults_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parameter: str, how: dict[str, str], defaults: object
) -> None:
    """They are what a companion of the study tries first."""
    monkeypatch.setattr(inspection, "DRAWS", 1)
    path = tmp_path / "study.py"
    path.write_text(_STUDY.format(parameter=parameter, **how))
    assert inspection.inspect(path, []).defaults == defaults


_RARE = """
import keras
import numpy as np
from tuner_service import Data, StudySpec
spec = StudySpec(name="s", metric="val_loss", trials=3, max_epochs=2, points=[
    {"depth": 900, "wide": 8}, {"depth": 901, "wide": 9}, {"depth": 1, "widht": 8}])
def load_data():
    x = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
    return Data.split(x, x[:, :1])
def build_model(trial):
    depth = trial.suggest_int("depth", 1, 901)
    units = trial.suggest_int("wide", 4, 8) if depth > 800 else 4
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model
"""


def test_names_of_a_rare_branch_are_found_by_the_points_that_use_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Draws may miss the branch; a name that is none of the code's stays unknown."""
    monkeypatch.setattr(inspection, "DRAWS", 1)
    path = tmp_path / "study.py"
    path.write_text(_RARE)
    asked = [set(draw) for draw in inspection.inspect(path, []).draws]
    assert asked == [{"depth"}, {"depth", "wide"}, {"depth"}]
