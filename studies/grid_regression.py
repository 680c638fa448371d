"""Every cell of a grid of width and learning rate once: a perceptron on scikit-learn's synthetic regression."""

import keras
import optuna
from regression_data import load_regression

from tuner_service import Data, Grid, StudySpec

spec = StudySpec(name="grid-regression", metric="val_loss", max_epochs=10, sampler=Grid(), value="last")


def load_data() -> Data:
    return load_regression(validation=0.2)


def build_model(trial: optuna.Trial) -> keras.Model:
    units = trial.suggest_categorical("units", [32, 64, 128])
    learning_rate = trial.suggest_categorical("learning_rate", [1e-2, 1e-3, 1e-4])

    model = keras.Sequential(
        [keras.Input(shape=(10,)), keras.layers.Dense(units, activation="relu"), keras.layers.Dense(1)]
    )
    model.compile(optimizer=keras.optimizers.Adam(learning_rate), loss="mse")
    return model
