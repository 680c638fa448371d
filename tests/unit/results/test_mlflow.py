"""The export to MLflow, as MLflow gives it back."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import create_autospec

import pytest

from tests.records import make_attempt, make_study
from tuner_service.domain.outcome import Reason, State
from tuner_service.domain.trial import Trial
from tuner_service.results.mlflow import export_mlflow
from tuner_service.storage.ledger_storage import LedgerStorage

# It makes a database of MLflow's, which takes ten seconds.
pytestmark = [pytest.mark.soak, pytest.mark.filterwarnings("ignore")]


def _trial(number: int, reason: Reason | None, **fields: object) -> Trial:
    state = State.RUNNING if reason is None else None
    attempt = make_attempt(number, 0, state, reason=reason, number=number, ended_at=20.0, **fields)  # type: ignore[arg-type]
    return Trial(attempt, params={"units": 8}, reported={1: 0.1, 2: 0.5}, started_at=10.0)


def test_runs_are_trials_and_are_written_once(tmp_path: Path) -> None:
    """Each trial that has ended is a run with its parameters and curve; a second export adds what has ended since."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    storage = create_autospec(LedgerStorage, instance=True)
    storage.study.return_value = make_study()
    trials = [_trial(0, Reason.FINISHED, value=0.5), _trial(1, Reason.ERROR, error="E: no"), _trial(2, None)]
    storage.trials.return_value = trials
    assert export_mlflow(storage, "digits", uri) == 2
    storage.trials.return_value = [*trials[:2], _trial(2, Reason.PRUNED, value=0.4)]
    assert export_mlflow(storage, "digits", uri) == 1

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("digits")
    runs = {run.data.tags["tuner.trial"]: run for run in client.search_runs([experiment.experiment_id])}
    assert {trial: run.info.status for trial, run in runs.items()} == {"0": "FINISHED", "1": "FAILED", "2": "KILLED"}
    assert runs["0"].data.params == {"units": "8"}
    assert runs["0"].data.metrics == {"objective/val_accuracy": 0.5, "val_accuracy": 0.5}
    assert (runs["0"].info.start_time, runs["0"].info.end_time) == (10_000, 20_000)
    curve = client.get_metric_history(runs["0"].info.run_id, "val_accuracy")
    assert [(one.step, one.value) for one in curve] == [(1, 0.1), (2, 0.5)]
