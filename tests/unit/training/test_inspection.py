"""What is found in a study file before a study is made of it."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import create_autospec

import pytest

from tuner_service.coordinator.points import points_of
from tuner_service.errors import SpecError
from tuner_service.search.space import merge
from tuner_service.storage.ledger_storage import LedgerStorage
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
_SCRIPT = """
from tuner_service import StudySpec
spec = StudySpec(name="s", metric="val_loss", trials=2, max_epochs=2)
def objective(hp):
    return hp.Float("rate", 0, 1)
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


_CHOICES = {**_HP, "rate": 'hp.Choice("rate", [1e-3, 1e-2], default=1e-2)'}


@pytest.mark.parametrize(
    ("sampler", "points"),
    [
        pytest.param("tpe", [{"units": 6, "rate": 1e-2}, {"units": 8}], id="before known points"),
        pytest.param("grid", [{"units": 6, "rate": 1e-2}, {"units": 8, "rate": 1e-3}], id="as first cell of a grid"),
    ],
)
def test_a_study_tries_the_defaults_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str, points: list[dict[str, object]]
) -> None:
    """With any sampler, as KerasTuner's GridSearch does; the points of its specification follow."""
    monkeypatch.setattr(inspection, "DRAWS", 1)
    path = tmp_path / "study.py"
    path.write_text(_STUDY.format(parameter="hp", **_CHOICES))
    found = inspection.inspect(path, [{"defaults_first": True, "sampler": sampler, "points": [{"units": 8}]}])
    begun = points_of(create_autospec(LedgerStorage), found, merge({}, found.draws[0]))
    assert [one.params for one in begun[:2]] == points


@pytest.mark.parametrize(
    ("study", "message"),
    [
        pytest.param(
            _STUDY.format(parameter="trial", **_TRIAL),
            "parameter 'units' has none; only KerasTuner's hp gives any. Mend that, or leave defaults_first out",
            id="one of Optuna's functions",
        ),
        pytest.param(
            _STUDY.format(parameter="hp", **{**_HP, "units": 'hp.Int("units", 4, 8, default=99)'}),
            "parameter 'units' has 99, which is not in IntDistribution",
            id="a default outside its range",
        ),
        pytest.param(
            _STUDY.format(parameter="hp", **{**_HP, "rate": '1 / hp.Float("rate", 0, 1)'}),
            "build_model failed: ZeroDivisionError",
            id="defaults that the code refuses",
        ),
        pytest.param(
            _STUDY.format(parameter="hp", units="4", rate="0.1"), "asks for no parameter", id="nothing to tune"
        ),
        pytest.param(_SCRIPT, "an objective trains when it is called", id="a script"),
    ],
)
def test_defaults_that_cannot_be_tried_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, study: str, message: str
) -> None:
    """Before anything is made, with what is missing."""
    monkeypatch.setattr(inspection, "DRAWS", 1)
    path = tmp_path / "study.py"
    path.write_text(study)
    with pytest.raises(SpecError, match=f"defaults_first: .*{message}"):
        inspection.inspect(path, [{"defaults_first": True}])


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
