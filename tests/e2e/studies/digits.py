"""A small network on a few digits: everything that a study usually has."""

import keras
import optuna
from small import digits, perceptron

from tuner_service import Data, Hyperband, StudySpec, Tpe

spec = StudySpec(
    name="digits",
    metric="val_accuracy",
    trials=8,
    max_epochs=9,
    sampler=Tpe(),
    pruner=Hyperband(min_epochs=1, reduction_factor=3),
)


def load_data() -> Data:
    """Return the digits."""
    return digits()


def build_model(trial: optuna.Trial) -> keras.Model:
    """Return a network of some width."""
    return perceptron(
        trial.suggest_int("units", 4, 32),
        trial.suggest_float("learning_rate", 1e-3, 1e-1, log=True),
    )


def fit_options(trial: optuna.Trial) -> dict[str, object]:
    """Return the batch size."""
    return {"batch_size": trial.suggest_categorical("batch_size", [16, 32])}
