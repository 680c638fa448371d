"""The task R2, as written for KerasTuner: one hidden layer on the data of studies/keras_tuner_regression.py."""

import keras
from keras_tuner_regression import load_data as load_data

from tuner_service import Random, StudySpec

spec = StudySpec(name="units-regression", metric="val_loss", trials=10, max_epochs=10, sampler=Random())


def build_model(hp):
    """Return a trial's network."""
    units = hp.Int("units", min_value=32, max_value=256, step=32)
    model = keras.Sequential(
        [keras.Input(shape=(10,)), keras.layers.Dense(units, activation="relu"), keras.layers.Dense(1)]
    )
    learning_rate = hp.Float("learning_rate", min_value=1e-4, max_value=1e-2, sampling="log")
    model.compile(optimizer=keras.optimizers.Adam(learning_rate), loss="mse")
    return model
