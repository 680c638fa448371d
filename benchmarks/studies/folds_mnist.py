"""Two cells of studies/grid_search_mnist.py, five folds each."""

import keras
import optuna
from mnist_data import load_mnist

from tuner_service import Data, Folds, Grid, StudySpec

UNITS = (8, 16)

spec = StudySpec(
    name="folds-mnist", metric="val_accuracy", max_epochs=5, sampler=Grid(), folds=Folds(n=5), value="last"
)


def load_data() -> Data:
    """Return MNIST's training part, which the folds divide."""
    train, _ = load_mnist()
    return Data(train=train)


def network(units: int) -> keras.Model:
    """Return the network of a cell, compiled."""
    model = keras.Sequential(
        [
            keras.Input(shape=(28, 28)),
            keras.layers.Flatten(),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def build_model(trial: optuna.Trial) -> keras.Model:
    """Return a trial's network."""
    return network(trial.suggest_categorical("units", UNITS))
