"""A training loop of the study's own, on data of Keras' own kind."""

import keras
import numpy as np
import optuna
from small import digits, perceptron

from tuner_service import Data, Random, StudySpec

spec = StudySpec(name="own-fit", metric="val_loss", trials=4, max_epochs=2, sampler=Random(), seed=1)


class Batches(keras.utils.PyDataset):
    """Batches of 30 rows."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        super().__init__()
        self._x, self._y = x, y

    def __len__(self) -> int:
        return len(self._x) // 30

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = slice(30 * index, 30 * (index + 1))
        return self._x[rows], self._y[rows]


def load_data() -> Data:
    """Return the digits in batches."""
    data = digits()
    return Data(train=Batches(*data.train), validation=Batches(*data.validation), test=Batches(*data.test))


def build_model(trial: optuna.Trial) -> keras.Model:
    """Return a network of one width."""
    trial.suggest_categorical("returns", ["history", "metrics", "number"])
    return perceptron(16, 1e-2)


def fit(trial: optuna.Trial, model: keras.Model, data: Data, callbacks: list[keras.callbacks.Callback]) -> object:
    """Train for two epochs, and say how it went in one of the three ways."""
    trial.set_user_attr("sees_test_data", data.test is not None)
    if trial.params["returns"] == "history":
        return model.fit(data.train, validation_data=data.validation, epochs=2, callbacks=callbacks, verbose=0)
    model.fit(data.train, epochs=2, verbose=0)
    loss = model.evaluate(data.validation, verbose=0)[0]
    return {"val_loss": np.float32(loss), "epochs": 2} if trial.params["returns"] == "metrics" else np.array([loss])
