"""The environment of every test, and the storages that tests run on."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from s3fs import S3FileSystem
from sqlalchemy import make_url

from tests.servers import PgBouncer, PostgresServer, RedisServer, S3Server

# Before anything is imported or started: no setting of whoever runs the tests reaches them or their children.
for _name in [name for name in os.environ if name.startswith(("TUNER_", "PG", "AWS_", "FSSPEC_"))]:
    del os.environ[_name]
# Where there are no credentials, botocore would ask a server that only Amazon's machines have.
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

# A run that is terminated stops its servers, as one that is interrupted does.
signal.signal(signal.SIGTERM, signal.default_int_handler)

# How long an example takes says something of the machine only; and the same examples each time, so that a run that
# fails says something of the change.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Provide the PostgreSQL server that tests share; one that stops servers starts its own."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def pgbouncer(postgres_server: PostgresServer) -> Iterator[PgBouncer]:
    """Provide a pooler in transaction mode in front of the server that tests share."""
    program = PgBouncer.find()
    if program is None:
        pytest.skip("no PgBouncer: apt-get install pgbouncer")
    with PgBouncer(program, postgres_server) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Provide the Redis server that tests share."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """Provide the S3 server that tests share."""
    with S3Server() as server:
        yield server


@pytest.fixture
def s3_url(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Provide the URL of an empty bucket, which the environment of this process and its children leads to."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    yield s3_server.make_bucket(f"bucket-{next(_numbers)}")
    S3FileSystem.clear_instance_cache()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Provide the URL of an SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path / 'tuner.db'}"


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Provide the URL of an empty PostgreSQL database."""
    name = f"test_{next(_numbers)}"
    postgres_server.create_database(name)
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture
def pooled_url(postgres_url: str, pgbouncer: PgBouncer) -> str:
    """Provide the URL of an empty PostgreSQL database behind a pooler."""
    return pgbouncer.url(str(make_url(postgres_url).database))


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Provide the URL of an empty Redis database, another one than the test before had."""
    number = next(_numbers) % 16
    redis_server.flush(number)
    return redis_server.url(number)


#: With PostgreSQL behind a pooler, which `make soak` tries.
POOLED = pytest.param("pooled", marks=pytest.mark.soak)


@pytest.fixture(params=["sqlite", "postgresql", POOLED])
def sql_url(request: pytest.FixtureRequest) -> str:
    """Provide the URL of an empty SQL storage, of each kind in turn."""
    return _url(request)


@pytest.fixture(params=["sqlite", "postgresql", "redis", POOLED])
def storage_url(request: pytest.FixtureRequest) -> str:
    """Provide the URL of an empty storage, of each kind in turn."""
    return _url(request)


def _url(request: pytest.FixtureRequest) -> str:
    fixtures = {"sqlite": "sqlite_url", "postgresql": "postgres_url", "redis": "redis_url", "pooled": "pooled_url"}
    url: str = request.getfixturevalue(fixtures[request.param])
    return url
