"""A function written for KerasTuner, as it is: depth, widths and activations on scikit-learn's synthetic regression."""

import keras
from regression_data import load_regression

from tuner_service import Data, Random, StudySpec

spec = StudySpec(name="keras-tuner-regression", metric="val_loss", trials=10, max_epochs=10, sampler=Random())


def load_data() -> Data:
    return load_regression(validation=0.2)


def build_model(hp):
    model = keras.Sequential([keras.Input(shape=(10,))])
    for i in range(hp.Int("num_layers", 1, 3)):
        model.add(
            keras.layers.Dense(
                units=hp.Int(f"units_{i}", min_value=32, max_value=128, step=32),
                activation=hp.Choice(f"activation_{i}", ["relu", "tanh", "sigmoid"]),
            )
        )
        # One name in a loop is one hyperparameter: all layers share it.
        model.add(keras.layers.Dropout(hp.Float("dropout", 0.0, 0.5, step=0.1)))
    model.add(keras.layers.Dense(1))
    learning_rate = hp.Float("learning_rate", min_value=1e-4, max_value=1e-2, sampling="log")
    model.compile(optimizer=keras.optimizers.Adam(learning_rate), loss="mse")
    return model
