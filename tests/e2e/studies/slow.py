"""A small network that takes a second and a half to train, so that there is time to interrupt it."""

import time

import keras
import optuna
from small import digits, perceptron

from tuner_service import Data, Random, StudySpec

spec = StudySpec(name="slow", metric="val_loss", trials=8, max_epochs=5, sampler=Random())


class Pause(keras.callbacks.Callback):
    """Takes its time after each epoch."""

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        """Wait for 0.3 seconds."""
        time.sleep(0.3)


def load_data() -> Data:
    """Return the digits."""
    return digits()


def build_model(trial: optuna.Trial) -> keras.Model:
    """Return a network of some width."""
    return perceptron(trial.suggest_int("units", 4, 32), 1e-2)


def fit_options(trial: optuna.Trial) -> dict[str, object]:
    """Return what slows the training down."""
    return {"callbacks": [Pause()]}
