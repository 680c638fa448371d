"""A study for those tests that look at what is served."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from optuna.distributions import FloatDistribution

from tests.records import make_new_study
from tuner_service.domain.attempt import NewAttempt
from tuner_service.domain.outcome import Failure, Outcome, Reason
from tuner_service.domain.study import StudyRecord
from tuner_service.domain.worker import Progress, WorkerInfo
from tuner_service.ledger.running import RunningAttempt
from tuner_service.storage.artifacts import Artifacts, trial_folder
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.training.assignment import CURVE_FILE

TOKEN, PASSWORD = "t0ken-of-the-team", "password-of-ada"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def seed(storage: LedgerStorage, folder: Path) -> StudyRecord:
    """Make a study with a trial that is complete, one that diverged, one that runs, and one that waits."""
    study = storage.create_study(replace(make_new_study(trials=6), artifacts=str(folder)))
    storage.insert_attempts(study.study_id, [NewAttempt(number, 0) for number in range(4)])
    for outcome in (
        Outcome(Reason.FINISHED, 0.75, epochs=2, best_epoch=2),
        Outcome(Reason.DIVERGED, epochs=1, failure=Failure("DivergedError", "loss became nan")),
        None,
    ):
        claim = storage.claim(study.study_id, "w1", lease_s=600.0, code="c0de")
        assert claim is not None
        attempt = RunningAttempt(storage, study, claim, "w1")
        attempt.suggest("rate", FloatDistribution(0.0, 1.0))
        attempt.drawn()
        attempt.report(1, 1, 0.5 if outcome is None or outcome.value else float("inf"))
        if outcome is not None:
            attempt.settle(outcome)
    storage.record_reports(claim.trial_id, "w1", {1: 0.25, 2: 0.375})
    worker = WorkerInfo("w1", study.study_id, "node-1", 7, 2, started_at=0.0, beat_at=0.0, lease_s=600.0)
    storage.beat(worker, [Progress(claim.trial_id, 3, 0.5)])
    curve = [{"loss": [2.0, float("nan")], "val_accuracy": [0.5, 0.75]}]
    Artifacts(study.artifacts, study.name).put_text(json.dumps(curve), f"{trial_folder(0)}/{CURVE_FILE}")
    return study
