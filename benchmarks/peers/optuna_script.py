"""A plain Optuna script with Keras over a list of configurations; prints the best value as JSON.

    python -m benchmarks.peers.optuna_script STUDY METRIC EPOCHS CONFIGURATIONS.json EXECUTIONS

STUDY is a module with ``build_model(hp)`` and ``load_data()``.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import optuna


class _Hp:
    """A trial, with the names that a function written for KerasTuner asks by."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial

    def Int(self, name: str, min_value: int, max_value: int, step: int = 1) -> int:  # noqa: N802 - KerasTuner's
        """Return a whole number."""
        return self._trial.suggest_int(name, min_value, max_value, step=step)

    def Float(  # noqa: N802 - KerasTuner's
        self, name: str, min_value: float, max_value: float, step: float | None = None, sampling: str = "linear"
    ) -> float:
        """Return a number."""
        return self._trial.suggest_float(name, min_value, max_value, step=step, log=sampling == "log")

    def Choice(self, name: str, values: Sequence[Any]) -> Any:  # noqa: ANN401, N802 - KerasTuner's
        """Return one of some values."""
        return self._trial.suggest_categorical(name, values)


def main(study: str, metric: str, epochs: str, file: str, executions: str) -> None:
    """Search, and print the best value."""
    module = importlib.import_module(study)
    data = module.load_data()
    best = max if "acc" in metric else min
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: optuna.Trial) -> float:
        values = []
        for _ in range(int(executions)):
            keras.backend.clear_session()
            model = module.build_model(_Hp(trial))
            history = model.fit(*data.train, validation_data=data.validation, epochs=int(epochs), verbose=0)
            values.append(best(history.history[metric]))
        return statistics.fmean(values)

    made = optuna.create_study(direction="maximize" if best is max else "minimize")
    configurations = json.loads(Path(file).read_text())
    for configuration in configurations:
        made.enqueue_trial(configuration)
    made.optimize(objective, n_trials=len(configurations))
    print(json.dumps({"best": made.best_value}))


if __name__ == "__main__":
    main(*sys.argv[1:])
