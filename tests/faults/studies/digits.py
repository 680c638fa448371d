"""A small network whose epochs take a while, and who trained which of them is written down."""

import json
import os
import time
from pathlib import Path

import keras
from sklearn.datasets import load_digits

from tuner_service import Data, Random, StudySpec

spec = StudySpec(
    name="digits",
    metric="val_accuracy",
    trials=48,
    max_epochs=10,
    sampler=Random(),
    limits={"checkpoint_s": 0},
)
EPOCH_S = float(os.environ.get("EPOCH_S", "0.3"))
HISTORY = Path(__file__).with_name("history")


class Clerk(keras.callbacks.Callback):
    def __init__(self, trial):
        super().__init__()
        self.trial = trial

    def on_epoch_end(self, epoch, logs=None):
        time.sleep(EPOCH_S)
        line = {"number": self.trial.number, "params": self.trial.params, "epoch": epoch + 1, **logs}
        with (HISTORY / str(os.getpid())).open("a") as file:
            file.write(json.dumps(line) + "\n")


def load_data():
    images, labels = load_digits(return_X_y=True)
    return Data.split(images[:400].astype("float32") / 16, labels[:400], seed=0)


def build_model(trial):
    model = keras.Sequential([keras.Input((64,))])
    model.add(keras.layers.Dense(trial.suggest_int("units", 8, 64), "relu"))
    model.add(keras.layers.Dropout(0.2))
    model.add(keras.layers.Dense(10, "softmax"))
    rate = trial.suggest_float("rate", 1e-3, 1e-2)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def fit_options(trial):
    return {"batch_size": 64, "callbacks": [Clerk(trial)]}
