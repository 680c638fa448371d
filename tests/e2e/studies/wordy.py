"""A study whose value is not a number, in every trial."""

import optuna

from tuner_service import StudySpec

spec = StudySpec(
    name="wordy", metric="score", direction="maximize", trials=10, max_epochs=1, max_attempts=2, max_repeated_errors=3
)


def objective(trial: optuna.Trial) -> str:
    """Return a word."""
    return "high" if trial.suggest_float("x", 0.0, 1.0) < 2 else "low"
