"""Bringing tables of an older version up to date, by one step from each version to the next."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, text, update

from tuner_service.errors import SchemaError, SchemaVersionError
from tuner_service.storage import tables as t
from tuner_service.storage.sql.studies import schema_version
from tuner_service.storage.url import StorageUrl

#: By the version that it starts from, what makes the next one of it. Nothing was released before version 4.
#:
#: Workers of the version before finish the trials that they run, so a step leaves alone what they read and write: it
#: adds tables, indexes, and columns that may be empty or have a default. What is to go, goes a version later.
STEPS: dict[int, Callable[[Connection], object]] = {}


def migrate(connection: Connection, url: StorageUrl) -> None:
    """Take the steps that are missing, all in this one transaction.

    Raises:
        SchemaVersionError: If the tables are of a newer version than this program's.
        SchemaError: If there is no step from their version on.
    """
    if connection.dialect.name == "postgresql":
        # A large table may take longer than any statement of a worker; what waits for a lock still gives up.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
    version = schema_version(connection) or 0
    if version > t.SCHEMA_VERSION:
        raise SchemaVersionError.for_versions(url, version, t.SCHEMA_VERSION)
    for start in range(version, t.SCHEMA_VERSION):
        if start not in STEPS:
            raise SchemaError(
                f"the storage {url} has tables of version {version}, from which nothing leads to version "
                f"{t.SCHEMA_VERSION} any more; migrate it with a program that is older than this one first"
            )
        STEPS[start](connection)
    connection.execute(update(t.tuner_schema).values(version=t.SCHEMA_VERSION))
