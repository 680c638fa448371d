"""A study whose trials fail in several ways, each in a part of the space that its probing does not come across."""

import os
import signal

import keras
import optuna
from small import digits, perceptron

from tuner_service import Data, Random, StudySpec

spec = StudySpec(name="failing", metric="val_accuracy", trials=5, max_epochs=2, sampler=Random(), seed=2)


def load_data() -> Data:
    """Return the digits."""
    return digits()


def build_model(trial: optuna.Trial) -> keras.Model:
    """Return a network, or fail."""
    place = trial.suggest_float("place", 0.0, 1.0)
    if 0.56 < place < 0.66:
        raise RuntimeError("no such network: [place] is taken")
    if 0.66 < place < 0.76:
        return perceptron(8, 1e38)
    if 0.76 < place < 0.86:
        os.kill(os.getpid(), signal.SIGSEGV)
    return perceptron(8, 1e-2)
