"""A space of nine cells, two of them in a branch, whose networks train in no time."""

import os
import time

import keras
import numpy as np
import optuna

from tuner_service import Data, Grid, StudySpec

spec = StudySpec(name="finite", metric="val_loss", max_epochs=2, sampler=Grid())


def load_data() -> Data:
    x = np.linspace(-1.0, 1.0, 64, dtype=np.float32).reshape(-1, 1)
    return Data.split(x, x**2, validation=0.25, seed=0)


def build_model(trial: optuna.Trial) -> keras.Model:
    units = trial.suggest_int("units", 2, 4)
    optimizer = trial.suggest_categorical("optimizer", ["adam", "sgd"])
    learning_rate = trial.suggest_float("learning_rate", 0.1, 0.2, step=0.1) if optimizer == "sgd" else 0.01
    model = keras.Sequential([keras.Input(shape=(1,)), keras.layers.Dense(units), keras.layers.Dense(1)])
    kinds = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}
    model.compile(optimizer=kinds[optimizer](learning_rate), loss="mse")
    return model


class Slowly(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        time.sleep(float(os.environ.get("EPOCH_S", "0")))


def fit_options(trial: optuna.Trial) -> dict[str, object]:
    return {"batch_size": 16, "callbacks": [Slowly()]}
