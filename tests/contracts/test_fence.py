"""What PostgreSQL itself refuses to every role but the owner of the tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from tests.records import make_new_study
from tests.servers import PostgresServer
from tuner_service.bootstrap import open_storage
from tuner_service.domain.attempt import NewAttempt
from tuner_service.domain.outcome import Outcome, Reason
from tuner_service.storage.ledger_storage import LedgerStorage

_ROLE = "fenced_worker"
_GRANTS = f"""
    CREATE ROLE {_ROLE} LOGIN;
    GRANT USAGE ON SCHEMA public TO {_ROLE};
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {_ROLE};
    GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {_ROLE};
"""


@pytest.fixture
def worker(postgres_url: str, postgres_server: PostgresServer) -> Iterator[tuple[LedgerStorage, Any]]:
    """Provide a worker's storage and connection, with more rights than it should ever have, in a study of two rows."""
    with closing(open_storage(postgres_url)) as owner:
        owner.create_tables()
        study = owner.create_study(make_new_study())
        owner.insert_attempts(study.study_id, [NewAttempt(0, 0), NewAttempt(1, 0)])
    with closing(psycopg2.connect(postgres_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(_GRANTS)
    url = postgres_url.replace("postgres:@", f"{_ROLE}:@")
    with closing(open_storage(url)) as storage, closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        yield storage, connection.cursor()
    with closing(psycopg2.connect(postgres_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"DROP OWNED BY {_ROLE}; DROP ROLE {_ROLE}")


def _finish(storage: LedgerStorage) -> int:
    study = storage.study("digits")
    claim = storage.claim(study.study_id, "w", lease_s=60, code="c0de")
    assert claim is not None
    storage.settle(claim.trial_id, "w", Outcome(Reason.FINISHED, 0.5, epochs=3))
    return claim.trial_id


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("UPDATE trial_values SET value = 1e9 WHERE trial_id = %s", id="a better value"),
        pytest.param("DELETE FROM trial_values WHERE trial_id = %s", id="no value"),
        pytest.param("UPDATE trials SET state = 'RUNNING' WHERE trial_id = %s", id="another state"),
        pytest.param("DELETE FROM trials WHERE trial_id = %s", id="no trial"),
        pytest.param(
            "INSERT INTO trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type) "
            "VALUES (%s, 7, 0.1, 'FINITE')",
            id="a late report",
        ),
        pytest.param(
            "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) VALUES (%s, 'x', 0, '{}')",
            id="a late parameter",
        ),
        pytest.param(
            "CREATE TEMP TABLE trials (trial_id int, number int, state text); "
            "UPDATE public.trials SET state = 'RUNNING' WHERE trial_id = %s",
            id="another state behind a table of its own",
        ),
    ],
)
def test_a_trial_that_has_ended_is_never_changed(worker: tuple[LedgerStorage, Any], statement: str) -> None:
    """Not even by a worker whose code sends SQL of its own."""
    storage, cursor = worker
    trial_id = _finish(storage)
    with pytest.raises(psycopg2.errors.RaiseException, match="has ended and cannot be changed"):
        cursor.execute(statement, (trial_id,))
    (value,) = [one.value for one in storage.attempts(storage.study("digits").study_id) if one.trial_id == trial_id]
    assert value == 0.5


def test_a_trial_that_runs_can_be_changed(worker: tuple[LedgerStorage, Any]) -> None:
    """The fence stands around what has ended, and nothing else."""
    storage, cursor = worker
    _finish(storage)
    claim = storage.claim(storage.study("digits").study_id, "w", lease_s=60, code="c0de")
    assert claim is not None
    cursor.execute("UPDATE trials SET datetime_start = now() WHERE trial_id = %s", (claim.trial_id,))
    assert cursor.rowcount == 1


@pytest.mark.parametrize("mend", ["create_tables", "migrate_tables"])
def test_the_fence_of_an_older_version_is_mended(
    postgres_url: str, worker: tuple[LedgerStorage, Any], mend: str
) -> None:
    """It looked first among the temporary tables, and had no part around what the users want."""
    trial_id = _finish(worker[0])
    with closing(psycopg2.connect(postgres_url)) as connection, connection, connection.cursor() as cursor:
        for function in ("tuner_owns_trials", "tuner_fence_trial"):
            cursor.execute(f"ALTER FUNCTION {function}() RESET search_path")
        cursor.execute("DROP TRIGGER tuner_fence ON tuner_studies")
    worker[0].create_tables()  # is not its to mend, and no error
    worker[1].execute("CREATE TEMP TABLE trials (trial_id int, number int, state text)")
    change = "UPDATE public.trials SET state = state WHERE trial_id = %s"
    worker[1].execute(change, (trial_id,))
    with closing(open_storage(postgres_url)) as owner:
        getattr(owner, mend)()
    worker[1].execute("CREATE TEMP TABLE IF NOT EXISTS trials (trial_id int, number int, state text)")
    with pytest.raises(psycopg2.errors.RaiseException, match="has ended and cannot be changed"):
        worker[1].execute(change, (trial_id,))
