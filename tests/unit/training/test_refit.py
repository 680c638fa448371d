"""A configuration trained on all data but the test part, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tuner_service.domain.engine import Computing, Engine
from tuner_service.domain.run import RUNS
from tuner_service.domain.trial import Trial
from tuner_service.errors import StudyFileError
from tuner_service.results.refit import epochs_of
from tuner_service.training.refit import Refit, refit_model

_SOURCE = """
import keras, numpy as np
from tuner_service import Data

x = np.arange(24, dtype="float32").reshape(12, 2) / 24
y = x[:, :1] - x[:, 1:]

def load_data():
    return {data}

def build_model(trial):
    units = trial.suggest_int("units", 1, 9)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"], run_eagerly=True)
    return model
{more}
"""
_ARRAYS = "Data((x[:6], y[:6]), (x[6:9], y[6:9]), (x[9:], y[9:]))"


def _refit(folder: Path, data: str = _ARRAYS, more: str = "", epochs: int = 2, engine: Engine = "auto") -> Refit:
    study = folder / "study.py"
    study.write_text(_SOURCE.format(data=data, more=more))
    return refit_model(study, {"units": 3}, epochs, 5, 7, folder / "refit.keras", Computing(), engine)


def test_it_trains_on_all_rows_but_those_of_the_test_part(tmp_path: Path) -> None:
    """The model is that of a training by hand on train and validation together, with the same seed."""
    found = _refit(tmp_path, more="def fit_options(trial):\n    return {'batch_size': 9, 'validation_freq': 1}")
    x = np.arange(24, dtype="float32").reshape(12, 2) / 24
    y = x[:, :1] - x[:, 1:]
    keras.utils.set_random_seed(7)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"], run_eagerly=True)
    model.fit(x[:9], y[:9], batch_size=9, epochs=2, verbose=0)
    saved = keras.models.load_model(tmp_path / "refit.keras")
    for one, other in zip(saved.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    assert found.test == pytest.approx(model.evaluate(x[9:], y[9:], verbose=0, return_dict=True), rel=1e-4)
    assert set(found.train) == {"loss", "mae"}


def test_what_watches_validation_data_is_left_out(tmp_path: Path) -> None:
    """An early stopping would stop by nothing; it is named."""
    more = """
def fit_options(trial):
    stop = keras.callbacks.EarlyStopping("val_loss", patience=0)
    return {"callbacks": [stop, keras.callbacks.TerminateOnNaN()]}
"""
    assert _refit(tmp_path, more=more).left_out == ["EarlyStopping"]


def test_a_fit_of_its_own_is_ended_after_the_epochs(tmp_path: Path) -> None:
    """By a callback, which it passes on; it gets no validation data."""
    more = """
def fit(trial, model, data, callbacks):
    assert data.validation is None and data.test is None
    history = model.fit(*data.train, epochs=5, callbacks=callbacks, verbose=0)
    assert len(history.history["loss"]) == 3
    return history
"""
    _refit(tmp_path, more=more, epochs=3)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("Data((x, y))", id="no validation part"),
        pytest.param(
            "Data(*(__import__('tensorflow').data.Dataset.from_tensor_slices(p).batch(3) for p in ((x, y), (x, y))))",
            id="datasets",
        ),
    ],
)
def test_data_may_have_other_forms(tmp_path: Path, data: str) -> None:
    """Without a test part there is nothing to measure there."""
    assert _refit(tmp_path, data, "def fit_options(trial):\n    return {'shuffle': False}").test is None


def test_rows_without_a_weight_weigh_1(tmp_path: Path) -> None:
    """Where only the training part has weights, as in tuning, where they weigh the same in what it is judged by."""
    weights = "np.linspace(0, 1, 6, dtype='float32')"
    weighted = _refit(tmp_path, f"Data((x[:6], y[:6], {weights}), (x[6:9], y[6:9]))")
    ones = "np.ones(3, dtype='float32')"
    same = _refit(tmp_path, f"Data((x[:6], y[:6], {weights}), (x[6:9], y[6:9], {ones}))")
    assert weighted.train == pytest.approx(same.train)


def test_parts_that_cannot_be_joined_are_refused(tmp_path: Path) -> None:
    """The error says what is wanted."""
    with pytest.raises(StudyFileError, match="needs train and validation as one"):
        _refit(tmp_path, "Data(keras.utils.PyDataset(), (x, y))")


def test_it_trains_by_the_engine_of_the_study(tmp_path: Path) -> None:
    """Where compiled epochs are wanted and cannot be had, it says so instead of training in another way."""
    with pytest.raises(StudyFileError, match="run_eagerly"):
        _refit(tmp_path, engine="compiled")


@pytest.mark.parametrize(
    ("best", "runs", "expected"),
    [
        pytest.param(4, [], (4, "the epoch that counted"), id="one run"),
        pytest.param(None, [3, 4, 6], (4, "the mean of the epochs that counted in 3 runs"), id="several"),
        pytest.param(
            None, [], (9, "the study's max_epochs, since its fit reported no epochs"), id="nothing is known of epochs"
        ),
    ],
)
def test_how_long_it_trains_follows_from_the_trial(best: int | None, runs: list[int], expected: Any) -> None:
    """There is nothing left to stop early by."""
    record = {"execution": 0, "fold": 0, "seed": 1, "value": 0.5, "epochs": 9}
    trial = Trial(attempt=None, best_epoch=best, attributes={RUNS: [{**record, "best_epoch": one} for one in runs]})  # type: ignore[arg-type]
    assert epochs_of(trial, 9) == expected
