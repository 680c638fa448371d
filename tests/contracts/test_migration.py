"""Tables of another version: refused, and brought up to date while a worker of the version before is at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from sqlalchemy import Connection, create_engine, inspect, text

from tests.records import make_new_study
from tuner_service.bootstrap import open_storage
from tuner_service.coordinator.studies import has_tables
from tuner_service.domain.attempt import NewAttempt
from tuner_service.domain.outcome import Outcome, Reason, State
from tuner_service.domain.study import StudyRecord
from tuner_service.domain.worker import Progress, WorkerInfo
from tuner_service.errors import SchemaError, SchemaVersionError
from tuner_service.ledger.reconcile import reconcile
from tuner_service.ledger.running import RunningAttempt
from tuner_service.storage import tables
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.storage.sql.migration import STEPS
from tuner_service.storage.url import StorageUrl

#: The oldest version that was released, as it made its tables on PostgreSQL.
_OLDEST = 4
_SCHEMA = Path(__file__).with_name(f"schema_{_OLDEST}.sql")


def _execute(url: str, *statements: str) -> None:
    engine = create_engine(StorageUrl.parse(url).secret_text)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def _described(url: str) -> dict[str, Any]:
    """Return what a database holds of this service's tables."""
    engine = create_engine(StorageUrl.parse(url).secret_text)
    looking = inspect(engine)
    found: dict[str, Any] = {}
    for name in looking.get_table_names():
        if name.startswith("tuner_"):
            columns = {one["name"]: (str(one["type"]), one["nullable"]) for one in looking.get_columns(name)}
            keys = looking.get_pk_constraint(name)["constrained_columns"]
            unique = sorted(tuple(one["column_names"]) for one in looking.get_unique_constraints(name))
            indexes = sorted((str(one["name"]), *map(str, one["column_names"])) for one in looking.get_indexes(name))
            foreign = [(one["referred_table"], one["options"]) for one in looking.get_foreign_keys(name)]
            found[name] = (columns, keys, unique, indexes, foreign)
    engine.dispose()
    return found


@contextmanager
def _newer_program(monkeypatch: pytest.MonkeyPatch, step: Callable[[Connection], object]) -> Iterator[None]:
    """Be the program that comes next, whose tables a step makes of the present ones."""
    with monkeypatch.context() as patched:
        patched.setattr(tables, "SCHEMA_VERSION", tables.SCHEMA_VERSION + 1)
        patched.setitem(STEPS, tables.SCHEMA_VERSION - 1, step)
        yield


def _adds(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE tuner_attempts ADD COLUMN price FLOAT"))
    connection.execute(text("CREATE TABLE tuner_prices (study_id INTEGER PRIMARY KEY)"))


@pytest.fixture
def storage(sql_url: str) -> Iterator[LedgerStorage]:
    """Provide an SQL storage with tables of the present version, of each kind in turn."""
    with closing(open_storage(sql_url)) as opened:
        opened.create_tables()
        yield opened


def _study(storage: LedgerStorage) -> StudyRecord:
    study = storage.create_study(make_new_study(sampler="random"))
    storage.insert_attempts(study.study_id, [NewAttempt(0, 0), NewAttempt(1, 0)])
    return study


def test_the_oldest_tables_become_the_present_ones(storage: LedgerStorage, sql_url: str) -> None:
    """Whoever changes a table raises its version, and says how databases that are there get from one to the other."""
    present = _described(sql_url)
    written = _SCHEMA.read_text()
    if sql_url.startswith("sqlite"):
        written = written.replace("SERIAL", "INTEGER").replace("FLOAT(53)", "FLOAT")
    dropped = [f"DROP TABLE {table.name}" for table in reversed(tables.metadata.sorted_tables)]
    made = [one for one in written.split(";\n") if one]
    _execute(sql_url, *dropped, *made, f"INSERT INTO tuner_schema VALUES ({_OLDEST})")
    assert storage.migrate_tables() == _OLDEST
    assert _described(sql_url) == present
    _study(storage)


def test_a_worker_that_runs_finishes_its_trial_and_takes_no_other(
    storage: LedgerStorage, sql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not know what the tables mean now; whoever does goes on where it stopped."""
    study = _study(storage)
    storage.optuna_storage()  # as a worker does when it starts
    claim = storage.claim(study.study_id, "old", lease_s=60.0, code="c0de")
    assert claim is not None
    attempt = RunningAttempt(storage, study, claim, "old")
    with closing(open_storage(sql_url)) as newer:
        with _newer_program(monkeypatch, _adds):
            with pytest.raises(SchemaVersionError, match=r"of version 4, .* with version 5; .* `tuner db migrate`"):
                newer.check_tables()
            assert newer.migrate_tables() == 4
            assert newer.migrate_tables() == 5

        worker = WorkerInfo("old", study.study_id, "host", 7, 1, 0.0, 0.0, lease_s=60.0)
        assert storage.beat(worker, [Progress(claim.trial_id, 1, 0.5)]).held == {claim.trial_id}
        attempt.suggest("rate", optuna.distributions.FloatDistribution(0.0, 1.0))
        assert attempt.drawn()
        attempt.settle(Outcome(Reason.FINISHED, 0.5, epochs=3))
        reconcile(storage, study.name)
        with pytest.raises(SchemaVersionError, match=r"of version 5, .* with version 4; a newer tuner-service .*pip"):
            storage.claim(study.study_id, "old", lease_s=60.0, code="c0de")

        with _newer_program(monkeypatch, _adds):
            following = newer.claim(study.study_id, "new", lease_s=60.0, code="c0de")
            assert following is not None
            assert following.configuration == 1
            assert [one.state for one in newer.attempts(study.study_id)[:2]] == [State.COMPLETE, State.RUNNING]


def test_a_step_that_fails_leaves_everything_as_it_was(
    storage: LedgerStorage, sql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All steps are one transaction."""

    def fails(connection: Connection) -> None:
        _adds(connection)
        raise ZeroDivisionError

    before = _described(sql_url)
    with _newer_program(monkeypatch, fails), pytest.raises(ZeroDivisionError):
        storage.migrate_tables()
    assert _described(sql_url) == before
    storage.check_tables()


def test_each_step_is_taken_once_however_many_migrate(
    storage: LedgerStorage, sql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when several pods are started with a new image."""

    def migrated(_: int) -> int | None:
        with closing(open_storage(sql_url)) as one:
            return one.migrate_tables()

    with _newer_program(monkeypatch, _adds), ThreadPoolExecutor(3) as pool:
        assert sorted(map(str, pool.map(migrated, range(3)))) == ["4", "5", "5"]
        storage.check_tables()


def test_tables_of_another_version_are_not_taken_for_this_ones(storage: LedgerStorage, sql_url: str) -> None:
    """Whoever makes missing tables does not call old ones new, and there is not a way from every version."""
    _execute(sql_url, "UPDATE tuner_schema SET version = 1")
    for refused in (storage.check_tables, storage.create_tables, lambda: has_tables(storage)):
        with pytest.raises(SchemaVersionError, match=r"has tables of version 1, .* `tuner db migrate`"):
            refused()
    with pytest.raises(SchemaError, match="has tables of version 1, from which nothing leads to version"):
        storage.migrate_tables()
    _execute(sql_url, "UPDATE tuner_schema SET version = 99")
    with pytest.raises(SchemaVersionError, match=r"has tables of version 99, .*; a newer tuner-service"):
        storage.migrate_tables()


def test_a_column_that_is_missing_says_what_to_do(storage: LedgerStorage, sql_url: str) -> None:
    """To commands, too, that look at no version before."""
    _execute(sql_url, "ALTER TABLE tuner_studies DROP COLUMN budget")
    with pytest.raises(
        SchemaVersionError, match=r"has tables of another version \(.*budget.*\); .* `tuner db migrate`"
    ):
        storage.studies()


class TestOptuna:
    """Optuna's own tables, whose version is Optuna's."""

    def test_its_version_is_the_one_that_this_program_knows(self, storage: LedgerStorage, sql_url: str) -> None:
        """Another Optuna with other tables is noticed here first."""
        theirs = optuna.storages.RDBStorage(StorageUrl.parse(sql_url).secret_text)
        assert theirs.get_head_version() == theirs.get_current_version() == tables.OPTUNA_REVISION
        theirs.engine.dispose()
        storage.check_tables()

    def test_older_ones_are_brought_up_to_date_with_ours(self, storage: LedgerStorage, sql_url: str) -> None:
        """With one command; nobody works with them before."""
        study = _study(storage)
        _execute(sql_url, "DROP INDEX ix_trials_study_id", "UPDATE alembic_version SET version_num = 'v3.0.0.d'")
        for refused in (
            storage.check_tables,
            storage.create_tables,
            storage.optuna_storage,
            lambda: _claim(storage, study),
        ):
            with pytest.raises(SchemaVersionError, match=r"are of another version of Optuna; .* `tuner db migrate`"):
                refused()
        assert storage.migrate_tables() == tables.SCHEMA_VERSION
        _claim(storage, study)
        assert len(storage.optuna_storage().get_all_trials(study.study_id)) == 2

    def test_newer_ones_are_refused(self, storage: LedgerStorage, sql_url: str) -> None:
        """They are left as they are."""
        _execute(sql_url, "UPDATE alembic_version SET version_num = 'v9.0.0.a'")
        for refused in (storage.check_tables, storage.create_tables, storage.migrate_tables):
            with pytest.raises(SchemaVersionError, match="or install the Optuna that made newer ones"):
                refused()


def _claim(storage: LedgerStorage, study: StudyRecord) -> None:
    assert storage.claim(study.study_id, "w1", lease_s=60.0, code="c0de") is not None


def test_redis_is_made_and_not_migrated(redis_url: str) -> None:
    """Its keys have a version of their own."""
    with closing(open_storage(redis_url)) as storage:
        assert storage.migrate_tables() is None
        assert storage.migrate_tables() == 4
