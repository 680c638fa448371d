"""A hill over units and rate, without any network, in a third of a second a trial."""

import time

import optuna

from tuner_service import Grid, StudySpec

spec = StudySpec(
    name="hill",
    metric="height",
    max_epochs=1,
    direction="maximize",
    sampler=Grid(space={"units": (32, 64, 128), "rate": (1e-2, 1e-3, 1e-4)}),
)


def objective(trial: optuna.Trial) -> float:
    units, rate = trial.suggest_int("units", 16, 256), trial.suggest_float("rate", 1e-5, 1e-1, log=True)
    time.sleep(0.3)
    trial.set_constraint("small", units - 100)
    return units / 256 - rate
