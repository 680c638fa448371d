"""Workers of one study that a test kills, freezes and starts again, and what its rows must be afterwards."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2

from tests.e2e.tuner import Tuner
from tests.servers import PostgresServer

STUDIES = Path(__file__).with_name("studies")
BEAT_S, LEASE_S = 1.0, 6.0


@dataclass
class Pool:
    """A study on a PostgreSQL that the test may stop, and its workers."""

    tuner: Tuner
    server: PostgresServer
    database: str
    study: str
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)  #: exit codes of workers that ended by themselves

    def start(self, workers: int) -> None:
        """Start so many workers of one slot."""
        for _ in range(workers):
            log = (self.tuner.folder / "workers.log").open("ab")
            beats = ["--beat", str(BEAT_S), "--lease", str(LEASE_S)]
            process = subprocess.Popen(
                [Path(sys.executable).with_name("tuner"), "worker", self.study, "--slots", "1", *beats],
                cwd=self.tuner.folder, env=self.tuner.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
            log.close()
            self.workers.append(process)

    def kill(self, dice: random.Random) -> None:
        """Kill a worker that lives, and start another in its place."""
        self.collect()
        if self.workers:
            victim = dice.choice(self.workers)
            self.workers.remove(victim)
            victim.kill()
            victim.wait()
            self.start(1)

    def freeze(self, dice: random.Random) -> subprocess.Popen[bytes]:
        """Stop a worker in its tracks, and return it."""
        self.collect()
        victim = dice.choice(self.workers)
        victim.send_signal(signal.SIGSTOP)
        return victim

    def collect(self) -> None:
        """Take note of the workers that have ended by themselves."""
        for one in list(self.workers):
            if one.poll() is not None:
                self.workers.remove(one)
                self.exits.append(one.returncode)

    def wait(self, timeout_s: float) -> None:
        """Wait until all workers have ended by themselves."""
        deadline = time.monotonic() + timeout_s
        while self.workers:
            self.collect()
            assert time.monotonic() < deadline, f"{len(self.workers)} workers still run:\n{self.log()[-4000:]}"
            time.sleep(0.2)

    def log(self) -> str:
        """Return what the workers said."""
        return (self.tuner.folder / "workers.log").read_text(errors="replace")

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        connection = psycopg2.connect(self.server.url(self.database))
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def terminate_sessions(self) -> None:
        """End every session of the database but this one's."""
        self.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{self.database}' AND pid <> pg_backend_pid()"
        )

    def history(self) -> list[dict[str, Any]]:
        """Return a line for each epoch that any process trained to its end."""
        files = sorted((self.tuner.folder / "studies" / "history").iterdir())
        lines = [line for file in files for line in file.read_text().splitlines()]
        # A process that is killed leaves half a line.
        return [json.loads(line) for line in lines if line.endswith("}")]


@contextmanager
def pool(folder: Path, server: PostgresServer, database: str, study: str, *settings: str) -> Iterator[Pool]:
    """Provide a study of ``tests/faults/studies`` without workers, and leave no process behind."""
    (folder / "studies" / "history").mkdir(parents=True)
    shutil.copy(STUDIES / f"{study}.py", folder / "studies")
    server.create_database(database)
    tuner = Tuner(folder, server.url(database))
    made = Pool(tuner, server, database, study)
    try:
        tuner("create", f"studies/{study}.py", *(word for one in settings for word in ("--set", one)))
        yield made
    finally:
        for one in made.workers:
            one.kill()
            one.wait()
        tuner.kill_processes()


def check_rows(pool: Pool, budget: int) -> None:
    """Check what must hold of the rows of a study that has finished, whatever happened to its workers."""
    rows = pool.query(
        "SELECT a.configuration, a.attempt, t.number, t.state::text, a.reason, v.value, a.trial_id "
        "FROM tuner_attempts a JOIN trials t USING (trial_id) LEFT JOIN trial_values v USING (trial_id) ORDER BY number"
    )
    numbers = [number for _, _, number, *_ in rows]
    assert numbers == list(range(len(rows))), "trial numbers have no gap and none twice"
    assert not [row for row in rows if row[3] in ("RUNNING", "WAITING")], "nothing is left open"
    settled = Counter(row[0] for row in rows if row[3] in ("COMPLETE", "PRUNED"))
    assert settled == Counter(range(budget)), "each configuration of the budget is settled once"
    for configuration in range(budget):
        attempts = sorted(row[1] for row in rows if row[0] == configuration)
        assert attempts == list(range(len(attempts))), "attempts are numbered without gaps"
    assert all(row[5] is not None for row in rows if row[3] == "COMPLETE"), "what is complete has a value"
    assert all(row[5] is None for row in rows if row[3] == "FAIL"), "what failed has none"
    assert not pool.query("SELECT 1 FROM trials LEFT JOIN tuner_attempts USING (trial_id) WHERE configuration IS NULL")


__all__ = ["BEAT_S", "LEASE_S", "Pool", "check_rows", "pool"]
