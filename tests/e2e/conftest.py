"""Working folders for the tests that run the command."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.tuner import Tuner, opened
from tests.servers import PostgresServer

# Where tests run in the background of a shell, Ctrl-C is ignored, and what they start would ignore it too.
signal.signal(signal.SIGINT, signal.default_int_handler)

_numbers = itertools.count()


@pytest.fixture(scope="module")
def module_tuner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tuner]:
    """Provide a working folder on SQLite that the tests of a module share."""
    with opened(tmp_path_factory.mktemp("work")) as tuner:
        yield tuner


@pytest.fixture
def tuner(tmp_path: Path) -> Iterator[Tuner]:
    """Provide a working folder on SQLite."""
    with opened(tmp_path) as tuner:
        yield tuner


@pytest.fixture(scope="module")
def postgres_tuner(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> Iterator[Tuner]:
    """Provide a working folder on PostgreSQL that the tests of a module share."""
    name = f"e2e_{next(_numbers)}"
    postgres_server.create_database(name)
    with opened(tmp_path_factory.mktemp("work"), postgres_server.url(name)) as tuner:
        yield tuner
    postgres_server.drop_database(name)
