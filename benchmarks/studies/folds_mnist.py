"""Two cells of studies/grid_search_mnist.py, five folds each."""

import keras
import optuna
from grid_search_mnist import build_model as network
from grid_search_mnist import load_data as load_data

from tuner_service import Folds, Grid, StudySpec

UNITS = (8, 16)

spec = StudySpec(
    name="folds-mnist", metric="val_accuracy", max_epochs=5, sampler=Grid(), folds=Folds(n=5), value="last"
)


def build_model(trial: optuna.Trial) -> keras.Model:
    """Return a trial's network."""
    return network(trial.suggest_categorical("units", UNITS))
