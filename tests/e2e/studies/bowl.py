"""A function of two numbers, without any network: as fast as a study can be."""

import optuna

from tuner_service import Random, StudySpec

spec = StudySpec(name="bowl", metric="height", direction="minimize", trials=4, max_epochs=9, sampler=Random())


def objective(trial: optuna.Trial) -> float:
    """Return the height over the bottom of a bowl."""
    x, y = trial.suggest_float("x", -1.0, 1.0), trial.suggest_float("y", -1.0, 1.0)
    return x**2 + y**2
