"""The four roles on PostgreSQL: each can do its part, and nothing beyond it."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import psycopg2
import pytest
from sqlalchemy.exc import DBAPIError

from tests.records import make_new_study
from tests.servers import PostgresServer
from tuner_service.bootstrap import open_storage
from tuner_service.domain.attempt import NewAttempt
from tuner_service.domain.outcome import Outcome, Reason
from tuner_service.domain.score import Score, Scored
from tuner_service.domain.study import CodeRecord, Control, Ending, StudyRecord
from tuner_service.domain.worker import Progress, WorkerInfo
from tuner_service.errors import StorageError, StudyNotFoundError
from tuner_service.ledger.reconcile import reconcile
from tuner_service.results.refit import refit
from tuner_service.results.summary import summarize
from tuner_service.storage import tables
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.training.study_file import digest

_numbers = itertools.count()


@pytest.fixture(scope="module")
def login(postgres_server: PostgresServer) -> Iterator[Callable[[str], str]]:
    """Provide the URL of a user with one of the roles, in a database with the tables that the module's tests share."""
    postgres_server.create_database("roles")
    url = postgres_server.url("roles")
    roles = [f"test_{role}" for role in ("owner", "coordinator", "worker", "reader")]
    with closing(open_storage(url)) as storage:
        storage.create_tables()
        storage.create_roles("test")
        storage.create_roles("test")  # again, as at every upgrade
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        for role in roles:
            cursor.execute(f"CREATE USER {role}_user IN ROLE {role}")
    yield lambda role: url.replace("postgres:@", f"test_{role}_user:@")
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("REASSIGN OWNED BY test_owner TO postgres")
        for role in roles:
            cursor.execute(f"DROP OWNED BY {role}; DROP ROLE {role}_user; DROP ROLE {role}")
    postgres_server.drop_database("roles")


@pytest.fixture(scope="module")
def storage_of(login: Callable[[str], str]) -> Iterator[Callable[[str], LedgerStorage]]:
    """Provide the storage of a user with one of the roles."""
    with ExitStack() as stack:
        yield functools.cache(lambda role: stack.enter_context(closing(open_storage(login(role)))))


@pytest.fixture(scope="module")
def sql_of(login: Callable[[str], str]) -> Iterator[Callable[[str], Any]]:
    """Provide a cursor of a user with one of the roles."""
    with ExitStack() as stack:

        @functools.cache
        def connect_as(role: str) -> Any:
            connection = stack.enter_context(closing(psycopg2.connect(login(role))))
            connection.autocommit = True
            return connection.cursor()

        yield connect_as


@pytest.fixture
def study(storage_of: Callable[[str], LedgerStorage]) -> StudyRecord:
    """Provide a study that the coordinator has made."""
    return storage_of("coordinator").create_study(make_new_study(name=f"study-{next(_numbers)}", trials=2))


@pytest.fixture
def ended(storage_of: Callable[[str], LedgerStorage], study: StudyRecord) -> int:
    """Provide the id of a trial that has ended."""
    worker = storage_of("worker")
    storage_of("coordinator").insert_attempts(study.study_id, [NewAttempt(0, 0), NewAttempt(1, 0)])
    claim = worker.claim(study.study_id, "w", lease_s=60, code="c0de")
    assert claim is not None
    worker.settle(claim.trial_id, "w", Outcome(Reason.FINISHED, 0.5, epochs=3, attributes={"note": "ours"}))
    return claim.trial_id


def test_a_worker_does_its_work(storage_of: Callable[[str], LedgerStorage], study: StudyRecord) -> None:
    """It beats, reconciles, claims, suggests, reports, settles, hands back and ends the study."""
    worker = storage_of("worker")
    worker.check_tables()
    info = WorkerInfo("w", study.study_id, "host", 1, slots=1, started_at=0, beat_at=0, lease_s=60, beat_s=10)
    worker.beat(info, [])
    worker.take_turn(study.study_id, 0)
    reconcile(worker, study.name)

    claim = worker.claim(study.study_id, "w", lease_s=60, code="c0de")
    assert claim is not None
    theirs = worker.optuna_storage()
    theirs.get_all_trials(study.study_id)
    theirs.set_trial_param(claim.trial_id, "lr", 0.1, optuna.distributions.FloatDistribution(0, 1))
    for _ in range(2):  # the second changes what the first inserted
        theirs.set_trial_intermediate_value(claim.trial_id, 1, 0.4)
        theirs.set_trial_user_attr(claim.trial_id, "note", "mine")
        theirs.set_trial_system_attr(claim.trial_id, "cma", "state")
        theirs.set_study_user_attr(study.study_id, "note", "mine")
        theirs.set_study_system_attr(study.study_id, "cma", "state")
    assert worker.beat(info, [Progress(claim.trial_id, 1, 0.5)]).held == {claim.trial_id}
    worker.record_rung(study.study_id, bracket=0, epoch=1, configuration=0, value=0.4)
    worker.settle(claim.trial_id, "w", Outcome(Reason.FINISHED, 0.5, epochs=3, attributes={"note": "ours"}))

    again = worker.claim(study.study_id, "w", lease_s=0, code="c0de")
    assert again is not None
    assert worker.expire(again.trial_id, Reason.INTERRUPTED)
    worker.insert_attempts(study.study_id, [NewAttempt(1, 1, params_of=claim.trial_id)])
    last = worker.claim(study.study_id, "w", lease_s=60, code="c0de")
    assert last is not None
    worker.settle(last.trial_id, "w", Outcome(Reason.FINISHED, 0.6, epochs=3))
    worker.release("w")
    assert reconcile(worker, study.name).ending is Ending.FINISHED


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("DROP TABLE trials", id="drop a table"),
        pytest.param("CREATE TABLE mine (a int)", id="make a table"),
        pytest.param("DROP TRIGGER tuner_fence ON trials", id="tear down the fence"),
        pytest.param("TRUNCATE trial_values", id="empty a table"),
        pytest.param("DELETE FROM studies", id="delete a study"),
        pytest.param("DELETE FROM trials", id="delete trials"),
        pytest.param("DELETE FROM tuner_attempts", id="delete attempts"),
        pytest.param("DELETE FROM tuner_studies", id="delete a study's record"),
        pytest.param("INSERT INTO studies (study_name) VALUES ('mine')", id="create a study"),
        pytest.param("UPDATE studies SET study_name = 'mine'", id="rename a study"),
        pytest.param("UPDATE studies SET study_id = 1000 + study_id", id="renumber a study"),
        pytest.param("UPDATE study_directions SET direction = 'MINIMIZE'", id="turn a study's direction"),
        pytest.param("UPDATE tuner_studies SET budget = 1000", id="enlarge a budget"),
        pytest.param("UPDATE tuner_studies SET code = 'other'", id="accept other code"),
        pytest.param("UPDATE tuner_studies SET control = 'stop'", id="stop a study"),
        pytest.param("UPDATE tuner_studies SET control = 'pause', ending = NULL", id="pause a study"),
        pytest.param("ALTER FUNCTION tuner_owns_trials() RESET search_path", id="loosen the fence"),
        pytest.param("UPDATE trials SET number = 7", id="renumber trials"),
        pytest.param("UPDATE trials SET state = 'RUNNING' WHERE trial_id = {ended}", id="reopen a trial"),
        pytest.param("CREATE TEMP TABLE trials (trial_id int)", id="make a temporary table"),
        pytest.param("UPDATE trial_values SET value = 1e9", id="better a value"),
        pytest.param(
            "INSERT INTO trial_values (trial_id, objective, value) VALUES ({ended}, 1, 1e9)",
            id="add a value to a trial that has ended",
        ),
        pytest.param(
            "INSERT INTO trial_params (trial_id, param_name, param_value) VALUES ({ended}, 'other', 1)",
            id="add a parameter to a trial that has ended",
        ),
        pytest.param(
            "INSERT INTO trial_intermediate_values (trial_id, step, intermediate_value) VALUES ({ended}, 99, 1)",
            id="add a report to a trial that has ended",
        ),
        pytest.param("UPDATE tuner_attempts SET reason = 'error' WHERE trial_id = {ended}", id="change an outcome"),
        pytest.param("UPDATE tuner_attempts SET attempt = 7", id="renumber attempts"),
        pytest.param(
            "UPDATE trial_user_attributes SET value_json = '1' WHERE trial_id = {ended}", id="change an attribute"
        ),
        pytest.param(
            "INSERT INTO trial_system_attributes (trial_id, key, value_json) VALUES ({ended}, 'constraints', '[1]')",
            id="add an attribute to a trial that has ended",
        ),
        pytest.param("UPDATE tuner_rungs SET value = 0", id="change a rung"),
        pytest.param("CREATE ROLE mine", id="make a role"),
        pytest.param("COPY studies TO PROGRAM 'true'", id="run a program on the server"),
    ],
)
def test_a_worker_can_do_no_more(sql_of: Callable[[str], Any], ended: int, statement: str) -> None:
    """Whatever a worker's user is made to say, other studies and what has ended stay as they are."""
    with pytest.raises(
        (
            psycopg2.errors.InsufficientPrivilege,
            psycopg2.errors.RaiseException,  # the fence
            psycopg2.errors.ForeignKeyViolation,  # of the study's directions
        )
    ):
        sql_of("worker").execute(statement.format(ended=ended))


def test_a_worker_cancels_what_runs_where_a_stopping_rule_says_so(storage_of: Callable[[str], LedgerStorage]) -> None:
    """It is the only thing that it can want of a study, and it cannot take it back."""
    coordinator, worker = storage_of("coordinator"), storage_of("worker")
    stop = {"target": 0.5, "running": "cancel"}
    study = coordinator.create_study(make_new_study(name=f"study-{next(_numbers)}", trials=3, stop=stop))
    reconcile(worker, study.name)
    claims = [worker.claim(study.study_id, "w", lease_s=60, code="c0de") for _ in range(2)]
    assert claims[0] is not None
    worker.settle(claims[0].trial_id, "w", Outcome(Reason.FINISHED, 0.5, epochs=3))
    assert reconcile(worker, study.name).control is Control.CANCEL
    with pytest.raises(DBAPIError, match="can be cancelled by this role, and nothing else"):
        worker.set_control(study.study_id, Control.PAUSE)


def test_a_coordinator_creates_and_steers(storage_of: Callable[[str], LedgerStorage], study: StudyRecord) -> None:
    """It makes studies and changes what their users want; it needs no table made."""
    coordinator = storage_of("coordinator")
    reconcile(coordinator, study.name)
    for control in (Control.PAUSE, Control.RUN):
        coordinator.set_control(study.study_id, control)
    coordinator.extend_study(study.study_id, 8)
    coordinator.accept_code(study.study_id, CodeRecord("digits.py", "beef", ("0123",)))
    coordinator.end_study(study.study_id, Ending.STOPPED)
    coordinator.set_control(study.study_id, Control.RUN)
    assert coordinator.study(study.name).ending is None
    coordinator.record_score(study.study_id, Score(0, Scored.TRIAL, {"accuracy": 0.5}, "a@b"))
    assert len(storage_of("reader").scores(study.study_id)) == 1


@pytest.mark.parametrize(
    "statement", ["DROP TABLE trials", "DELETE FROM studies", "UPDATE trial_values SET value = 1e9"]
)
def test_a_coordinator_deletes_nothing(sql_of: Callable[[str], Any], ended: int, statement: str) -> None:
    """Deleting a study is the owner's."""
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        sql_of("coordinator").execute(statement)


def test_a_refusal_is_told_in_words(storage_of: Callable[[str], LedgerStorage], study: StudyRecord) -> None:
    """It is an error of the configuration, which waiting does not mend."""
    with pytest.raises(StorageError, match=r"refuses: permission denied .* Check the role"):
        storage_of("coordinator").delete_study(study.study_id)


@pytest.mark.usefixtures("ended")
def test_the_owner_deletes_a_study(storage_of: Callable[[str], LedgerStorage], study: StudyRecord) -> None:
    """The fence lets the owner's users through, and tables can be made by them."""
    owner = storage_of("owner")
    owner.create_tables()
    owner.delete_study(study.study_id)
    with pytest.raises(StudyNotFoundError):
        owner.study(study.name)


@pytest.mark.usefixtures("ended")
def test_a_reader_reads(storage_of: Callable[[str], LedgerStorage], study: StudyRecord) -> None:
    """It sees everything that people look at."""
    reader = storage_of("reader")
    assert summarize(reader, study.name).complete == 1
    assert len(reader.optuna_storage().get_all_trials(study.study_id)) == 2


@pytest.mark.parametrize(
    "table", [*tables.optuna_metadata.tables, *tables.metadata.tables, "version_info", "alembic_version"]
)
def test_a_reader_cannot_write(sql_of: Callable[[str], Any], table: str) -> None:
    """Into no table, in no way."""
    reader = sql_of("reader")
    reader.execute("SELECT column_name FROM information_schema.columns WHERE table_name = %s", [table])
    (column,) = reader.fetchone()
    for statement in (
        f"INSERT INTO {table} DEFAULT VALUES",
        f"UPDATE {table} SET {column} = {column}",
        f"DELETE FROM {table}",
        f"TRUNCATE {table}",
        f"DROP TABLE {table}",
        f"CREATE TABLE copied AS SELECT * FROM {table}",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            reader.execute(statement)


_LAB = """
import keras
import numpy as np
from tuner_service import Data

x = np.arange(12, dtype="float32").reshape(12, 1)


def load_data():
    return Data((x[:6], x[:6]), (x[6:9], x[6:9]), (x[9:], x[9:]))


def build_model(trial):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    return model
"""


def test_who_may_not_record_a_look_at_the_test_part_has_none(
    storage_of: Callable[[str], LedgerStorage], tmp_path: Path
) -> None:
    """The model that was trained on all data is not lost for it; who may sees what the test part says."""
    (tmp_path / "lab.py").write_text(_LAB)
    new = make_new_study(name="lab", trials=1, metric="val_loss", backend="tensorflow")
    coordinator, reader = storage_of("coordinator"), storage_of("reader")
    study = coordinator.create_study(replace(new, code=CodeRecord("lab.py", digest(tmp_path / "lab.py"))))
    coordinator.insert_attempts(study.study_id, [NewAttempt(0, 0)])
    claim = storage_of("worker").claim(study.study_id, "w", lease_s=60, code=study.code.digest)
    assert claim is not None
    storage_of("worker").settle(claim.trial_id, "w", Outcome(Reason.FINISHED, 0.5, epochs=3, best_epoch=2))

    def test_part() -> Any:
        return json.loads((tmp_path / "refit.json").read_text())["test"]

    with pytest.raises(StorageError, match=r"permission denied .*refit\.keras is there, without what the test part"):
        refit(reader, "lab", tmp_path, studies=tmp_path)
    assert (tmp_path / "refit.keras").exists()
    assert (test_part(), list(reader.scores(study.study_id))) == (None, [])
    refitted = refit(coordinator, "lab", tmp_path, studies=tmp_path)
    assert refitted.refit.epochs == 2
    assert [one.metrics for one in reader.scores(study.study_id)] == [test_part()] == [refitted.refit.test]
