"""The export to MLflow, as MLflow gives it back."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from tests.records import make_attempt, make_spec, make_study
from tuner_service.domain.outcome import Reason, State
from tuner_service.domain.trial import Trial
from tuner_service.errors import SpecError
from tuner_service.results.mlflow import allowed_names, export_mlflow
from tuner_service.storage.artifacts import Artifacts, trial_folder
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.training.assignment import CURVE_FILE

pytestmark = pytest.mark.filterwarnings("ignore")


def _trial(number: int, reason: Reason | None, **fields: object) -> Trial:
    state = State.RUNNING if reason is None else None
    attempt = make_attempt(number, 0, state, reason=reason, number=number, ended_at=20.0, **fields)  # type: ignore[arg-type]
    return Trial(attempt, params={"units": 8, "rate@model:cnn,mlp": 0.5}, reported={1: 0.1, 3: 0.5}, started_at=10.0)


# It makes a database of MLflow's, which takes ten seconds.
@pytest.mark.soak
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
    assert runs["0"].data.params == {"units": "8", "rate_model:cnn_mlp": "0.5"}
    assert json.loads(runs["0"].data.tags["tuner.names"])["rate_model:cnn_mlp"] == "rate@model:cnn,mlp"
    assert runs["0"].data.metrics == {"objective/val_accuracy": 0.5, "val_accuracy": 0.5}
    assert (runs["0"].info.start_time, runs["0"].info.end_time) == (10_000, 20_000)
    assert experiment.tags["tuner.code"] == storage.study.return_value.code.digest
    assert (experiment.tags["tuner.seed"], json.loads(experiment.tags["tuner.packages"])) == ("0", {})
    curve = client.get_metric_history(runs["0"].info.run_id, "val_accuracy")
    assert [(one.step, one.value) for one in curve] == [(1, 0.1), (3, 0.5)]

    # Of an export that was interrupted a run is left that has not ended; it is written anew.
    left = client.create_run(experiment.experiment_id, tags={"tuner.trial": "3"})
    storage.trials.return_value = [*storage.trials.return_value, _trial(3, Reason.FINISHED, value=0.6)]
    assert export_mlflow(storage, "digits", uri) == 1
    trials = [run for run in client.search_runs([experiment.experiment_id]) if run.data.tags["tuner.trial"] == "3"]
    assert [(run.info.status, run.info.run_id == left.info.run_id) for run in trials] == [("FINISHED", False)]

    # Of a trial of several runs each has its curve.
    study = dataclasses.replace(make_study(spec=make_spec(name="folded", folds=2)), artifacts=str(tmp_path))
    storage.study.return_value, storage.trials.return_value = study, [_trial(0, Reason.FINISHED, value=0.5)]
    text = json.dumps([{"loss": [2.0, 1.0]}, {"loss": [4.0, math.nan, 3.0]}])
    Artifacts(study.artifacts, study.name).put_text(text, f"{trial_folder(0)}/{CURVE_FILE}")
    assert export_mlflow(storage, "folded", uri) == 1
    experiment = client.get_experiment_by_name("folded")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.metrics == {"objective/val_accuracy": 0.5, "run-1/loss": 1.0, "run-2/loss": 3.0}
    curve = client.get_metric_history(run.info.run_id, "run-2/loss")
    assert [(one.step, one.value) for one in curve] == [(1, 4.0), (3, 3.0)]


@pytest.mark.parametrize("name", ["units", "a b", "units@x:1,2", "/a", "a/", "a//b", "a/./b", "a/../b", "é", "x" * 300])
def test_mlflow_takes_each_name(name: str) -> None:
    """MLflow's own judge says so, of parameters and metrics."""
    from mlflow.entities import Metric, Param
    from mlflow.utils.validation import _validate_batch_log_data

    (allowed,) = allowed_names([name]).values()
    _validate_batch_log_data([Metric(allowed, 0.5, 0, 0)], [Param(allowed, "1")], [])


@pytest.mark.parametrize("password", ["SECRET", "SEC/RET"])
def test_a_servers_password_is_not_shown(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's error names the whole address of a server that is down, or that it cannot read."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    storage = create_autospec(LedgerStorage, instance=True)
    storage.study.return_value, storage.trials.return_value = make_study(), []
    with pytest.raises(SpecError, match="the MLflow server of --mlflow refused") as refused:
        export_mlflow(storage, "digits", f"http://ada:{password}@127.0.0.1:1")
    assert "RET" not in str(refused.value)
    assert refused.value.__cause__ is None
