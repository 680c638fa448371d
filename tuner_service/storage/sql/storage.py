"""The ledger's storage on PostgreSQL and SQLite."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from tuner_service.domain.attempt import Attempt, NewAttempt
from tuner_service.domain.outcome import Outcome, Reason
from tuner_service.domain.score import Score
from tuner_service.domain.spec import StudySpec
from tuner_service.domain.study import CodeRecord, Control, Ending, NewStudy, StudyRecord
from tuner_service.domain.trial import Trial
from tuner_service.domain.worker import Progress, WorkerInfo
from tuner_service.errors import SchemaError, StorageError
from tuner_service.storage import tables as t
from tuner_service.storage.ledger_storage import Claim, Draw, Heard, Rows
from tuner_service.storage.sql import attempts, recording, scores, studies, trials, workers
from tuner_service.storage.sql.engine import clock, insert, make_engine, network_file_system, transaction, translated
from tuner_service.storage.sql.fence import raise_fence
from tuner_service.storage.sql.migration import migrate
from tuner_service.storage.sql.optuna import make_optuna_tables, migrate_optuna_tables, open_optuna_storage
from tuner_service.storage.sql.roles import apply_roles
from tuner_service.storage.url import StorageUrl

if TYPE_CHECKING:
    import optuna

#: Key of the lock under which tables are made (PostgreSQL's advisory locks are numbers).
_TABLES_LOCK = 0x74756E6572


class SqlLedgerStorage:
    """See ``LedgerStorage``; each method is one transaction of the module that its noun names."""

    def __init__(self, url: StorageUrl, *, reads_only: bool = False) -> None:
        self._url = url
        self._engine = make_engine(url, reads_only=reads_only)
        # A connection of its own: a beat waits for no transaction of another thread.
        self._beats = make_engine(url, reads_only=reads_only)
        self._optuna: optuna.storages.BaseStorage | None = None
        # By study and parameter: a distribution that it came with, which all others must be able to stand beside.
        self._distributions: dict[tuple[int, str], str] = {}

    def create_tables(self) -> None:
        with self._alone():
            self._create_tables()

    def migrate_tables(self) -> int | None:
        with self._alone():
            version = self._version()
            if version is None:
                self._create_tables()
                return None
            migrate_optuna_tables(self._url)
            with self._write() as connection:
                migrate(connection, self._url)
                if self._url.backend == "postgresql":
                    raise_fence(connection)
        self.check_tables()
        return version

    def _create_tables(self) -> None:
        if self._version() not in (None, t.SCHEMA_VERSION):
            self.check_tables()
        try:
            make_optuna_tables(self._url)
            t.metadata.create_all(self._engine)
        except (OperationalError, ProgrammingError) as error:
            raise translated(error, self._url) from error
        with self._write() as connection:
            new = insert(connection, t.tuner_schema).values(version=t.SCHEMA_VERSION)
            connection.execute(new.on_conflict_do_nothing())
            if self._url.backend == "postgresql":
                raise_fence(connection)
        self.check_tables()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock under which tables are made and changed."""
        if self._url.backend == "sqlite":
            folder = Path(str(self._url.url.database)).parent
            if not folder.is_dir():
                raise StorageError(f"the folder {folder} of the storage {self._url} does not exist; make it first")
            if (shared := network_file_system(folder)) is not None:
                raise StorageError(
                    f"the storage {self._url} lies on a network file system ({shared}), where SQLite loses and doubles "
                    "rows; use a local folder, or PostgreSQL"
                )
            with _alone_in(folder):
                yield
            return
        # Two coordinators that make tables at once break each other in the middle. The lock has a connection of its
        # own, since the block needs the one that there is.
        engine = make_engine(self._url)
        try:
            with transaction(engine, self._url) as connection:
                # It says nothing for as long as the others take.
                connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _TABLES_LOCK})
                yield
        finally:
            engine.dispose()

    def _version(self) -> int | None:
        """Return the version of the tables; ``None`` where they are missing, or were never finished."""
        try:
            with self._read() as connection:
                return studies.schema_version(connection)
        except SchemaError:
            return None

    def check_tables(self) -> None:
        with self._read() as connection:
            studies.check_schema(connection, self._url)

    def create_roles(self, prefix: str) -> None:
        if self._url.backend != "postgresql":
            raise StorageError(f"the storage {self._url} is a file and knows no roles; PostgreSQL does")
        self.check_tables()
        with self._write() as connection:
            apply_roles(connection, prefix)

    def close(self) -> None:
        self._engine.dispose()
        self._beats.dispose()

    def now(self) -> float:
        with self._read() as connection:
            return clock(connection)

    def optuna_storage(self) -> optuna.storages.BaseStorage:
        if self._optuna is None:
            self.check_tables()
            # To open it takes a connection for a moment, in place of the idle one.
            self._engine.dispose()
            self._optuna = open_optuna_storage(self._url, self._engine)
        return self._optuna

    def create_study(self, new: NewStudy) -> StudyRecord:
        with self._write() as connection:
            return studies.create(connection, new)

    def study(self, name: str) -> StudyRecord:
        with self._read() as connection:
            return studies.by_name(connection, name)

    def studies(self) -> list[StudyRecord]:
        with self._read() as connection:
            return studies.all_studies(connection)

    def look(self, name: str) -> Rows:
        with self._read() as connection:
            study = studies.by_name(connection, name)
            found = attempts.read(connection, study.study_id)
            return Rows(study, found, workers.read(connection, study.study_id), clock(connection))

    def extend_study(self, study_id: int, budget: int) -> None:
        with self._write() as connection:
            studies.extend(connection, study_id, budget)

    def accept_code(self, study_id: int, code: CodeRecord) -> None:
        with self._write() as connection:
            studies.accept_code(connection, study_id, code)

    def revise_study(self, study_id: int, spec: StudySpec) -> None:
        with self._write() as connection:
            studies.revise(connection, study_id, spec)

    def set_control(
        self, study_id: int, control: Control, message: str = "", *, seen: StudyRecord | None = None
    ) -> None:
        with self._write() as connection:
            studies.set_control(connection, study_id, control, message, seen)

    def end_study(self, study_id: int, ending: Ending, message: str = "", *, seen: StudyRecord | None = None) -> bool:
        with self._write() as connection:
            return studies.end(connection, study_id, ending, message, seen)

    def delete_study(self, study_id: int) -> None:
        with self._write() as connection:
            studies.remove(connection, study_id)

    def attempts(self, study_id: int, *, after: int = -1, among: Collection[int] = ()) -> list[Attempt]:
        with self._read() as connection:
            return attempts.read(connection, study_id, after=after, among=among)

    def insert_attempts(self, study_id: int, new: Sequence[NewAttempt]) -> int:
        with self._write() as connection:
            return attempts.insert_waiting(connection, study_id, new)

    def claim(self, study_id: int, worker_id: str, *, lease_s: float, code: str) -> Claim | None:
        with self._write() as connection:
            # A worker that runs while the tables are migrated finishes what it has, and takes nothing more.
            studies.check_schema(connection, self._url)
            return attempts.claim(connection, study_id, worker_id, lease_s, code)

    def record_draw(self, trial_id: int, worker_id: str, draw: Draw, *, unless_repeated: bool = False) -> bool:
        with self._write() as connection:
            return recording.record_draw(
                connection, trial_id, worker_id, draw, self._distributions, unless_repeated=unless_repeated
            )

    def record_reports(self, trial_id: int, worker_id: str, values: Mapping[int, float]) -> None:
        with self._write() as connection:
            recording.record_reports(connection, trial_id, worker_id, values)

    def record_rung(
        self, study_id: int, *, bracket: int, epoch: int, configuration: int, value: float
    ) -> Mapping[int, float]:
        with self._write() as connection:
            return recording.record_rung(connection, study_id, bracket, epoch, configuration, value)

    def settle(self, trial_id: int, worker_id: str, outcome: Outcome) -> None:
        with self._write() as connection:
            attempts.settle(connection, trial_id, worker_id, outcome)

    def expire(self, trial_id: int, reason: Reason) -> bool:
        with self._write() as connection:
            return attempts.expire(connection, trial_id, reason)

    def withdraw(self, trial_ids: Collection[int]) -> int:
        with self._write() as connection:
            return attempts.withdraw(connection, trial_ids)

    def beat(self, worker: WorkerInfo, progress: Sequence[Progress]) -> Heard:
        with transaction(self._beats, self._url) as connection:
            return workers.beat(connection, worker, progress)

    def release(self, worker_id: str) -> None:
        with self._write() as connection:
            attempts.release(connection, worker_id)
            workers.mark_stopped(connection, worker_id)

    def see(self, study_id: int) -> float:
        with self._write() as connection:
            return studies.see(connection, study_id)

    def take_turn(self, study_id: int, period_s: float) -> bool:
        with self._write() as connection:
            return studies.take_turn(connection, study_id, period_s)

    def note_told(self, study_id: int, notice: str) -> bool:
        with self._write() as connection:
            return studies.note_told(connection, study_id, notice)

    def workers(self, study_id: int) -> list[WorkerInfo]:
        with self._read() as connection:
            return workers.read(connection, study_id)

    def record_score(self, study_id: int, score: Score) -> None:
        with self._write() as connection:
            scores.record(connection, study_id, score)

    def scores(self, study_id: int) -> list[Score]:
        with self._read() as connection:
            return scores.read(connection, study_id)

    def trials(self, study_id: int, *, numbers: Collection[int] | None = None, curves: bool = False) -> list[Trial]:
        with self._read() as connection:
            return trials.read(connection, study_id, numbers, curves=curves)

    def _read(self) -> AbstractContextManager[Connection]:
        return transaction(self._engine, self._url, reads_only=True)

    def _write(self) -> AbstractContextManager[Connection]:
        return transaction(self._engine, self._url)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process makes tables in a folder. SQLite has no lock that spans what Optuna does."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
