"""The example for KEDA: its query on a real PostgreSQL, and its Job beside those of `tuner render`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import kubernetes_validate
import psycopg2
import pytest
import yaml

from tests.records import make_new_study
from tuner_service.bootstrap import open_storage
from tuner_service.cluster.manifests import render
from tuner_service.cluster.pool import WorkerPool
from tuner_service.domain.attempt import NewAttempt
from tuner_service.domain.outcome import Outcome, Reason
from tuner_service.domain.study import Control, Ending

EXAMPLE = Path(__file__).parents[2] / "deploy" / "keda" / "scaledjob.yaml"


@pytest.fixture
def scaled_job() -> dict[str, Any]:
    """Provide what the ScaledJob asks for."""
    spec: dict[str, Any] = next(yaml.safe_load_all(EXAMPLE.read_text()))["spec"]
    return spec


def test_the_query_counts_what_is_open(scaled_job: dict[str, Any], postgres_url: str) -> None:
    """As many as are not settled while the study runs, and none otherwise; always one number."""
    query = scaled_job["triggers"][0]["metadata"]["query"]

    def counted() -> list[int]:
        with closing(psycopg2.connect(postgres_url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(query)
            return [int(row[0]) for row in cursor.fetchall()]

    with closing(open_storage(postgres_url)) as storage:
        storage.create_tables()
        assert counted() == [0]
        study = storage.create_study(make_new_study(name="digits-mlp", trials=4))
        storage.create_study(make_new_study(name="another", trials=9))
        storage.insert_attempts(study.study_id, [NewAttempt(0, 0), NewAttempt(1, 0)])
        assert counted() == [4]
        claim = storage.claim(study.study_id, "w", lease_s=60, code=study.code.digest)
        assert claim is not None
        assert counted() == [4]
        storage.settle(claim.trial_id, "w", Outcome(Reason.FINISHED, 0.5, epochs=3))
        assert counted() == [3]
        storage.set_control(study.study_id, Control.PAUSE)
        assert counted() == [0]
        storage.set_control(study.study_id, Control.RUN)
        storage.end_study(study.study_id, Ending.STOPPED)
        assert counted() == [0]


@pytest.mark.parametrize("version", ["1.31", "1.37"])
def test_its_job_is_one_of_ours(scaled_job: dict[str, Any], version: str) -> None:
    """The pod is what `tuner render` prints, and goes by the same exit codes; KEDA knows no indexes."""
    options = {"study": "digits-mlp", "image": "tuner-worker:0.1.0", "studies": "/studies", "namespace": "tuner"}
    (job,) = render(WorkerPool.check(**options, gpus=1))
    theirs = scaled_job["jobTargetRef"]
    assert theirs["template"] == job["spec"]["template"]
    assert theirs["podFailurePolicy"] == job["spec"]["podFailurePolicy"]
    manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "digits"}, "spec": theirs}
    kubernetes_validate.validate(manifest, version, strict=True)
