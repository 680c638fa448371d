"""The page on operating the database: a study that was backed up as it says is there again after a restore."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from benchmarks.large_study import fill
from tests.docs.test_documentation import ROOT, blocks
from tests.servers import PostgresServer
from tuner_service import open_storage, summarize

_BLOCKS = blocks(ROOT / "docs" / "how-to" / "database.md", "sh", "sql")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Provide a server of its own: roles are a server's, not a database's."""
    with PostgresServer() as server:
        yield server


def shown(words: str) -> str:
    """Return the block of the page that has these words."""
    (block,) = [one for one in _BLOCKS if words in one]
    return block


def run(block: str, folder: Path, storage: str, server: PostgresServer) -> str:
    """Run a block in a shell, with PostgreSQL's tools and ours, and return what it printed."""
    path = f"{server.tools}:{Path(sys.executable).parent}:/usr/bin:/bin"
    environment: Mapping[str, str] = {"PATH": path, "TUNER_STORAGE": storage, "HOME": str(folder)}
    command = ["bash", "-euc", block]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_study_is_there_again_after_a_restore(server: PostgresServer, tmp_path: Path) -> None:
    """Rows, files and rights come back in another database, and no checkpoint of another time does."""
    server.create_database("before")
    server.create_database("after")
    before, after = server.url("before"), server.url("after")
    fill(open_storage(before), before, 60, "digits-mlp")
    run(shown("db roles --apply    #"), tmp_path, before, server)
    trial = tmp_path / "shared" / "digits-mlp" / "trials" / "00003"
    trial.mkdir(parents=True)
    for name in ("curve.json", "checkpoint-0000-000004.npz"):
        (trial / name).touch()
    run(shown("pg_dump"), tmp_path, before, server)
    assert (tmp_path / "shared-backup" / "digits-mlp" / "trials" / "00003" / "curve.json").exists()

    run(shown("pg_restore"), tmp_path, after, server)
    assert [path.name for path in trial.iterdir()] == ["curve.json"]
    one, other = (summarize(open_storage(url), "digits-mlp") for url in (before, after))
    assert other.settled == one.settled == 60
    assert other.best == one.best
    login = shown("CREATE USER")
    run(f'psql -q -v ON_ERROR_STOP=1 "$TUNER_STORAGE" -c "{login}"', tmp_path, after, server)
    worker = open_storage(after.replace("postgres:@", "gpu_pool:SECRET@"))
    assert worker.study("digits-mlp").name == "digits-mlp"
    run(shown("pg_size_pretty").replace("tuner gc", "tuner status"), tmp_path, after, server)


def test_copy_of_an_sqlite_file_is_whole(tmp_path: Path) -> None:
    """A copy that is made as the page says has the study, also while another connection has written."""
    url = f"sqlite:///{tmp_path / 'tuner.db'}"
    storage = open_storage(url)
    fill(storage, url, 60, "digits-mlp")
    subprocess.run(["bash", "-euc", shown("VACUUM INTO")], cwd=tmp_path, check=True)
    assert summarize(open_storage(f"sqlite:///{tmp_path / 'tuner-backup.db'}"), "digits-mlp").settled == 60
