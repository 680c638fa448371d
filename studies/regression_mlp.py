"""Depth, and each layer's width and activation, of a perceptron on scikit-learn's synthetic regression."""

import keras
import optuna
from regression_data import load_regression

from tuner_service import Data, NoPruning, Random, StudySpec

spec = StudySpec(
    name="regression-mlp",
    metric="val_loss",
    trials=10,
    max_epochs=10,
    sampler=Random(),
    pruner=NoPruning(),
)


def load_data() -> Data:
    return load_regression(validation=0.1, test=0.1)


def build_model(trial: optuna.Trial) -> keras.Model:
    dropout = trial.suggest_float("dropout", 0.0, 0.5, step=0.1)  # one value for all layers
    learning_rate = trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)

    model = keras.Sequential([keras.Input(shape=(10,))])
    for i in range(trial.suggest_int("layers", 1, 3)):
        units = trial.suggest_int(f"units_{i}", 32, 128, step=32)
        activation = trial.suggest_categorical(f"activation_{i}", ["relu", "tanh", "sigmoid"])
        model.add(keras.layers.Dense(units, activation=activation))
        model.add(keras.layers.Dropout(dropout))
    model.add(keras.layers.Dense(1))
    model.compile(optimizer=keras.optimizers.Adam(learning_rate), loss="mse")
    return model
