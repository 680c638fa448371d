"""Connections and transactions: bounded on PostgreSQL, atomic on SQLite, errors in this service's own words."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Connection, CursorResult, Engine, Table, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    DatabaseError,
    DBAPIError,
    DisconnectionError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tuner_service.errors import SchemaError, SchemaVersionError, StorageError, StorageUnavailableError
from tuner_service.storage.url import StorageUrl

_CONNECT_TIMEOUT_S = 10
_SQLITE_BUSY_TIMEOUT_S = 60
#: How long a connection may lie idle before it is tried.
_IDLE_S = 0.2

#: PostgreSQL's code for a write in a transaction that may not write.
_READ_ONLY = "25006"
#: What PostgreSQL says where a role may not do what was asked.
_REFUSALS = ("permission denied", "password authentication failed", "no pg_hba.conf entry")

# The session's time zone is fixed because Optuna compares naive times; the limits keep one frozen client from stopping
# all others.
_POSTGRESQL_SESSION = (
    "-c timezone=UTC -c statement_timeout=60000 -c lock_timeout=20000 -c idle_in_transaction_session_timeout=20000"
)


def engine_kwargs(url: StorageUrl, *, reads_only: bool = False) -> dict[str, Any]:
    """Return the arguments of ``sqlalchemy.create_engine`` for a storage, whose transactions may be unable to write."""
    if url.backend == "sqlite":
        return {"connect_args": {"timeout": _SQLITE_BUSY_TIMEOUT_S}}
    return {
        # One, for which a worker's slots wait for each other: nothing may ask for a second one while it has the first.
        # Who only reads, such as `tuner serve`, has another for as long as two have something to ask at once.
        "pool_size": 1,
        "max_overflow": 1 if reads_only else 0,
        "pool_timeout": 60,
        # Of each transaction: behind a pooler a session's own settings are not kept.
        "execution_options": {"postgresql_readonly": True} if reads_only else {},
        "connect_args": {
            "connect_timeout": _CONNECT_TIMEOUT_S,
            "options": _POSTGRESQL_SESSION,
            "application_name": "tuner-service",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            # In a network that swallows packets nothing else ends a call.
            "tcp_user_timeout": 30_000,
        },
    }


def make_engine(url: StorageUrl, *, reads_only: bool = False) -> Engine:
    """Return an engine for a storage, whose transactions may be unable to write; nothing connects yet."""
    engine = create_engine(url.url, **engine_kwargs(url, reads_only=reads_only))
    make_atomic(engine, reads_only=reads_only)
    if url.backend == "postgresql":
        _look_before_use(engine)
    return engine


def _look_before_use(engine: Engine) -> None:
    """Try a connection that has lain idle before it is used, as ``pool_pre_ping`` does each time.

    A trial uses them a dozen times in a row. One that dies between two uses is an error that callers wait out.
    """

    @event.listens_for(engine, "checkin")
    def _on_checkin(_connection: Any, record: Any) -> None:  # noqa: ANN401 - the pool's own types
        record.info["idle_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _on_checkout(connection: Any, record: Any, _proxy: Any) -> None:  # noqa: ANN401
        if time.monotonic() - record.info.get("idle_since", math.inf) > _IDLE_S:
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
                connection.rollback()
            except connection.Error:
                # The pool takes another one.
                raise DisconnectionError from None


def make_atomic(engine: Engine, *, reads_only: bool = False) -> None:
    """Let every transaction on SQLite that may write lock the database at its beginning.

    Python's driver begins a transaction at the first write only, so that two workers read the same waiting row and
    both claim it. Reading transactions say so with ``execution_options(reads_only=True)`` and do not lock.
    """
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:  # noqa: ANN401 - the driver's own types
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA query_only={'ON' if reads_only else 'OFF'}")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        reads = reads_only or connection.get_execution_options().get("reads_only", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    # Connections made before the listeners were there begin the old way.
    engine.dispose()


@contextmanager
def transaction(engine: Engine, url: StorageUrl, *, reads_only: bool = False) -> Iterator[Connection]:
    """Begin a transaction that is committed at the end of the block.

    Raises:
        StorageUnavailableError: If the database does not answer, or not in time.
        SchemaError: If a table is missing.
    """
    if url.backend == "sqlite" and not Path(str(url.url.database)).exists():
        # Connecting would make an empty file of a misspelt name.
        raise no_tables(url)
    try:
        with engine.connect().execution_options(reads_only=reads_only) as connection, connection.begin():
            yield connection
    except (OperationalError, InterfaceError, PoolTimeoutError, ProgrammingError) as error:
        raise translated(error, url) from error
    except DBAPIError as error:
        # Not one of its kinds: what SQLite says of a file that is no database, or a broken one; and a PostgreSQL that
        # takes no writes for a while, after a failover or on a full disk.
        reads_only_now = getattr(error.orig, "pgcode", None) == _READ_ONLY
        if error.connection_invalidated or reads_only_now or type(error) is DatabaseError:
            raise translated(error, url) from error
        raise


def translated(error: Exception, url: StorageUrl) -> StorageError:
    """Return a database driver's error in this service's words, without the statement and its values."""
    cause = getattr(error, "orig", None) or error
    reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
    password = url.url.password
    if password:
        reason = reason.replace(str(password), "***")
    if "no such column" in reason or ("column" in reason and "does not exist" in reason):
        return SchemaVersionError(
            f"the storage {url} has tables of another version ({reason}); bring older ones up to date with "
            "`tuner db migrate`"
        )
    if "no such table" in reason or ("relation" in reason and "does not exist" in reason):
        return no_tables(url)
    if any(words in reason for words in _REFUSALS):
        # Waiting does not help.
        return StorageError(f"the storage {url} refuses: {reason}. Check the role, its password and its rights")
    return StorageUnavailableError(
        f"the storage {url} cannot be used: {reason}. Check that it runs and that the URL is right"
    )


_NETWORK_FILE_SYSTEMS = {
    "nfs",
    "nfs3",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "afs",
    "ceph",
    "lustre",
    "glusterfs",
    "beegfs",
}


def network_file_system(folder: Path) -> str | None:
    """Return the type of the network file system that a folder lies on, or ``None`` where it is a local one."""
    mounts = {Path(one.mountpoint): one.fstype for one in psutil.disk_partitions(all=True)}
    nearest = next(
        path for path in (folder.resolve(), *folder.resolve().parents) if path in mounts or path.parent == path
    )
    kind = mounts.get(nearest, "")
    return kind if kind in _NETWORK_FILE_SYSTEMS or kind.startswith("fuse.sshfs") else None


def no_tables(url: StorageUrl) -> SchemaError:
    """Return the error for a storage that was never used."""
    return SchemaError(f"the storage {url} has no tables of this service yet; `tuner create` or `tuner run` makes them")


def other_optuna(url: StorageUrl) -> SchemaVersionError:
    """Return the error for tables that another Optuna has made."""
    return SchemaVersionError(
        f"Optuna's tables in the storage {url} are of another version of Optuna; bring older ones up to date with "
        "`tuner db migrate`, or install the Optuna that made newer ones"
    )


def insert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Return an insertion that knows ``on_conflict_do_nothing``, in the connection's dialect."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def new_key(inserted: CursorResult[Any]) -> int:
    """Return the key that an insertion of one row was given."""
    assert inserted.inserted_primary_key is not None  # noqa: S101 - every table has one
    return int(inserted.inserted_primary_key[0])


def clock(connection: Connection) -> float:
    """Return the database's time, in seconds since 1970."""
    if connection.dialect.name == "postgresql":
        statement = "SELECT extract(epoch FROM clock_timestamp())"
    else:
        statement = "SELECT (julianday('now') - 2440587.5) * 86400.0"
    return float(connection.execute(text(statement)).scalar_one())


def naive_utc(seconds: float) -> datetime.datetime:
    """Return a time as Optuna's tables hold it: UTC, without saying so."""
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC).replace(tzinfo=None)


def from_naive_utc(time: datetime.datetime | None) -> float | None:
    """Return a time of Optuna's tables in seconds since 1970."""
    return None if time is None else time.replace(tzinfo=datetime.UTC).timestamp()
