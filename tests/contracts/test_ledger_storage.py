"""The contract of ``LedgerStorage``, on every backend."""

from __future__ import annotations

import math
import multiprocessing
import shutil
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import optuna
import psycopg2
import pytest
import redis
from optuna.storages import BaseStorage
from optuna.storages._rdb.models import BaseModel
from sqlalchemy import create_engine, make_url, text

from tests.conftest import POOLED
from tests.contracts import processes
from tests.records import CODE, make_new_study
from tests.servers import PostgresServer, free_port
from tuner_service.bootstrap import open_storage
from tuner_service.domain.attempt import Attempt, NewAttempt
from tuner_service.domain.limits import Limits
from tuner_service.domain.outcome import RULES, Failure, Outcome, Reason, State
from tuner_service.domain.score import Score, Scored
from tuner_service.domain.study import CodeRecord, Control, Ending, Point, StudyRecord
from tuner_service.domain.worker import Progress, WorkerInfo
from tuner_service.errors import (
    CodeChangedError,
    SchemaError,
    StorageError,
    StorageUnavailableError,
    StudyExistsError,
    StudyNotFoundError,
    TrialLostError,
)
from tuner_service.ledger.history import Histories
from tuner_service.ledger.reconcile import reconcile
from tuner_service.storage.ledger_storage import Claim, Draw, LedgerStorage
from tuner_service.storage.redis import rows
from tuner_service.storage.redis.storage import RedisLedgerStorage
from tuner_service.storage.tables import metadata
from tuner_service.storage.url import StorageUrl

_PROCESSES = 6
#: Seconds by which the sum of a time and a duration may be rounded.
_ROUNDED = 1e-3


@pytest.fixture(scope="module")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide an SQLite file with empty tables, for tests to copy: making tables takes longer than most tests."""
    file = tmp_path_factory.mktemp("template") / "tuner.db"
    with closing(open_storage(f"sqlite:///{file}")) as opened:
        opened.create_tables()
    return file


@pytest.fixture(scope="module")
def postgres_template(postgres_server: PostgresServer) -> Iterator[str]:
    """Provide the name of a PostgreSQL database with empty tables, for tests to copy."""
    name = "contract_template"
    postgres_server.create_database(name)
    with closing(open_storage(postgres_server.url(name))) as opened:
        opened.create_tables()
    yield name
    postgres_server.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql", "redis", POOLED])
def made_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Provide the URL of a storage with empty tables, of each kind in turn."""
    match request.param:
        case "sqlite":
            file = shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "tuner.db")
            yield f"sqlite:///{file}"
        case "postgresql" | "pooled":
            template = request.getfixturevalue("postgres_template")
            server: PostgresServer = request.getfixturevalue("postgres_server")
            front = server if request.param == "postgresql" else request.getfixturevalue("pgbouncer")
            _on_server(server, f"CREATE DATABASE contract TEMPLATE {template}")
            yield front.url("contract")
            server.drop_database("contract")
        case "redis":
            url: str = request.getfixturevalue("redis_url")
            with closing(open_storage(url)) as opened:
                opened.create_tables()
            yield url


def _opens(connection: str) -> bool:
    try:
        psycopg2.connect(connection).close()
    except psycopg2.OperationalError as error:
        return "password authentication failed" not in str(error)
    return True


def _waiting_for_locks(connection: str) -> int:
    with closing(psycopg2.connect(connection)) as looking, looking.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return int(cursor.fetchone()[0])  # type: ignore[index]  # a count is one row


def _connections(connection: str) -> int:
    with closing(psycopg2.connect(connection)) as looking, looking.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tuner-service' "
            "AND datname = current_database()"
        )
        return int(cursor.fetchone()[0])  # type: ignore[index]  # a count is one row


def _on_server(server: PostgresServer, *statements: str) -> None:
    """Run statements that no transaction may hold, as the server's superuser."""
    with closing(psycopg2.connect(server.url())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


@pytest.fixture
def storage(made_url: str) -> Iterator[LedgerStorage]:
    """Provide a storage with empty tables, of each kind in turn."""
    with closing(open_storage(made_url)) as opened:
        yield opened


@pytest.fixture
def study(storage: LedgerStorage) -> StudyRecord:
    """Provide a study without rows."""
    return storage.create_study(make_new_study())


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    """Provide processes; each takes one of as many calls as there are processes, and all begin together."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(_PROCESSES)
    with context.Pool(_PROCESSES, processes.enter, (barrier,)) as made:
        yield made


def _insert(storage: LedgerStorage, study: StudyRecord, *new: NewAttempt | int) -> int:
    attempts = [NewAttempt(one, 0) if isinstance(one, int) else one for one in new]
    return storage.insert_attempts(study.study_id, attempts)


def _claim(storage: LedgerStorage, study: StudyRecord, worker_id: str = "w1", *, lease_s: float = 60.0) -> Claim:
    claim = storage.claim(study.study_id, worker_id, lease_s=lease_s, code="c0de")
    assert claim is not None
    return claim


def _insert_and_claim(storage: LedgerStorage, study: StudyRecord, configuration: int = 0, **options: Any) -> Claim:
    _insert(storage, study, configuration)
    return _claim(storage, study, **options)


def _nothing_to_claim(storage: LedgerStorage, study: StudyRecord) -> bool:
    return storage.claim(study.study_id, "w1", lease_s=60.0, code="c0de") is None


def _attempt(storage: LedgerStorage, study: StudyRecord, trial_id: int) -> Attempt:
    (found,) = [one for one in storage.attempts(study.study_id) if one.trial_id == trial_id]
    return found


def _settle(storage: LedgerStorage, claim: Claim, reason: Reason, worker_id: str = "w1", **fields: Any) -> None:
    storage.settle(claim.trial_id, worker_id, Outcome(reason, **fields))


def _trial(storage: LedgerStorage, study: StudyRecord, claim: Claim) -> optuna.trial.Trial:
    """Return Optuna's trial of a claim, as a worker makes it to sample parameters and to report."""
    study_of_optuna = optuna.study.Study(study.name, storage.optuna_storage(), sampler=optuna.samplers.RandomSampler())
    study_of_optuna.get_trials(deepcopy=False)  # Optuna's cache knows only what was read through it
    return optuna.trial.Trial(study_of_optuna, claim.trial_id)


def _retry(storage: LedgerStorage, study: StudyRecord, claim: Claim, reason: Reason = Reason.INTERRUPTED) -> Claim:
    """End a claim for a reason, insert the next attempt with its parameters, and claim that."""
    _settle(storage, claim, reason)
    _insert(storage, study, NewAttempt(claim.configuration, claim.attempt + 1, params_of=claim.trial_id))
    return _claim(storage, study)


def _retry_of(storage: LedgerStorage, study: StudyRecord, claim: Claim) -> Claim:
    """Return a claim of the next attempt of a configuration whose last one has ended."""
    _insert(storage, study, NewAttempt(claim.configuration, claim.attempt + 1, params_of=claim.trial_id))
    return _claim(storage, study)


def _worker(study: StudyRecord, worker_id: str = "w1", **fields: Any) -> WorkerInfo:
    given = {"host": "h", "pid": 7, "slots": 2, "started_at": 0.0, "beat_at": 0.0, "lease_s": 60.0, **fields}
    return WorkerInfo(worker_id, study.study_id, **given)


class TestTables:
    """A storage before it is used."""

    def test_a_look_at_an_empty_storage_says_so(self, storage_url: str) -> None:
        """Reading what is not there names the command that makes it."""
        with closing(open_storage(storage_url)) as storage, pytest.raises(SchemaError, match="tuner create"):
            storage.check_tables()

    def test_no_file_is_left_behind_by_a_look(self, sqlite_url: str, tmp_path: Path) -> None:
        """A misspelt path does not become an empty database."""
        with closing(open_storage(sqlite_url)) as storage:
            looks: list[Callable[[], object]] = [
                storage.check_tables,
                storage.studies,
                storage.now,
                storage.optuna_storage,
                lambda: storage.study("digits"),
                lambda: storage.create_study(make_new_study()),
            ]
            for look in looks:
                with pytest.raises(SchemaError, match="tuner create"):
                    look()
        assert list(tmp_path.iterdir()) == []

    def test_tables_are_made_once(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Making them again changes nothing."""
        storage.create_tables()
        storage.check_tables()
        assert storage.study(study.name) == study

    def test_tables_can_be_made_by_several_at_once(self, storage_url: str, pool: Pool) -> None:
        """Whoever comes later finds what the first one made."""
        pool.starmap(processes.make_tables, [(storage_url,)] * _PROCESSES, chunksize=1)

    def test_tables_of_another_version_are_refused(self, sql_url: str) -> None:
        """Both versions are named."""
        with closing(open_storage(sql_url)) as storage:
            storage.create_tables()
            engine = create_engine(StorageUrl.parse(sql_url).secret_text)
            with engine.begin() as connection:
                connection.execute(text("UPDATE tuner_schema SET version = 99"))
            engine.dispose()
            with pytest.raises(SchemaError, match=r"of version 99, this program works with version \d+"):
                storage.check_tables()

    def test_keys_of_another_version_are_refused(self, redis_url: str) -> None:
        """Both versions are named."""
        with closing(open_storage(redis_url)) as storage, redis.Redis.from_url(redis_url) as client:
            storage.create_tables()
            client.set("tuner:schema", 99)
            with pytest.raises(SchemaError, match=r"of version 99, this program works with version \d+"):
                storage.check_tables()

    def test_a_database_of_optuna_alone_becomes_one_of_this_service(self, sql_url: str) -> None:
        """Tables that Optuna made are used, and its studies stay."""
        text_url = StorageUrl.parse(sql_url).secret_text
        optuna.create_study(storage=text_url, study_name="theirs")
        with closing(open_storage(sql_url)) as storage:
            with pytest.raises(SchemaError, match="tuner create"):
                storage.check_tables()
            storage.create_tables()
            assert storage.studies() == []
            assert optuna.get_all_study_names(storage.optuna_storage()) == ["theirs"]

    def test_a_folder_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        """SQLite makes files, not folders."""
        with closing(open_storage(f"sqlite:///{tmp_path}/none/x.db")) as storage:
            with pytest.raises(StorageError, match=rf"the folder {tmp_path}/none .* does not exist; make it first"):
                storage.create_tables()
            with pytest.raises(SchemaError, match="tuner create"):
                storage.check_tables()

    def test_a_home_folder_is_not_guessed_at(self) -> None:
        """A tilde is the shell's to replace: SQLite would take it for a folder's name."""
        with (
            closing(open_storage("sqlite:///~/x.db")) as storage,
            pytest.raises(StorageError, match=r"the folder ~ .* does not exist"),
        ):
            storage.create_tables()

    def test_a_file_that_is_no_database_is_refused(self, tmp_path: Path) -> None:
        """It stays as it is."""
        file = tmp_path / "notes.txt"
        file.write_text("not a database, but long enough to look at: " * 50)
        before = file.read_bytes()
        with closing(open_storage(f"sqlite:///{file}")) as storage, pytest.raises(StorageError, match="not a database"):
            storage.create_tables()
        assert file.read_bytes() == before

    @pytest.mark.parametrize("scheme", ["postgresql", "redis"])
    def test_a_server_that_does_not_answer_is_unavailable(self, scheme: str) -> None:
        """The URL is named, without its password."""
        url = f"{scheme}://u:s3cr3t@127.0.0.1:{free_port()}/0"
        with closing(open_storage(url)) as storage, pytest.raises(StorageUnavailableError) as error:
            storage.check_tables()
        assert f"the storage {StorageUrl.parse(url)} cannot be used: " in str(error.value)
        assert "s3cr3t" not in str(error.value)


class TestPasswords:
    """PostgreSQL with a password that is asked for."""

    password = "{0}}{%40@:/?#&= é'\"\\\\"

    @pytest.fixture
    def url(self, postgres_server: PostgresServer) -> Iterator[str]:
        """Provide the URL, without a password, of a database whose owner needs one."""
        rules = postgres_server.directory / "data" / "pg_hba.conf"
        before = rules.read_text()
        rules.write_text(f"local all sealed scram-sha-256\n{before}")
        quoted = self.password.replace("'", "''")
        _on_server(
            postgres_server,
            "SET standard_conforming_strings = on",
            f"CREATE ROLE sealed LOGIN PASSWORD '{quoted}'",
            "CREATE DATABASE sealed OWNER sealed",
            "SELECT pg_reload_conf()",
        )
        # The server reads its rules again when it gets to it.
        while _opens(f"host={postgres_server.directory} user=sealed password=wrong"):
            time.sleep(0.05)
        yield f"postgresql://sealed@/sealed?host={postgres_server.directory}"
        rules.write_text(before)
        _on_server(postgres_server, "DROP DATABASE sealed WITH (FORCE)", "DROP ROLE sealed", "SELECT pg_reload_conf()")

    def test_any_character_reaches_the_server(self, url: str) -> None:
        """In the tables, the ledger and Optuna, a password is what it was."""
        with closing(open_storage(StorageUrl.parse(url).with_password(self.password))) as storage:
            storage.create_tables()
            study = storage.create_study(make_new_study())
            assert storage.optuna_storage().get_study_id_from_name(study.name) == study.study_id
        with closing(open_storage(StorageUrl.parse(url).with_password(self.password).secret_text)) as storage:
            assert storage.study(study.name) == study

    def test_a_wrong_one_is_not_told(self, url: str) -> None:
        """The error says that the server refused it, not what it was."""
        wrong = StorageUrl.parse(url).with_password("s3cr3t")
        with closing(open_storage(wrong)) as storage, pytest.raises(StorageError) as error:
            storage.check_tables()
        # Waiting does not help.
        assert not isinstance(error.value, StorageUnavailableError)
        assert "password authentication failed" in str(error.value)
        assert "s3cr3t" not in str(error.value)
        assert "postgresql://sealed:***@/sealed" in str(error.value)


class TestStudies:
    """Studies by name."""

    def test_what_is_recorded_is_read_back(self, storage: LedgerStorage) -> None:
        """All of it, with the storage's time."""
        new = make_new_study(sampler={"kind": "random", "seed": 3}, trials=7)
        before = storage.now()
        study = storage.create_study(new)
        assert storage.study("digits") == study
        assert (study.spec, study.budget, study.code, study.kind) == (new.spec, 7, new.code, new.kind)
        assert (study.artifacts, study.probe, study.space) == (new.artifacts, new.probe, new.space)
        assert (study.provenance, study.control, study.ending) == (new.provenance, Control.RUN, None)
        assert before - 0.01 <= study.created_at <= storage.now() + 0.01

    def test_studies_are_listed_the_oldest_first(self, storage: LedgerStorage) -> None:
        """All of them, by the order of their creation."""
        made = [storage.create_study(make_new_study(name=name)) for name in ("b", "c", "a")]
        assert storage.studies() == made

    def test_a_name_is_given_once(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """A second study of the name is refused, and the first stays."""
        with pytest.raises(StudyExistsError, match=r"a study 'digits' exists already"):
            storage.create_study(make_new_study(trials=99))
        assert storage.study("digits") == study

    @pytest.mark.parametrize("with_trial", [False, True], ids=["of another direction", "with a trial"])
    def test_a_study_of_optuna_alone_is_not_taken_over(self, storage: LedgerStorage, with_trial: bool) -> None:
        """A name that somebody uses without this service is taken."""
        theirs = optuna.create_study(
            storage=storage.optuna_storage(), study_name="digits", direction="maximize" if with_trial else "minimize"
        )
        if with_trial:
            theirs.add_trial(optuna.create_trial(value=1.0))
        with pytest.raises(StudyExistsError, match=r"a study 'digits' exists already"):
            storage.create_study(make_new_study())
        assert storage.studies() == []

    def test_a_study_that_is_not_there_is_told_with_those_that_are(self, storage: LedgerStorage) -> None:
        """The nearest name is proposed."""
        with pytest.raises(StudyNotFoundError) as error:
            storage.study("digits")
        assert str(error.value) == (
            "There is no study 'digits': this storage holds none yet. Make one with `tuner create FILE`."
        )
        for name in ("digit", "mnist"):
            storage.create_study(make_new_study(name=name))
        with pytest.raises(StudyNotFoundError) as error:
            storage.study("digits")
        assert str(error.value) == (
            "There is no study 'digits'; this storage holds digit, mnist. Did you mean 'digit'?"
        )

    def test_a_study_ends_once(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """The first ending is the one that is kept."""
        assert storage.end_study(study.study_id, Ending.FAILED, "the same error")
        assert not storage.end_study(study.study_id, Ending.FINISHED)
        ended = storage.study(study.name)
        assert (ended.ending, ended.ending_message) == (Ending.FAILED, "the same error")
        assert ended.ended_at == pytest.approx(storage.now(), abs=10)

    def test_code_can_be_accepted(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """The record of the code is replaced."""
        code = CodeRecord("digits.py", "fedcba", (CODE.digest,))
        storage.accept_code(study.study_id, code)
        assert storage.study(study.name) == replace(study, code=code)

    def test_no_trial_is_claimed_with_code_that_was_replaced(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """A worker that runs meanwhile has loaded the old one; it finishes what it trains."""
        storage.insert_attempts(study.study_id, [NewAttempt(0, 0), NewAttempt(1, 0)])
        claim = storage.claim(study.study_id, "old", lease_s=60, code=CODE.digest)
        assert claim is not None
        storage.accept_code(study.study_id, replace(CODE, digest="beef", accepted=(CODE.digest,)))
        with pytest.raises(CodeChangedError, match=r"\(digest beef\) .*\(c0de\).* start it again"):
            storage.claim(study.study_id, "old", lease_s=60, code=CODE.digest)
        storage.settle(claim.trial_id, "old", Outcome(Reason.FINISHED, 0.5, epochs=3))
        assert storage.claim(study.study_id, "new", lease_s=60, code="beef") is not None

    def test_a_specification_can_be_revised(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """The record of it is replaced, and nothing else; the budget is a record of its own."""
        storage.extend_study(study.study_id, 9)
        spec = study.spec.model_copy(update={"limits": Limits(trial_s=60.0)})
        storage.revise_study(study.study_id, spec)
        assert storage.study(study.name) == replace(study, spec=spec, budget=9)

    @pytest.mark.parametrize(
        ("budget", "expected"),
        [pytest.param(9, 9, id="raised"), pytest.param(4, 4, id="as it was"), pytest.param(2, 4, id="never lowered")],
    )
    def test_a_budget_only_grows(self, storage: LedgerStorage, study: StudyRecord, budget: int, expected: int) -> None:
        """What has been promised stays promised."""
        storage.extend_study(study.study_id, budget)
        assert storage.study(study.name) == replace(study, budget=expected)

    @pytest.mark.parametrize(
        ("ending", "budget", "goes_on"),
        [
            pytest.param(Ending.FINISHED, 9, True, id="finished, with a larger budget"),
            pytest.param(Ending.FINISHED, 4, False, id="finished, with the same budget"),
            pytest.param(Ending.STOPPED, 9, False, id="stopped"),
            pytest.param(Ending.FAILED, 9, False, id="failed"),
        ],
    )
    def test_an_extension_lets_a_finished_study_go_on(
        self, storage: LedgerStorage, study: StudyRecord, ending: Ending, budget: int, goes_on: bool
    ) -> None:
        """One that was stopped or failed waits for its user to say so."""
        storage.end_study(study.study_id, ending)
        storage.extend_study(study.study_id, budget)
        after = storage.study(study.name)
        assert (after.ending is None, after.ended_at is None, after.resumed_at > 0) == (goes_on,) * 3

    @pytest.mark.parametrize(
        ("ending", "control", "goes_on"),
        [
            pytest.param(Ending.STOPPED, Control.RUN, True, id="a stopped one"),
            pytest.param(Ending.FAILED, Control.RUN, True, id="a failed one"),
            pytest.param(Ending.FINISHED, Control.RUN, True, id="a finished one, if something is left to do"),
            pytest.param(Ending.STOPPED, Control.PAUSE, False, id="not by pausing it"),
        ],
    )
    def test_a_study_goes_on_when_its_user_says_so(
        self, storage: LedgerStorage, study: StudyRecord, ending: Ending, control: Control, goes_on: bool
    ) -> None:
        """It is then as if it had not ended, and earlier errors are forgiven."""
        storage.end_study(study.study_id, ending, "why")
        storage.set_control(study.study_id, control)
        after = storage.study(study.name)
        assert after.control is control
        assert (after.ending is None, after.ending_message == "", after.ended_at is None) == (goes_on,) * 3
        assert after.resumed_at == (pytest.approx(storage.now(), abs=10) if goes_on else 0.0)


def _interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


class TestDeletion:
    """Deleting a study."""

    def test_it_takes_all_of_the_study_and_nothing_else(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Rows, parameters, rungs and workers of another study stay."""
        other = storage.create_study(make_new_study(name="other"))
        for one in (study, other):
            claim = _insert_and_claim(storage, one)
            _trial(storage, one, claim).suggest_float("rate", 0, 1)
            storage.beat(_worker(one, f"worker of {one.name}"), [])
            storage.record_rung(one.study_id, bracket=0, epoch=1, configuration=0, value=0.5)
        before = self._all_of(storage, other)
        storage.delete_study(study.study_id)
        with pytest.raises(StudyNotFoundError):
            storage.study(study.name)
        assert storage.studies() == [other]
        assert (storage.attempts(study.study_id), storage.trials(study.study_id)) == ([], [])
        assert storage.workers(study.study_id) == []
        assert optuna.get_all_study_names(storage.optuna_storage()) == ["other"]
        assert self._all_of(storage, other) == before
        assert storage.record_rung(other.study_id, bracket=0, epoch=1, configuration=1, value=0.7) == {0: 0.5, 1: 0.7}

    @staticmethod
    def _all_of(storage: LedgerStorage, study: StudyRecord) -> tuple[object, ...]:
        (trial,) = storage.trials(study.study_id)
        # Redis works out when a lease ends from how long it has left.
        lease_until = round(trial.attempt.lease_until or 0.0)
        return replace(trial, attempt=replace(trial.attempt, lease_until=lease_until)), storage.workers(study.study_id)

    def test_no_row_of_it_is_left_in_any_table(self, sql_url: str) -> None:
        """Optuna's tables are empty again but for its version."""
        with closing(open_storage(sql_url)) as storage:
            storage.create_tables()
            study = storage.create_study(make_new_study())
            claim = _insert_and_claim(storage, study)
            trial = _trial(storage, study, claim)
            trial.suggest_float("rate", 0, 1)
            trial.report(0.5, 1)
            trial.set_user_attr("note", "x")
            storage.record_rung(study.study_id, bracket=0, epoch=1, configuration=0, value=0.5)
            storage.beat(_worker(study), [])
            _settle(storage, claim, Reason.FINISHED, value=0.5)
            storage.delete_study(study.study_id)
            with create_engine(StorageUrl.parse(sql_url).secret_text).connect() as connection:
                names = {*BaseModel.metadata.tables, *metadata.tables}
                rows = {name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in names}
            connection.engine.dispose()
        assert {name for name, count in rows.items() if count} == {
            "version_info",
            "tuner_schema",
            "alembic_version",
        } & names

    def test_no_key_of_it_is_left(self, redis_url: str) -> None:
        """In Redis only the journal remembers."""
        with closing(open_storage(redis_url)) as storage, redis.Redis.from_url(redis_url) as client:
            storage.create_tables()
            study = storage.create_study(make_new_study())
            claim = _insert_and_claim(storage, study)
            storage.record_rung(study.study_id, bracket=0, epoch=1, configuration=0, value=0.5)
            storage.beat(_worker(study), [Progress(claim.trial_id, 1, 0.5)])
            storage.delete_study(study.study_id)
            assert {key.decode() for key in client.keys("tuner:*")} == {"tuner:schema"}

    def test_the_name_can_be_used_again(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """The new study knows nothing of the old one."""
        _settle(storage, _insert_and_claim(storage, study), Reason.FINISHED, value=0.5)
        storage.record_rung(study.study_id, bracket=0, epoch=1, configuration=0, value=0.5)
        storage.delete_study(study.study_id)
        again = storage.create_study(make_new_study(trials=9))
        assert storage.study(study.name) == again
        assert storage.attempts(again.study_id) == []
        assert _insert(storage, again, 0, 1) == 2
        assert storage.record_rung(again.study_id, bracket=0, epoch=1, configuration=1, value=0.7) == {1: 0.7}

    def test_its_worker_hears_that_it_has_ended(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """And can settle nothing any more."""
        claim = _insert_and_claim(storage, study)
        storage.delete_study(study.study_id)
        heard = storage.beat(_worker(study), [Progress(claim.trial_id, 1, 0.5)])
        assert (heard.held, heard.ended) == (frozenset(), True)
        assert _nothing_to_claim(storage, study)
        with pytest.raises(TrialLostError, match=r"trial \(deleted\) is not w1's any more"):
            _settle(storage, claim, Reason.FINISHED, value=0.5)

    def test_a_deletion_that_is_cut_off_is_in_nobodys_way(
        self, redis_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of a large study it takes seconds on Redis: the name is free, and nothing of it comes back."""
        with closing(open_storage(redis_url)) as storage:
            study = storage.create_study(make_new_study())
            _insert_and_claim(storage, study)
            with monkeypatch.context() as patch:
                patch.setattr(redis.Redis, "scan_iter", _interrupted)
                with pytest.raises(KeyboardInterrupt):
                    storage.delete_study(study.study_id)
            with pytest.raises(StudyNotFoundError):
                storage.study(study.name)
            assert storage.attempts(storage.create_study(make_new_study()).study_id) == []

    def test_a_study_that_was_deleted_in_optuna_is_gone(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """optuna-dashboard has a button for it; what is left of the study stands in nobody's way."""
        other = storage.create_study(make_new_study(name="other"))
        claim = _insert_and_claim(storage, study)
        storage.record_rung(study.study_id, bracket=0, epoch=1, configuration=0, value=0.5)
        optuna.delete_study(study_name=study.name, storage=storage.optuna_storage())
        with pytest.raises(StudyNotFoundError):
            storage.study(study.name)
        assert storage.studies() == [other]
        with pytest.raises(TrialLostError):
            _settle(storage, claim, Reason.FINISHED, value=0.5)
        # SQLite gives the deleted rows' ids away again.
        assert _insert(storage, other, 0, 1) == 2
        assert [one.configuration for one in storage.attempts(other.study_id)] == [0, 1]
        again = storage.create_study(make_new_study())
        assert storage.attempts(again.study_id) == []
        assert storage.record_rung(again.study_id, bracket=0, epoch=1, configuration=1, value=0.7) == {1: 0.7}


class TestInsertion:
    """Waiting rows."""

    def test_rows_wait_in_the_order_of_their_numbers(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Numbers go on where they ended."""
        _insert(storage, study, 0, 1)
        _insert(storage, study, 2)
        rows = storage.attempts(study.study_id)
        assert [(one.number, one.configuration, one.attempt, one.state) for one in rows] == [
            (number, number, 0, State.WAITING) for number in range(3)
        ]
        assert {(one.owner, one.lease_until, one.reason, one.value) for one in rows} == {(None,) * 4}

    def test_an_attempt_is_inserted_once(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """What is there is left out, and not counted."""
        assert _insert(storage, study, 0, 1) == 2
        assert _insert(storage, study, 1, 2, NewAttempt(1, 1)) == 2
        assert _insert(storage, study) == 0
        assert len(storage.attempts(study.study_id)) == 4

    def test_an_attempt_that_has_ended_is_not_inserted_again(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """A reconciler that acts on what it read long ago does no harm."""
        _settle(storage, _insert_and_claim(storage, study), Reason.FINISHED, value=0.5)
        assert _insert(storage, study, 0) == 0

    def test_studies_count_by_themselves(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Each has its own numbers and configurations."""
        other = storage.create_study(make_new_study(name="other"))
        _insert(storage, study, 0)
        assert _insert(storage, other, 0) == 1
        assert [one.number for one in storage.attempts(other.study_id)] == [0]

    def test_reconcilers_that_insert_at_once_make_each_row_once(
        self, storage: LedgerStorage, study: StudyRecord, made_url: str, pool: Pool
    ) -> None:
        """Six processes insert the same ten attempts: ten rows wait, none of them twice."""
        calls = [(made_url, study.name, 10)] * _PROCESSES
        assert sum(pool.starmap(processes.insert_all, calls, chunksize=1)) == 10
        rows = storage.attempts(study.study_id)
        assert sorted(one.configuration for one in rows if one.state is State.WAITING) == list(range(10))
        assert len({one.number for one in rows}) == len(rows)

    def test_a_row_that_a_slower_reconciler_left_is_no_attempt(self, redis_url: str) -> None:
        """Redis has no unique index: of two rows of one attempt the first is it, and its parameters go to the retry."""
        with closing(open_storage(redis_url)) as storage:
            storage.create_tables()
            study = storage.create_study(make_new_study(trials=1))
            _insert(storage, study, 0)
            row = rows.waiting_trial(study.study_id, NewAttempt(0, 0), {}, {}, "")
            storage.optuna_storage().create_new_trial(study.study_id, row)
            claim = _claim(storage, study)
            rate = _trial(storage, study, claim).suggest_float("rate", 0, 1)
            assert _nothing_to_claim(storage, study)
            _settle(storage, claim, Reason.INTERRUPTED)
            assert [one.trial_id for one in storage.attempts(study.study_id)] == [claim.trial_id]
            reconcile(storage, study.name)
            assert _claim(storage, study).params == {"rate": rate}

    def test_a_row_that_a_slower_reconciler_is_about_to_withdraw_is_none_either(self, redis_url: str) -> None:
        """A process that saw it in place of the first one would never learn how that one ended."""
        with closing(open_storage(redis_url)) as storage:
            storage.create_tables()
            study = storage.create_study(make_new_study(trials=1))
            histories = Histories(storage)
            _insert(storage, study, 0)
            reconcile(storage, study.name, histories)
            double = rows.waiting_trial(study.study_id, NewAttempt(0, 0), {}, {}, "")
            double_id = storage.optuna_storage().create_new_trial(study.study_id, double)
            reconcile(storage, study.name, histories)
            storage.withdraw([double_id])
            _settle(storage, _claim(storage, study), Reason.FINISHED)
            assert reconcile(storage, study.name, histories).ending is Ending.FINISHED


class TestClaims:
    """Claiming rows."""

    def test_a_claim_is_the_workers_for_its_lease(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """State, owner and lease are there together."""
        claim = _insert_and_claim(storage, study, lease_s=30.0)
        row = _attempt(storage, study, claim.trial_id)
        assert (claim.number, claim.configuration, claim.attempt, claim.params) == (0, 0, 0, {})
        assert (row.state, row.owner, row.ended_at) == (State.RUNNING, "w1", None)
        assert claim.claimed_at == pytest.approx(storage.now(), abs=10)
        assert row.lease_until == pytest.approx(claim.claimed_at + 30.0, abs=0.5)

    def test_retries_go_first_then_the_lowest_configuration(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """A lost trial is first in the queue, whenever its row came."""
        _insert(storage, study, 2, 1, 0)
        _insert(storage, study, NewAttempt(3, 1), NewAttempt(4, 2))
        claims = [_claim(storage, study) for _ in range(5)]
        assert [(one.configuration, one.attempt) for one in claims] == [(3, 1), (4, 2), (0, 0), (1, 0), (2, 0)]
        assert _nothing_to_claim(storage, study)

    def test_a_study_without_rows_has_nothing_to_claim(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Also where another study has."""
        other = storage.create_study(make_new_study(name="other"))
        _insert(storage, other, 0)
        assert _nothing_to_claim(storage, study)

    @pytest.mark.parametrize("control", [Control.PAUSE, Control.STOP])
    def test_a_study_that_is_held_up_refuses_claims(
        self, storage: LedgerStorage, study: StudyRecord, control: Control
    ) -> None:
        """Until it goes on."""
        _insert(storage, study, 0)
        storage.set_control(study.study_id, control)
        assert _nothing_to_claim(storage, study)
        storage.set_control(study.study_id, Control.RUN)
        assert not _nothing_to_claim(storage, study)

    @pytest.mark.parametrize("ending", list(Ending))
    def test_a_study_that_has_ended_refuses_claims(
        self, storage: LedgerStorage, study: StudyRecord, ending: Ending
    ) -> None:
        """A row that still waits is nobody's."""
        _insert(storage, study, 0)
        storage.end_study(study.study_id, ending)
        assert _nothing_to_claim(storage, study)

    def test_a_row_is_claimed_by_one_of_many(
        self, storage: LedgerStorage, study: StudyRecord, made_url: str, pool: Pool
    ) -> None:
        """Six processes claim forty rows at once: every row exactly once."""
        _insert(storage, study, *range(40))
        calls = [(made_url, study.name, f"w{number}") for number in range(_PROCESSES)]
        claimed = pool.starmap(processes.claim_all, calls, chunksize=1)
        assert sorted(one for mine in claimed for one in mine) == [(number, 0) for number in range(40)]
        now, attempts = storage.now(), storage.attempts(study.study_id)
        assert all(one.lease_until is not None and one.lease_until > now for one in attempts)
        owners = {one.configuration: one.owner for one in attempts}
        assert owners == {one: f"w{number}" for number, mine in enumerate(claimed) for one, _ in mine}
        assert sum(bool(mine) for mine in claimed) > 1, "one process claimed all; nothing was shown"


class TestParameters:
    """Parameters, from sampling to a retry."""

    def test_a_retry_repeats_what_was_sampled(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """The same values come out where Optuna would sample others, in their types."""
        first = _insert_and_claim(storage, study)
        trial = _trial(storage, study, first)
        params = {
            "rate": trial.suggest_float("rate", 1e-5, 1e-1, log=True),
            "units": trial.suggest_int("units", 1, 10_000),
            "kind": trial.suggest_categorical("kind", ["a", None, True, 0.5]),
        }
        second = _retry(storage, study, first)
        assert second.params == params
        again = _trial(storage, study, second)
        assert again.suggest_float("rate", 1e-5, 1e-1, log=True) == params["rate"]
        assert again.suggest_int("units", 1, 10_000) == params["units"]
        assert again.suggest_categorical("kind", ["a", None, True, 0.5]) == params["kind"]

    def test_parameters_survive_an_attempt_that_never_sampled(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """One that was interrupted before it asked for its parameters hands them on."""
        first = _insert_and_claim(storage, study)
        rate = _trial(storage, study, first).suggest_float("rate", 0, 1)
        third = _retry(storage, study, _retry(storage, study, first))
        assert (third.attempt, third.params) == (2, {"rate": rate})

    def test_parameters_survive_an_attempt_that_sampled_some_of_them(
        self, storage: LedgerStorage, study: StudyRecord
    ) -> None:
        """What it had not asked for yet is handed on with the rest, and what it sampled anew is added."""
        first = _insert_and_claim(storage, study)
        trial = _trial(storage, study, first)
        given = {name: trial.suggest_float(name, 0, 1) for name in ("a", "b")}
        second = _retry(storage, study, first)
        trial = _trial(storage, study, second)
        trial.suggest_float("a", 0, 1)
        given["c"] = trial.suggest_float("c", 0, 1)
        assert _retry(storage, study, second).params == given

    def test_parameters_survive_a_row_that_nobody_claimed(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """A retry that was taken back before it was claimed hands them on too."""
        first = _insert_and_claim(storage, study)
        rate = _trial(storage, study, first).suggest_float("rate", 0, 1)
        _settle(storage, first, Reason.INTERRUPTED)
        _insert(storage, study, NewAttempt(0, 1, params_of=first.trial_id))
        waiting = storage.attempts(study.study_id)[-1]
        storage.withdraw([waiting.trial_id])
        _insert(storage, study, NewAttempt(0, 2, params_of=waiting.trial_id))
        assert _claim(storage, study).params == {"rate": rate}


class TestPoints:
    """Configurations whose parameters are known when the study is created."""

    def test_a_first_attempt_has_the_parameters_of_its_point(self, storage: LedgerStorage) -> None:
        """The claim says them, with every type of value; a configuration without a point has none."""
        cells: list[dict[str, Any]] = [
            {"units": 32, "rate": 0.1, "bias": True, "kind": None, "name": "ü"},
            {"units": 64},
        ]
        study = storage.create_study(make_new_study(of_points=[Point(cell) for cell in cells]))
        assert study.points == storage.study(study.name).points == 2
        _insert(storage, study, 0, 1, 2)
        claims = [_claim(storage, study) for _ in range(3)]
        assert [dict(claim.params) for claim in claims] == [*cells, {}]

    def test_where_a_point_comes_from_is_shown(self, storage: LedgerStorage) -> None:
        """Beside its trial, for people."""
        study = storage.create_study(make_new_study(of_points=[Point({"x": 1}, "trial 3 of other"), Point({"x": 2})]))
        _insert(storage, study, 0, 1)
        assert [one.attributes for one in storage.trials(study.study_id)] == [{"point": "trial 3 of other"}, {}]

    def test_a_point_survives_whatever_happens_to_its_rows(self, storage: LedgerStorage) -> None:
        """Withdrawn, lost or failed before anything was asked for: the next attempt has the same parameters."""
        study = storage.create_study(make_new_study(of_points=[Point({"x": 1})]))
        _insert(storage, study, 0)
        storage.withdraw([one.trial_id for one in storage.attempts(study.study_id)])
        before = storage.attempts(study.study_id)[0].trial_id
        for attempt, reason in enumerate((Reason.INTERRUPTED, Reason.ERROR), start=1):
            _insert(storage, study, NewAttempt(0, attempt, params_of=before))
            claim = _claim(storage, study)
            assert claim.params == {"x": 1}
            _settle(storage, claim, reason)
            before = claim.trial_id

    def test_a_users_point_goes_before_the_studys(self, storage: LedgerStorage) -> None:
        """What was asked for last."""
        study = storage.create_study(make_new_study(of_points=[Point({"x": 1})]))
        _insert(storage, study, NewAttempt(0, 0, params={"x": 2}))
        assert _claim(storage, study).params == {"x": 2}

    def test_points_go_with_their_study(self, storage: LedgerStorage) -> None:
        """A study of the same name, or with the same id, does not find them."""
        study = storage.create_study(make_new_study(of_points=[Point({"x": 1})]))
        storage.delete_study(study.study_id)
        again = storage.create_study(make_new_study())
        _insert(storage, again, 0)
        assert (again.points, _claim(storage, again).params) == (0, {})

    def test_a_hundred_thousand_points_are_recorded(self, storage: LedgerStorage) -> None:
        """As many as a grid may have, in one go, and the last one is found."""
        points = [Point({"x": number}) for number in range(100_000)]
        study = storage.create_study(make_new_study(trials=100_000, of_points=points))
        _insert(storage, study, 99_999)
        assert _claim(storage, study).params == {"x": 99_999}


_UNITS = '{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 9}}'


class TestDraws:
    """Parameters that a worker has drawn."""

    def test_a_draw_that_another_configuration_has_is_refused(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Whatever became of that one; not where it is allowed, and not where it is the configuration's own."""
        draw = Draw({"units": (3.0, _UNITS)}, {}, {}, "digest")
        first, second = _insert_and_claim(storage, study, 0), _insert_and_claim(storage, study, 1)
        assert storage.record_draw(first.trial_id, "w1", draw, unless_repeated=True)
        assert storage.record_draw(first.trial_id, "w1", draw, unless_repeated=True), "a lost reply"
        _settle(storage, first, Reason.INTERRUPTED)
        assert not storage.record_draw(second.trial_id, "w1", draw, unless_repeated=True)
        assert [one.params for one in storage.trials(study.study_id)] == [{"units": 3}, {}]
        retry = _retry_of(storage, study, first)
        assert storage.record_draw(retry.trial_id, "w1", draw, unless_repeated=True)
        assert storage.record_draw(second.trial_id, "w1", draw)

    def test_of_two_that_draw_the_same_at_once_one_has_it(
        self, made_url: str, storage: LedgerStorage, study: StudyRecord, pool: Pool
    ) -> None:
        """Looked at and written in one."""
        claims = [_insert_and_claim(storage, study, number) for number in range(_PROCESSES)]
        arguments = [(made_url, claim.trial_id, _UNITS) for claim in claims]
        assert sum(pool.starmap(processes.draw_the_same, arguments, chunksize=1)) == 1

    def test_a_draw_of_a_trial_that_is_another_workers_is_refused(
        self, storage: LedgerStorage, study: StudyRecord
    ) -> None:
        """Nothing is written."""
        claim = _insert_and_claim(storage, study)
        draw = Draw({"units": (3.0, _UNITS)}, {"note": 1}, {"said": 1}, "digest")
        with pytest.raises(TrialLostError):
            storage.record_draw(claim.trial_id, "w2", draw)
        (trial,) = storage.trials(study.study_id)
        assert (trial.params, trial.attributes) == ({}, {})


class TestScores:
    """Looks at the test part."""

    def test_looks_are_read_back_in_their_order(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """With the storage's time, and only of their study."""
        other = storage.create_study(make_new_study(name="other"))
        before = storage.now()
        said = [Score(3, Scored.TRIAL, {"accuracy": 0.5}, "a@b"), Score(3, Scored.REFIT, {"accuracy": 0.25}, "c@d")]
        for score in said:
            storage.record_score(study.study_id, score)
        read = storage.scores(study.study_id)
        assert [replace(one, at=0.0) for one in read] == said
        assert all(before - 0.01 <= one.at <= storage.now() + 0.01 for one in read)
        assert storage.scores(other.study_id) == []
        storage.delete_study(study.study_id)
        assert storage.scores(study.study_id) == []


class TestSettling:
    """How attempts end."""

    def test_every_reason_becomes_its_state(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """In the ledger and for Optuna."""
        said: dict[str, Any] = {"attributes": {"note": [1, "x"]}, "environment": {"host": "h", "data": "d"}}
        for number, reason in enumerate(Reason):
            claim = _insert_and_claim(storage, study, number)
            _settle(storage, claim, reason, value=0.5, epochs=3, best_epoch=2, **said)
        theirs = _opened_by_optuna(storage).get_all_trials(study.study_id)
        for row, trial, reason in zip(storage.attempts(study.study_id), theirs, Reason, strict=True):
            assert (row.state, row.reason, row.epoch, row.value) == (RULES[reason].state, reason, 3, 0.5)
            assert row.ended_at == pytest.approx(storage.now(), abs=30)
            assert (trial.state.name, trial.user_attrs) == (row.state, {"reason": reason, "note": [1, "x"]})
            assert trial.datetime_complete is not None
        assert [one.environment for one in storage.trials(study.study_id)] == [said["environment"]] * len(Reason)

    def test_what_is_no_number_is_no_value(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """A diverged trial has no value that a sampler would learn."""
        for number, value in enumerate([None, math.nan, math.inf, -math.inf]):
            _settle(storage, _insert_and_claim(storage, study, number), Reason.DIVERGED, value=value)
        assert [one.value for one in storage.attempts(study.study_id)] == [None] * 4
        assert [one.values for one in _opened_by_optuna(storage).get_all_trials(study.study_id)] == [None] * 4

    def test_a_failure_is_kept(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Type, message, traceback and host, and the fingerprint beside the row."""
        claim = _insert_and_claim(storage, study)
        failure = Failure("ValueError", "no\nreally", "Traceback ...", "host-1")
        _settle(storage, claim, Reason.ERROR, failure=failure)
        (trial,) = storage.trials(study.study_id)
        assert (trial.failure, trial.attempt.error) == (failure, "ValueError: no")

    def test_a_failure_in_strange_characters_is_kept(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Neither a NUL nor half a character keeps an attempt from being settled."""
        claim = _insert_and_claim(storage, study)
        failure = Failure("OSError", "no file '\x00\udcff'", "Traceback \x00")
        _settle(storage, claim, Reason.ERROR, failure=failure, attributes={"a": "\x00"})
        assert _attempt(storage, study, claim.trial_id).error == "OSError: no file '��'"

    def test_another_worker_cannot_settle(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Nothing of what it says is recorded."""
        claim = _insert_and_claim(storage, study)
        with pytest.raises(TrialLostError, match="trial 0 is not w2's any more"):
            _settle(storage, claim, Reason.FINISHED, "w2", value=0.5)
        assert _attempt(storage, study, claim.trial_id).state is State.RUNNING

    def test_settling_again_changes_nothing(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """A worker whose reply was lost says it again."""
        claim = _insert_and_claim(storage, study)
        for _ in range(2):
            _settle(storage, claim, Reason.FINISHED, value=0.5, epochs=9, attributes={"note": 1})
            first = storage.trials(study.study_id)
        _settle(storage, claim, Reason.FINISHED, value=0.9, epochs=1)
        assert storage.trials(study.study_id) == first

    def test_another_outcome_comes_too_late(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """A terminal row is final."""
        claim = _insert_and_claim(storage, study)
        _settle(storage, claim, Reason.PRUNED, value=0.5)
        with pytest.raises(TrialLostError):
            _settle(storage, claim, Reason.FINISHED, value=0.9)
        row = _attempt(storage, study, claim.trial_id)
        assert (row.state, row.reason, row.value) == (State.PRUNED, Reason.PRUNED, 0.5)

    def test_a_worker_that_was_given_up_comes_too_late(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Frozen, expired, back again: its result is not recorded, and the retry is not touched."""
        claim = _insert_and_claim(storage, study, lease_s=0.01)
        time.sleep(0.05)
        assert storage.expire(claim.trial_id, Reason.INTERRUPTED)
        _insert(storage, study, NewAttempt(0, 1, claim.trial_id))
        retry = _claim(storage, study, "w2")
        with pytest.raises(TrialLostError, match="trial 0 is not w1's any more"):
            _settle(storage, claim, Reason.FINISHED, value=0.5)
        assert _attempt(storage, study, claim.trial_id).reason is Reason.INTERRUPTED
        _settle(storage, retry, Reason.FINISHED, "w2", value=0.6)

    def test_a_row_that_waits_cannot_be_settled(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """It is nobody's yet."""
        _insert(storage, study, 0)
        (row,) = storage.attempts(study.study_id)
        with pytest.raises(TrialLostError):
            storage.settle(row.trial_id, "w1", Outcome(Reason.FINISHED, 0.5))
        assert _attempt(storage, study, row.trial_id).state is State.WAITING


class TestLeases:
    """Leases, and the signs of life that renew them."""

    def test_a_lease_expires_when_it_is_over(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Not before; and once."""
        claim = _insert_and_claim(storage, study, lease_s=0.4)
        assert not storage.expire(claim.trial_id, Reason.INTERRUPTED)
        time.sleep(0.5)
        assert storage.expire(claim.trial_id, Reason.INTERRUPTED)
        assert not storage.expire(claim.trial_id, Reason.LOST)
        (trial,) = storage.trials(study.study_id)
        assert (trial.attempt.state, trial.attempt.reason) == (State.FAIL, Reason.INTERRUPTED)
        assert trial.failure == Failure("WorkerLost", "worker w1 gave no sign of life before its lease ran out")

    def test_a_claim_that_was_acknowledged_to_nobody_runs_out(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """A beat renews what the worker says it trains, not all that bears its name."""
        claim = _insert_and_claim(storage, study, lease_s=0.2)
        storage.beat(_worker(study, lease_s=30.0), [])
        time.sleep(0.3)
        assert storage.expire(claim.trial_id, Reason.INTERRUPTED)

    def test_what_is_being_expired_is_not_renewed(self, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of a beat and an expiry at once one comes first, also where several keys are no transaction."""
        with closing(RedisLedgerStorage(StorageUrl.parse(redis_url))) as storage:
            storage.create_tables()
            study = storage.create_study(make_new_study())
            claim = _insert_and_claim(storage, study, lease_s=0.1)
            heard: list[frozenset[int]] = []
            end = storage._end

            def end_after_a_beat(*arguments: Any) -> bool:
                heard.append(storage.beat(_worker(study), [Progress(claim.trial_id, 0, None)]).held)
                return end(*arguments)

            monkeypatch.setattr(storage, "_end", end_after_a_beat)
            time.sleep(0.2)
            assert storage.expire(claim.trial_id, Reason.INTERRUPTED)
            assert heard == [frozenset()]

    def test_nobody_is_judged_before_live_workers_had_time_to_renew(
        self, storage: LedgerStorage, study: StudyRecord
    ) -> None:
        """Where nobody has seen the storage answer for two beats, two more are given."""
        storage.beat(_worker(study, beat_s=0.2), [])
        assert storage.see(study.study_id) <= storage.now()
        time.sleep(0.6)
        before = storage.now()
        judge_from = storage.see(study.study_id)
        assert before + 0.4 - _ROUNDED <= judge_from <= storage.now() + 0.4 + _ROUNDED
        assert storage.see(study.study_id) == judge_from

    def test_nobody_is_failed_by_who_saw_the_storage_before_it_was_away(
        self, storage: LedgerStorage, study: StudyRecord
    ) -> None:
        """The storage stood still between a look and the expiry: its workers could not renew either."""
        claim = _insert_and_claim(storage, study, lease_s=0.3)
        storage.beat(_worker(study, beat_s=0.3), [])
        assert storage.see(study.study_id) <= storage.now()
        time.sleep(0.8)
        assert not storage.expire(claim.trial_id, Reason.INTERRUPTED)
        judge_from = storage.see(study.study_id)
        while not storage.expire(claim.trial_id, Reason.INTERRUPTED):
            storage.see(study.study_id)
        assert storage.now() >= judge_from

    def test_a_worker_that_died_long_ago_does_not_say_how_long_an_outage_is(
        self, storage: LedgerStorage, study: StudyRecord
    ) -> None:
        """It beat seldom, and never said goodbye: those that live are given time after a shorter outage too."""
        storage.beat(_worker(study, "dead", beat_s=50.0, lease_s=0.1), [])
        time.sleep(0.2)
        storage.beat(_worker(study, "live", beat_s=0.2), [])
        time.sleep(0.6)
        before = storage.now()
        assert before + 0.4 - _ROUNDED <= storage.see(study.study_id) <= storage.now() + 0.4 + _ROUNDED

    def test_an_outage_as_long_as_a_lease_is_one_however_seldom_others_beat(
        self, storage: LedgerStorage, study: StudyRecord
    ) -> None:
        """The worker whose lease ran out had no chance to renew it."""
        storage.beat(_worker(study, "seldom", beat_s=50.0, lease_s=300.0), [])
        storage.beat(_worker(study, "often", beat_s=0.1, lease_s=0.3), [])
        time.sleep(0.4)
        assert storage.see(study.study_id) > storage.now() + 90.0

    def test_a_worker_has_two_connections_at_most(self, postgres_url: str) -> None:
        """One for its slots, however many, and Optuna's storage with them, and one for its beats."""
        with closing(open_storage(postgres_url)) as creating:
            creating.create_tables()
            study = creating.create_study(make_new_study(trials=100))

        def work(storage: LedgerStorage, slot: int) -> None:
            for number in range(10):
                _insert(storage, study, 10 * slot + number)
                storage.beat(_worker(study), [])
                storage.optuna_storage().get_all_trials(study.study_id)
                _settle(storage, _claim(storage, study), Reason.FINISHED)

        with closing(open_storage(postgres_url)) as storage, ThreadPoolExecutor(4) as pool:
            storage.beat(_worker(study), [])
            assert storage.now()
            storage.optuna_storage()
            working = [pool.submit(work, storage, slot) for slot in range(4)]
            seen = set()
            while not all(one.done() for one in working):
                seen.add(_connections(postgres_url))
            assert not [one.exception() for one in working if one.exception()]
        assert max(seen) == 2

    def test_a_database_that_takes_no_writes_for_a_while_is_away(self, postgres_url: str) -> None:
        """After a failover, or on a full disk: it is waited for, as one that does not answer."""
        with closing(open_storage(postgres_url)) as creating:
            creating.create_tables()
            study = creating.create_study(make_new_study())
        with closing(psycopg2.connect(postgres_url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(f'ALTER DATABASE "{make_url(postgres_url).database}" SET default_transaction_read_only = on')
        with closing(open_storage(postgres_url)) as storage:
            assert storage.study(study.name) == study
            with pytest.raises(StorageUnavailableError, match="in a read-only transaction"):
                storage.see(study.study_id)
            with pytest.raises(StorageUnavailableError, match="in a read-only transaction"):
                _insert(storage, study, 0)

    def test_a_beat_waits_for_no_other_thread(self, postgres_url: str) -> None:
        """While all connections of the slots wait for a lock, the worker still gives its sign of life."""
        with closing(open_storage(postgres_url)) as storage, closing(psycopg2.connect(postgres_url)) as somebody:
            storage.create_tables()
            study = storage.create_study(make_new_study())
            somebody.cursor().execute("SELECT study_id FROM studies FOR UPDATE")
            slots = [threading.Thread(target=_insert, args=(storage, study, number)) for number in range(3)]
            for slot in slots:
                slot.start()
            while _waiting_for_locks(postgres_url) < 1:
                time.sleep(0.01)
            assert not storage.beat(_worker(study), []).ended
            assert all(slot.is_alive() for slot in slots)
            somebody.commit()
            for slot in slots:
                slot.join()

    def test_turns_are_taken_by_one(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Within a period one worker reconciles, and the others spare themselves the trouble."""
        assert [storage.take_turn(study.study_id, 0.3) for _ in range(3)] == [True, False, False]
        time.sleep(0.4)
        assert storage.take_turn(study.study_id, 0.3)

    def test_a_lease_that_was_renewed_does_not(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """A beat counts from when it came, for the worker's lease."""
        claim = _insert_and_claim(storage, study, lease_s=0.2)
        storage.beat(_worker(study, lease_s=30.0), [Progress(claim.trial_id, 0, None)])
        time.sleep(0.3)
        assert not storage.expire(claim.trial_id, Reason.INTERRUPTED)
        lease_until = _attempt(storage, study, claim.trial_id).lease_until
        assert lease_until == pytest.approx(storage.now() + 30.0, abs=5)

    @pytest.mark.parametrize("waiting", [True, False], ids=["waiting", "ended"])
    def test_only_what_runs_expires(self, storage: LedgerStorage, study: StudyRecord, waiting: bool) -> None:
        """A row that waits or has ended has no lease to lose."""
        _insert(storage, study, 0)
        if not waiting:
            _settle(storage, _claim(storage, study), Reason.FINISHED, value=0.5)
        (row,) = storage.attempts(study.study_id)
        assert not storage.expire(row.trial_id, Reason.INTERRUPTED)
        assert _attempt(storage, study, row.trial_id) == row

    def test_a_row_that_optuna_took_expires(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """A program that calls ``study.ask`` takes a waiting row without a lease; it is run again by a worker."""
        _insert(storage, study, 0)
        optuna.load_study(study_name=study.name, storage=storage.optuna_storage()).ask()
        reconcile(storage, study.name)
        first, *_ = storage.attempts(study.study_id)
        assert (first.state, first.reason) == (State.FAIL, Reason.INTERRUPTED)
        assert (_claim(storage, study).configuration, _attempt(storage, study, first.trial_id)) == (0, first)

    def test_a_beat_tells_what_is_still_held(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """What was lost meanwhile is missing, and what others hold is not in it."""
        _insert(storage, study, 0, 1, 2)
        kept, lost, others = _claim(storage, study), _claim(storage, study, lease_s=0.01), _claim(storage, study, "w2")
        time.sleep(0.05)
        storage.expire(lost.trial_id, Reason.INTERRUPTED)
        heard = storage.beat(_worker(study), [Progress(one.trial_id, 5, 0.5) for one in (kept, lost, others)])
        assert heard.held == {kept.trial_id}
        epochs = [_attempt(storage, study, one.trial_id).epoch for one in (kept, lost, others)]
        assert epochs == [5, 0, 0], "progress was recorded of a trial that another worker has"

    def test_a_beat_records_where_training_stands(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Epochs and the metric; NaN is no value."""
        claim = _insert_and_claim(storage, study)
        for value, recorded in ((0.5, 0.5), (math.nan, None), (math.inf, None)):
            storage.beat(_worker(study), [Progress(claim.trial_id, 4, value)])
            row = _attempt(storage, study, claim.trial_id)
            assert (row.epoch, row.last_value) == (4, recorded)

    def test_a_beat_tells_what_the_users_want(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Control and ending reach every worker with its next beat."""
        assert storage.beat(_worker(study), []).control is Control.RUN
        storage.set_control(study.study_id, Control.PAUSE)
        heard = storage.beat(_worker(study), [])
        assert (heard.control, heard.ended) == (Control.PAUSE, False)
        storage.end_study(study.study_id, Ending.STOPPED)
        assert storage.beat(_worker(study), []).ended

    def test_a_worker_is_announced_by_its_beats(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """When it began stays, when it was last heard of moves; the oldest is first."""
        storage.beat(_worker(study, "w2", slots=1), [])
        time.sleep(0.02)
        storage.beat(_worker(study, "w1"), [])
        time.sleep(0.02)
        storage.beat(_worker(study, "w2", slots=4), [])
        first, second = storage.workers(study.study_id)
        assert (first.worker_id, first.slots, second.worker_id) == ("w2", 4, "w1")
        assert first.started_at < second.started_at < first.beat_at
        assert all(one.alive(storage.now()) for one in (first, second))

    def test_one_look_sees_all_there_is(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Study, attempts, workers and time, as each of them is read alone."""
        _insert(storage, study, 0, 1, 2)
        _settle(storage, _claim(storage, study), Reason.FINISHED, value=0.5)
        _claim(storage, study)
        storage.beat(_worker(study), [])
        seen = storage.look(study.name)
        assert seen.study == storage.study(study.name)
        # Redis reckons from what is left of a lease when it ends.
        alone = [replace(one, lease_until=None) for one in storage.attempts(study.study_id)]
        assert [replace(one, lease_until=None) for one in seen.attempts] == alone
        assert seen.workers == storage.workers(study.study_id)
        assert seen.now == pytest.approx(storage.now(), abs=60)
        with pytest.raises(StudyNotFoundError):
            storage.look("nobody")

    def test_a_worker_that_says_goodbye_lets_go(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Its leases are over at once, those of others are not; what it ended stays."""
        _insert(storage, study, 0, 1, 2)
        ended, held, others = _claim(storage, study), _claim(storage, study), _claim(storage, study, "w2")
        _settle(storage, ended, Reason.FINISHED, value=0.5)
        storage.beat(_worker(study), [])
        storage.release("w1")
        assert [one.stopped for one in storage.workers(study.study_id)] == [True]
        claims = (ended, held, others)
        assert [storage.expire(one.trial_id, Reason.INTERRUPTED) for one in claims] == [False, True, False]

    def test_a_worker_that_nobody_knows_can_be_let_go(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """It died before its first beat."""
        storage.release("w9")
        assert storage.workers(study.study_id) == []

    def test_what_waits_can_be_withdrawn(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """What was claimed meanwhile or is not there is left alone."""
        _insert(storage, study, 0, 1)
        running = _claim(storage, study)
        ids = [one.trial_id for one in storage.attempts(study.study_id)]
        assert storage.withdraw([*ids, 999_999]) == 1
        assert storage.withdraw(ids) == 0
        first, second = storage.attempts(study.study_id)
        assert (first.trial_id, first.state) == (running.trial_id, State.RUNNING)
        assert (second.state, second.reason) == (State.FAIL, Reason.WITHDRAWN)


class TestRungs:
    """Values at rungs."""

    def test_a_configuration_counts_once_in_a_rung(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """The first value stays, whichever attempt comes again."""
        assert self._record(storage, study, configuration=0, value=0.5) == {0: 0.5}
        assert self._record(storage, study, configuration=0, value=0.9) == {0: 0.5}
        assert self._record(storage, study, configuration=1, value=0.1 + 0.2) == {0: 0.5, 1: 0.1 + 0.2}

    def test_rungs_brackets_and_studies_are_apart(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Values are compared within one rung of one bracket of one study."""
        other = storage.create_study(make_new_study(name="other"))
        self._record(storage, study, configuration=0, value=0.5)
        assert self._record(storage, study, epoch=3, configuration=1, value=0.6) == {1: 0.6}
        assert self._record(storage, study, bracket=1, configuration=2, value=0.7) == {2: 0.7}
        assert self._record(storage, other, configuration=3, value=0.8) == {3: 0.8}

    @staticmethod
    def _record(storage: LedgerStorage, study: StudyRecord, **fields: Any) -> dict[int, float]:
        return dict(storage.record_rung(study.study_id, **{"bracket": 0, "epoch": 1, **fields}))


class TestReading:
    """Trials as people and Optuna read them."""

    def test_trials_have_all_that_is_known(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Parameters in the order in which they were suggested, reports in the order of their steps."""
        claim = _insert_and_claim(storage, study)
        trial = _trial(storage, study, claim)
        params = {"b": trial.suggest_float("b", 0, 1), "a": trial.suggest_int("a", 1, 9)}
        for step, value in ((3, 0.5), (1, math.nan), (2, math.inf), (4, -math.inf)):
            trial.report(value, step)
        trial.set_user_attr("note", {"x": [1, None]})
        _settle(storage, claim, Reason.FINISHED, value=0.5, epochs=9, best_epoch=3)
        (found,) = storage.trials(study.study_id, curves=True)
        assert found.attempt == _attempt(storage, study, claim.trial_id)
        assert (list(found.params.items()), found.best_epoch) == (list(params.items()), 3)
        assert repr(dict(found.reported)) == "{1: nan, 2: inf, 3: 0.5, 4: -inf}"
        assert found.attributes == {"note": {"x": [1, None]}, "reason": "finished"}
        assert (found.failure, found.code) == (None, "c0de")
        assert found.started_at == pytest.approx(claim.claimed_at, abs=0.1)
        assert found.seconds is not None
        assert 0 <= found.seconds < 10

    def test_trials_can_be_asked_for_by_number(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """In the order of their numbers; one that is not there is missing."""
        _insert(storage, study, *range(4))
        numbers = [one.attempt.number for one in storage.trials(study.study_id, numbers=[3, 1, 99])]
        assert numbers == [1, 3]
        assert storage.trials(study.study_id, numbers=[]) == []

    def test_reports_are_recorded_once_and_in_one_go(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Said again nothing changes; no number is refused."""
        claim = _insert_and_claim(storage, study)
        for _ in range(2):
            storage.record_reports(claim.trial_id, "w1", {1: math.nan, 2: math.inf, 3: 0.5, 4: -math.inf})
        (found,) = storage.trials(study.study_id, curves=True)
        assert repr(dict(found.reported)) == "{1: nan, 2: inf, 3: 0.5, 4: -inf}"
        with pytest.raises(TrialLostError):
            storage.record_reports(claim.trial_id, "w2", {5: 0.5})
        storage.settle(claim.trial_id, "w1", Outcome(Reason.FINISHED, 0.5))
        with pytest.raises(TrialLostError):
            storage.record_reports(claim.trial_id, "w1", {5: 0.5})

    def test_attempts_are_read_from_where_one_has_stopped(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Those after a trial, with what became of those that were open then."""
        _insert(storage, study, 0, 1)
        first, second = storage.attempts(study.study_id)
        storage.settle(_claim(storage, study).trial_id, "w1", Outcome(Reason.FINISHED, 0.5))
        _insert(storage, study, 2)
        later = storage.attempts(study.study_id, after=second.trial_id)
        assert [one.configuration for one in later] == [2]
        seen = storage.attempts(study.study_id, after=second.trial_id, among=[first.trial_id])
        assert [(one.configuration, one.value) for one in seen] == [(0, 0.5), (2, None)]
        assert storage.attempts(study.study_id, after=seen[-1].trial_id) == []

    def test_reports_are_read_only_where_they_are_asked_for(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """A list of a thousand trials does not read their curves."""
        _trial(storage, study, _insert_and_claim(storage, study)).report(0.5, 1)
        assert storage.trials(study.study_id)[0].reported == {}
        assert storage.trials(study.study_id, curves=True)[0].reported == {1: 0.5}

    def test_a_row_that_waits_has_no_parameters_yet(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Nor a beginning."""
        _insert(storage, study, 0)
        (found,) = storage.trials(study.study_id)
        assert (found.params, found.started_at, found.seconds, found.code) == ({}, None, None, None)

    def test_optuna_reads_the_same_study(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """What is made for Optuna works on it: best trial, states, parameters, direction, metric names."""
        for configuration, (reason, value) in enumerate(
            [(Reason.FINISHED, 0.5), (Reason.FINISHED, 0.9), (Reason.PRUNED, 0.95), (Reason.ERROR, None)]
        ):
            claim = _insert_and_claim(storage, study, configuration)
            trial = _trial(storage, study, claim)
            trial.suggest_float("rate", 0, 1)
            trial.report(0.25, 1)
            _settle(storage, claim, reason, value=value)
        _insert(storage, study, 4)
        theirs = optuna.load_study(study_name=study.name, storage=_opened_by_optuna(storage))
        assert (theirs.direction.name, theirs.metric_names) == ("MAXIMIZE", ["val_accuracy"])
        assert (theirs.best_value, theirs.best_trial.number) == (0.9, 1)
        assert [one.state.name for one in theirs.trials] == ["COMPLETE", "COMPLETE", "PRUNED", "FAIL", "WAITING"]
        assert theirs.trials[0].intermediate_values == {1: 0.25}
        assert [one.user_attrs.get("reason") for one in theirs.trials] == [
            "finished",
            "finished",
            "pruned",
            "error",
            None,
        ]
        ours = storage.trials(study.study_id)
        assert [one.params for one in theirs.trials] == [one.params for one in ours]
        assert [one.values for one in theirs.trials] == [[0.5], [0.9], [0.95], None, None]
        assert all(one.duration is not None for one in theirs.trials[:4])


def test_a_study_is_reconciled_to_its_budget(storage: LedgerStorage) -> None:
    """Claims, failures and lost workers on a real storage: in the end the budget is settled and no row is open."""
    study = storage.create_study(make_new_study(name="troubled", max_attempts=3))
    troubles = iter([Reason.ERROR, None, Reason.OOM, Reason.INTERRUPTED, None, Reason.CRASHED])
    while reconcile(storage, study.name).ending is None:
        reason = next(troubles, Reason.FINISHED)
        claim = _claim(storage, study, lease_s=60.0 if reason else 0.001)
        if reason is None:
            time.sleep(0.01)  # its worker is lost
        else:
            _settle(storage, claim, reason, value=0.5)
    rows = storage.attempts(study.study_id)
    assert sorted(one.configuration for one in rows if one.state is State.COMPLETE) == [0, 1, 2, 3]
    assert all(one.state.final for one in rows)
    assert storage.study(study.name).ending is Ending.FINISHED


def _opened_by_optuna(storage: LedgerStorage) -> BaseStorage:
    """Return the storage as another program would open it, with Optuna and nothing of this service."""
    url: StorageUrl = storage._url  # type: ignore[attr-defined]
    if url.backend != "redis":
        return optuna.storages.RDBStorage(url.secret_text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.storages.JournalStorage(optuna.storages.journal.JournalRedisBackend(url.secret_text))
