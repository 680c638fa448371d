"""The attacks on workers of Optuna's own: what a plain ``study.optimize`` survives too would prove nothing here.

The workers do what Optuna's manual recommends (``studies/plain.py``), and are held to what ours are held to by
``check_rows`` and ``Pool.wait``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import optuna
import psycopg2
import pytest

from tests.e2e.tuner import until
from tests.faults.pool import STUDIES, Worker
from tests.servers import PostgresServer

_TRIALS = 6
_GRACE_S = 3.0


class Plain:
    """A study of Optuna's and its workers."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        (folder / "history").mkdir()
        for name in ("plain", "fast"):
            shutil.copy(STUDIES / f"{name}.py", folder)
        self.folder = folder
        self.server = server
        self.workers: list[Worker] = []
        self.exits: list[int] = []
        url = server.url().replace("postgresql://", "postgresql+psycopg2://")
        self.url = url
        optuna.create_study(study_name="plain", storage=url)

    def start(self, workers: int = 1, *, epoch_s: float = 0.2) -> list[Worker]:
        """Start workers."""
        started = []
        for _ in range(workers):
            path = self.folder / f"w{len(self.exits) + len(self.workers) + len(started)}.log"
            with path.open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, "plain.py", self.url, str(_TRIALS)],
                    cwd=self.folder, env={"EPOCH_S": str(epoch_s)}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                )  # fmt: skip
            started.append(Worker(path.stem, process, path))
        self.workers += started
        return started

    def states(self) -> list[str]:
        """Return the state of each trial, in the order of their numbers."""
        return [state for (state,) in self.query("SELECT state::text FROM trials ORDER BY number")]

    def query(self, statement: str) -> list[tuple[str]]:
        """Return the rows of a query."""
        with closing(psycopg2.connect(self.server.url())) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()  # type: ignore[return-value]

    def wait(self) -> None:
        """Wait until the workers have ended, in whatever way."""
        for one in self.workers:
            self.exits.append(one.process.wait(60))
        self.workers.clear()

    def broken(self) -> set[str]:
        """Return what of our promises does not hold, now that nobody works any more."""
        states = self.states()
        checks = {
            "the budget is exact": states.count("COMPLETE") == _TRIALS,
            "nothing is left open": not {"RUNNING", "WAITING"} & set(states),
            "no worker dies of a fault": set(self.exits) <= {0},
        }
        print(states, self.exits)
        return {promise for promise, holds in checks.items() if not holds}


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Plain]:
    """Provide a study without workers on a server of its own, and leave no process behind."""
    with PostgresServer() as server:
        made = Plain(tmp_path, server)
        yield made
        for one in made.workers:
            one.thaw()
            one.kill()


def test_plain_workers_that_are_killed_and_started_again_count_too_many(plain: Plain) -> None:
    """One of two is killed in the middle of a trial, and another begins: more trials complete than were asked for.

    Each worker counts after its own trials, so that whoever is in the middle of one when the budget is reached ends it
    too.
    """
    killed, _ = plain.start(2)
    until("both train", lambda: plain.states().count("RUNNING") == 2)
    killed.kill()
    plain.workers.remove(killed)
    plain.start(1)
    plain.wait()
    assert "the budget is exact" in plain.broken()
    assert plain.states().count("COMPLETE") > _TRIALS


def test_plain_workers_die_with_the_database_and_leave_their_trials(plain: Plain) -> None:
    """The server is away while they train: every worker dies of its next report, and nobody goes on."""
    plain.start(2)
    until("both train", lambda: plain.states().count("RUNNING") == 2)
    plain.server.stop("immediate")
    plain.wait()
    plain.server.start()
    assert plain.broken() == {"the budget is exact", "nothing is left open", "no worker dies of a fault"}
    assert 0 not in plain.exits


@pytest.mark.soak
def test_the_last_trial_of_a_killed_plain_worker_is_left_open(plain: Plain) -> None:
    """Heartbeats are judged by those who begin another trial only: where nobody does, it is RUNNING for ever."""
    (killed,) = plain.start(1, epoch_s=60.0)
    until("it trains", lambda: plain.states().count("RUNNING") == 1)
    plain.start(1, epoch_s=0.01)
    until("another one has done the rest", lambda: plain.states().count("COMPLETE") >= _TRIALS)
    killed.kill()
    plain.workers.remove(killed)
    plain.wait()
    time.sleep(2 * _GRACE_S)
    assert "nothing is left open" in plain.broken()


@pytest.mark.soak
def test_a_plain_worker_that_wakes_up_dies_of_its_own_report(plain: Plain) -> None:
    """Frozen beyond its grace period it finds its trial failed, and that is an error which nobody catches."""
    (frozen,) = plain.start(1, epoch_s=1.0)
    until("it has shown a sign of life", lambda: plain.query("SELECT 1 FROM trial_heartbeats"))
    frozen.freeze()
    time.sleep(2 * _GRACE_S)
    plain.start(1, epoch_s=0.2)
    until("its trial was given away", lambda: "FAIL" in plain.states())
    frozen.thaw()
    plain.wait()
    assert "no worker dies of a fault" in plain.broken()
    assert "UpdateFinishedTrialError" in frozen.said()
