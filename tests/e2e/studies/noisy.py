"""A network that draws random numbers wherever one can, named by Keras; it fails where it is told to."""

import keras
import numpy as np
import optuna

from tuner_service import Data, StudySpec

spec = StudySpec(name="noisy", metric="val_auc", trials=8, max_epochs=3, limits={"checkpoint_s": 0})


def load_data() -> Data:
    dice = np.random.default_rng(0)
    x = dice.normal(size=(400, 8)).astype("float32")
    return Data.split(x, (x[:, 0] > x[:, 1]).astype("float32"), test=0, seed=0)


def build_model(trial: optuna.Trial) -> keras.Model:
    if trial.suggest_categorical("fails", [False, True]):
        raise RuntimeError("it was told to")
    layers = [keras.layers.Dense(trial.suggest_int("units", 4, 16), "relu"), keras.layers.BatchNormalization()]
    noise = [keras.layers.GaussianNoise(0.1), keras.layers.Dropout(0.3), keras.layers.Dense(1, "sigmoid")]
    model = keras.Sequential([keras.Input((8,)), *layers, *noise])
    model.compile("adam", "binary_crossentropy", metrics=[keras.metrics.AUC()])
    return model
