"""KerasTuner's RandomSearch over a list of configurations, or its Hyperband; prints the best value as JSON.

    python -m benchmarks.peers.keras_tuner_search random STUDY METRIC EPOCHS CONFIGURATIONS.json EXECUTIONS
    python -m benchmarks.peers.keras_tuner_search hyperband STUDY METRIC EPOCHS SEED

STUDY is a module with ``build_model(hp)`` and ``load_data()``.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras_tuner


class _Listed(keras_tuner.oracles.RandomSearchOracle):  # type: ignore[misc]
    """Random search, but that its draws are those of a list, so that all tools train the same."""

    def __init__(self, configurations: list[dict[str, Any]], **options: Any) -> None:  # noqa: ANN401 - KerasTuner's
        super().__init__(max_trials=len(configurations), **options)
        self._configurations = configurations

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return the next configuration."""
        return {"status": keras_tuner.engine.trial.TrialStatus.RUNNING, "values": self._configurations[int(trial_id)]}


def main(kind: str, study: str, metric: str, epochs: str, *rest: str) -> None:
    """Search, and print the best value."""
    module = importlib.import_module(study)
    data = module.load_data()
    objective = keras_tuner.Objective(metric, "max" if "acc" in metric else "min")
    with tempfile.TemporaryDirectory() as folder:
        where: dict[str, Any] = {"directory": folder, "project_name": "bench"}
        if kind == "random":
            configurations, executions = json.loads(Path(rest[0]).read_text()), int(rest[1])
            oracle = _Listed(configurations, objective=objective)
            tuner = keras_tuner.Tuner(oracle, module.build_model, executions_per_trial=executions, **where)
        else:
            tuner = keras_tuner.Hyperband(
                module.build_model, objective, max_epochs=int(epochs), factor=3, seed=int(rest[0]), **where
            )
        tuner.search(*data.train, validation_data=data.validation, epochs=int(epochs), verbose=0)
        (best,) = tuner.oracle.get_best_trials(1)
    print(json.dumps({"best": best.score}))


if __name__ == "__main__":
    main(*sys.argv[1:])
