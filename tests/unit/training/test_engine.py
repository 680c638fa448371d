"""Which way a network is trained, and why."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from tuner_service.errors import StudyFileError
from tuner_service.training.data import Data
from tuner_service.training.engine import path_for

_X, _Y = np.zeros((8, 2), dtype="float32"), np.zeros((8, 1), dtype="float32")
_ARRAYS = Data((_X, _Y), (_X, _Y))


def _model(kind: type = keras.Model, **options: Any) -> keras.Model:
    inputs = keras.Input((2,))
    model = kind(inputs, keras.layers.Dense(1)(inputs))
    model.compile(**{"optimizer": "sgd", "loss": "mse", **options})
    return model


class OwnFit(keras.Model):  # type: ignore[misc]
    """Trains in its own way."""

    def fit(self, *_: Any, **__: Any) -> None:
        """Do nothing."""


class Batches(keras.callbacks.Callback):  # type: ignore[misc]
    """Acts at each batch."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Do nothing."""


class Rows(keras.utils.PyDataset):  # type: ignore[misc]
    """Data that is made as it is needed."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, _: int) -> Any:
        return _X, _Y


_callbacks = keras.callbacks


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({}, id="nothing given"),
        pytest.param(
            {"batch_size": 4, "shuffle": False, "verbose": 2, "class_weight": {0: 2.0}}, id="options of arrays"
        ),
        pytest.param({"steps_per_epoch": None, "validation_freq": 1}, id="Keras' defaults, said"),
        pytest.param(
            {
                "callbacks": [
                    _callbacks.EarlyStopping(),
                    _callbacks.ReduceLROnPlateau(),
                    _callbacks.ModelCheckpoint("best.keras"),
                    _callbacks.LambdaCallback(on_epoch_end=lambda *_: None),
                ]
            },
            id="callbacks at epochs",
        ),
    ],
)
def test_epochs_are_compiled_wherever_that_means_the_same(given: dict[str, Any]) -> None:
    """For data in arrays."""
    assert str(path_for("auto", _model(), _ARRAYS, given)) == "compiled"


@pytest.mark.parametrize(
    ("made", "data", "given", "because"),
    [
        pytest.param({"run_eagerly": True}, _ARRAYS, {}, "the network is compiled with run_eagerly=True", id="eager"),
        pytest.param({"kind": OwnFit}, _ARRAYS, {}, "OwnFit defines fit itself", id="a fit of its own"),
        pytest.param({}, _ARRAYS, {"steps_per_epoch": 3}, "fit_options gives steps_per_epoch", id="steps"),
        pytest.param({}, _ARRAYS, {"validation_freq": 2}, "fit_options gives validation_freq", id="seldom validated"),
        pytest.param({}, _ARRAYS, {"of_tomorrow": 1}, "fit_options gives of_tomorrow", id="an unknown option"),
        pytest.param({}, _ARRAYS, {"sample_weight": _Y}, "fit_options gives sample_weight", id="weights as an option"),
        pytest.param({}, _ARRAYS, {"verbose": 1}, "verbose asks for output at each batch", id="a bar"),
        pytest.param({}, _ARRAYS, {"callbacks": [Batches()]}, "Batches acts at each batch (on_train_batch_end)",
                     id="a callback at batches"),
        pytest.param({}, _ARRAYS, {"callbacks": [_callbacks.LambdaCallback(on_train_batch_begin=print)]},
                     "LambdaCallback acts at each batch (on_train_batch_begin)", id="a function at batches"),
        pytest.param({}, _ARRAYS, {"callbacks": [_callbacks.ModelCheckpoint("best.keras", save_freq=10)]},
                     "ModelCheckpoint acts at each batch (on_train_batch_end)", id="a checkpoint at batches"),
        pytest.param({}, Data(Rows()), {}, "the train data is not made of NumPy arrays", id="a PyDataset"),
        pytest.param({}, Data((_X, _Y), Rows()), {}, "the validation data is not made of NumPy arrays",
                     id="a PyDataset to validate"),
        pytest.param({}, Data((np.array([["a"]] * 8), _Y)), {}, "the train data has arrays that are no numbers",
                     id="text"),
        pytest.param({}, Data((_X, _Y, _Y[:, 0])), {"class_weight": {0: 1.0}},
                     "class_weight is given for data that is not (x, y) with one array y", id="two kinds of weights"),
    ],
)  # fmt: skip
def test_everything_else_goes_to_fit(made: dict[str, Any], data: Data, given: dict[str, Any], because: str) -> None:
    """The reason is told; where compiled epochs were asked for, it is an error."""
    model = _model(**made)
    assert str(path_for("auto", model, data, given)) == f"fit: {because}"
    with pytest.raises(StudyFileError) as error:
        path_for("compiled", model, data, given)
    assert because in str(error.value)


def test_fit_can_be_asked_for() -> None:
    """Although the epochs could be compiled."""
    assert str(path_for("fit", _model(), _ARRAYS, {})) == "fit: the specification says so"


def test_data_that_is_large_for_the_memory_goes_to_fit() -> None:
    """It would be copied to the device at once: a quarter of what is free is the most."""
    needed = 2 * (_X.nbytes + _Y.nbytes)
    assert path_for("auto", _model(), _ARRAYS, {}, free_memory=4 * needed).name == "compiled"
    path = path_for("auto", _model(), _ARRAYS, {}, free_memory=4 * needed - 1)
    assert str(path) == "fit: the data, 0 MB, is too large to be copied to the device at once"
