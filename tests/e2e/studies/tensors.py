"""Data that only TensorFlow can make, made where it is loaded."""

import keras
import optuna
import tensorflow as tf
from small import digits, perceptron

from tuner_service import Data, NoPruning, StudySpec

spec = StudySpec(name="tensors", metric="val_accuracy", trials=2, max_epochs=2, pruner=NoPruning())


def load_data() -> Data:
    """Return the digits as datasets of batches."""
    data = digits()
    train, validation, test = (
        tf.data.Dataset.from_tensor_slices(part).batch(30) for part in (data.train, data.validation, data.test)
    )
    return Data(train=train, validation=validation, test=test)


def build_model(trial: optuna.Trial) -> keras.Model:
    """Return a network of some width."""
    return perceptron(trial.suggest_int("units", 4, 32), 1e-2)
