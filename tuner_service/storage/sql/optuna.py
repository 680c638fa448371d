"""Optuna's own storage on the same database, over the same connections."""

from __future__ import annotations

import optuna
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from tuner_service.storage.sql.engine import engine_kwargs, other_optuna, translated
from tuner_service.storage.url import StorageUrl


def make_optuna_tables(url: StorageUrl) -> None:
    """Make Optuna's tables where they are missing, and stamp them with Optuna's schema version."""
    storage = _open(url, skip_table_creation=False)
    storage.remove_session()
    storage.engine.dispose()


def migrate_optuna_tables(url: StorageUrl) -> None:
    """Bring Optuna's tables to the version of the Optuna that is installed, as ``optuna storage upgrade`` does.

    Raises:
        SchemaVersionError: If they are of a newer one.
    """
    storage = _open(url, skip_table_creation=True, of_any_version=True)
    try:
        found = storage.get_current_version()
        if found not in storage.get_all_versions():
            raise other_optuna(url)
        if found != storage.get_head_version():
            storage.upgrade()
    finally:
        storage.remove_session()
        storage.engine.dispose()


def open_optuna_storage(url: StorageUrl, engine: Engine) -> optuna.storages.BaseStorage:
    """Return Optuna's storage, cached as ``optuna.create_study(storage=URL)`` has it."""
    storage = _open(url, skip_table_creation=True)
    # A worker has few connections: Optuna shares the pool of the ledger, and with it the way that
    # transactions begin on SQLite.
    storage.engine.dispose()
    storage.engine = engine
    storage.scoped_session.remove()
    storage.scoped_session.configure(bind=engine)
    return optuna.storages.get_storage(storage)


def _open(url: StorageUrl, *, skip_table_creation: bool, of_any_version: bool = False) -> optuna.storages.RDBStorage:
    # Optuna fills {SCHEMA_VERSION} into the URL with str.format, which a brace in a password breaks.
    text = url.secret_text.replace("{", "{{").replace("}", "}}")
    try:
        storage = optuna.storages.RDBStorage(
            text,
            # Where it makes tables it takes a second connection while it has one.
            engine_kwargs=engine_kwargs(url) | ({} if url.backend == "sqlite" else {"max_overflow": 1}),
            skip_table_creation=skip_table_creation,
            # So does its own check, which is this one.
            skip_compatibility_check=True,
        )
        if not of_any_version and storage.get_current_version() != storage.get_head_version():
            raise other_optuna(url)
        return storage
    except DBAPIError as error:
        raise translated(error, url) from error
    except optuna.exceptions.StorageInternalError as error:
        # What Optuna makes of a database that goes away in the middle.
        raise translated(error.__cause__ if isinstance(error.__cause__, Exception) else error, url) from error
