"""Workers of one study that a test kills, freezes and starts again, and what its rows must be afterwards."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from tests.e2e.tuner import Tuner, until
from tests.servers import PostgresServer

STUDIES = Path(__file__).with_name("studies")

_numbers = itertools.count()

# Writes down whoever changes a trial that has ended: an update of its row, or a part of it by another transaction.
_AUDIT = """
    CREATE TABLE late (trial_id integer, what text);
    CREATE FUNCTION late_trial() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF OLD.state::text IN ('COMPLETE', 'PRUNED', 'FAIL') THEN
            INSERT INTO late VALUES (OLD.trial_id, 'state ' || NEW.state);
        END IF;
        RETURN NEW;
    END $$;
    CREATE FUNCTION late_part() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (
            SELECT 1 FROM trials WHERE trial_id = NEW.trial_id AND state::text IN ('COMPLETE', 'PRUNED', 'FAIL')
            AND xmin <> pg_current_xact_id()::xid
        ) THEN
            INSERT INTO late VALUES (NEW.trial_id, TG_TABLE_NAME);
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER late AFTER UPDATE ON trials FOR EACH ROW EXECUTE FUNCTION late_trial();
    CREATE TRIGGER late AFTER INSERT OR UPDATE ON trial_values FOR EACH ROW EXECUTE FUNCTION late_part();
    CREATE TRIGGER late AFTER INSERT OR UPDATE ON trial_params FOR EACH ROW EXECUTE FUNCTION late_part();
    CREATE TRIGGER late AFTER INSERT OR UPDATE ON trial_intermediate_values
        FOR EACH ROW EXECUTE FUNCTION late_part();
"""


@dataclass
class Worker:
    """A worker process, with all that it has started."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def tree(self) -> list[psutil.Process]:
        """Return its processes, the supervisor first."""
        try:
            supervisor = psutil.Process(self.process.pid)
            return [supervisor, *supervisor.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def kill(self) -> None:
        """Kill its supervisor; the kernel must see to the rest."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Stop it and its children in their tracks, as a paused machine does."""
        self._send_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._send_all(signal.SIGCONT)

    def said(self) -> str:
        """Return what it said."""
        return self.log.read_text(errors="replace")

    def _send_all(self, number: signal.Signals) -> None:
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


@dataclass
class Pool:
    """A study on a PostgreSQL, and its workers."""

    tuner: Tuner
    server: PostgresServer
    database: str
    study: str
    beat_s: float
    lease_s: float
    workers: list[Worker] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)  #: exit codes of workers that ended by themselves
    _names: Iterator[int] = field(default_factory=itertools.count)

    def start(
        self,
        workers: int = 1,
        *,
        slots: int = 1,
        storage: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> list[Worker]:
        """Start workers, which may reach the storage in another way or have another environment, and return them."""
        started = []
        for _ in range(workers):
            name = f"w{next(self._names)}"
            path = self.tuner.folder / f"{name}.log"
            with path.open("ab") as log:
                process = subprocess.Popen(
                    [
                        Path(sys.executable).with_name("tuner"), "worker", self.study,
                        "--slots", str(slots), "--id", name, "--beat", str(self.beat_s), "--lease", str(self.lease_s),
                    ],
                    cwd=self.tuner.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env={
                        **self.tuner.environment, **(environment or {}),
                        "TUNER_STORAGE": storage or self.tuner.storage,
                    },
                )  # fmt: skip
            started.append(Worker(name, process, path))
        self.workers += started
        return started

    def replace_one(self, dice: random.Random, keep: Collection[Worker] = ()) -> None:
        """Kill a worker that lives, and start another in its place."""
        self.collect()
        candidates = [one for one in self.workers if one not in keep]
        if candidates:
            victim = dice.choice(candidates)
            self.workers.remove(victim)
            victim.kill()
            self.start()

    def collect(self) -> None:
        """Take note of the workers that have ended by themselves."""
        for one in list(self.workers):
            if one.process.poll() is not None:
                self.workers.remove(one)
                self.exits.append(one.process.returncode)

    def wait(self, timeout_s: float = 120.0) -> None:
        """Wait until all workers have ended, and every process of theirs; the study must be done then."""
        deadline = time.monotonic() + timeout_s
        while self.workers:
            self.collect()
            assert time.monotonic() < deadline, f"{len(self.workers)} workers still run:\n{self.log()[-4000:]}"
            time.sleep(0.1)
        assert set(self.exits) == {0}, self.log()[-4000:]
        until("no process is left", lambda: not self.tuner.processes(), timeout_s=10.0)

    def log(self) -> str:
        """Return what the workers said."""
        return "".join(f"{path.name}: {path.read_text(errors='replace')}" for path in self.tuner.folder.glob("w*.log"))

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        connection = psycopg2.connect(self.server.url(self.database))
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def running_rows(self) -> list[tuple[int, int, int, str]]:
        """Return trial number, configuration, attempt and owner of what runs."""
        rows: list[Any] = self.query(
            "SELECT number, configuration, attempt, owner FROM tuner_attempts JOIN trials USING (trial_id) "
            "WHERE state::text = 'RUNNING' ORDER BY number"
        )
        return rows

    def trial_of(self, worker: Worker) -> tuple[int, int, int] | None:
        """Return trial number, configuration and attempt of what a worker of one slot trains."""
        return next(
            (
                (number, configuration, attempt)
                for number, configuration, attempt, owner in self.running_rows()
                if owner == worker.name
            ),
            None,
        )

    def freeze_between_transactions(self, worker: Worker, timeout_s: float = 30.0) -> tuple[int, int, int]:
        """Freeze a worker of one slot while it trains and holds no lock, and return what it trains, as ``trial_of``.

        One that is frozen in the middle of a transaction keeps the others from judging it, for as long as the database
        lets a transaction idle: that is longer than a test's lease.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            worker.freeze()
            time.sleep(0.4)  # whatever the others do meanwhile takes less
            idle = self.query(
                f"SELECT 1 FROM pg_stat_activity WHERE datname = '{self.database}' "
                "AND state LIKE 'idle in transaction%' AND clock_timestamp() - state_change > interval '0.3 s'"
            )
            mine = self.trial_of(worker)
            if mine is not None and not idle:
                return mine
            worker.thaw()
            time.sleep(0.1)
        raise AssertionError(f"{worker.name} could not be frozen between two transactions:\n{self.log()[-4000:]}")

    def attempts(self, configuration: int) -> list[tuple[int, str, str, str]]:
        """Return number, state, reason and owner of a configuration's attempts."""
        return self.query(
            "SELECT attempt, state::text, reason, owner FROM tuner_attempts JOIN trials USING (trial_id) "
            f"WHERE configuration = {configuration} ORDER BY attempt"
        )  # type: ignore[return-value]

    def counts(self) -> dict[str, int]:
        """Return how many rows there are of each reason, or state where there is none."""
        return dict(
            self.query(
                "SELECT coalesce(reason, state::text), count(*) FROM tuner_attempts JOIN trials USING (trial_id) "
                "GROUP BY 1"
            )
        )  # type: ignore[arg-type]

    def settled(self) -> int:
        """Return how many configurations are complete or pruned."""
        counts = self.query("SELECT count(*) FROM trials WHERE state::text IN ('COMPLETE', 'PRUNED')")
        return int(counts[0][0])

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

    def epoch(self, number: int) -> int:
        """Return the last epoch that a trial was trained."""
        return max((line["epoch"] for line in self.history() if line["number"] == number), default=0)


@contextmanager
def pool(
    folder: Path,
    server: PostgresServer,
    study: str,
    *settings: str,
    beat_s: float = 0.5,
    lease_s: float = 3.0,
    artifacts: str = "tuner-artifacts",
) -> Iterator[Pool]:
    """Provide a study of ``tests/faults/studies`` without workers, and leave no process behind."""
    (folder / "studies" / "history").mkdir(parents=True)
    shutil.copy(STUDIES / f"{study}.py", folder / "studies")
    database = f"faults_{next(_numbers)}"
    server.create_database(database)
    tuner = Tuner(folder, server.url(database))
    made = Pool(tuner, server, database, study, beat_s, lease_s)
    try:
        where = ("--artifacts", artifacts)
        tuner("create", f"studies/{study}.py", *where, *(word for one in settings for word in ("--set", one)))
        made.query(_AUDIT)
        yield made
    finally:
        for one in made.workers:
            one.thaw()
            one.kill()
        tuner.kill_processes()


def check_rows(pool: Pool, budget: int, *, failed: Collection[int] = (), most_attempts: int = 6) -> None:
    """Check what must hold of the rows of a study that has finished, whatever happened to its workers.

    Args:
        pool: The study.
        budget: Its configurations.
        failed: Those of them that failed for good.
        most_attempts: Attempts of a configuration, at most.
    """
    rows = pool.query(
        "SELECT a.configuration, a.attempt, t.number, t.state::text, a.reason, v.value, a.claimed_at, a.ended_at "
        "FROM tuner_attempts a JOIN trials t USING (trial_id) LEFT JOIN trial_values v USING (trial_id) ORDER BY number"
    )
    numbers = [number for _, _, number, *_ in rows]
    assert numbers == list(range(len(rows))), "trial numbers have no gap and none is there twice"
    assert not [row for row in rows if row[3] in ("RUNNING", "WAITING")], "nothing is left open"
    assert all(row[4] for row in rows), "every row says why it ended"
    settled = Counter(row[0] for row in rows if row[3] in ("COMPLETE", "PRUNED"))
    assert settled == Counter(set(range(budget)) - set(failed)), "each configuration of the budget is settled once"
    for configuration in range(budget):
        mine = sorted(row for row in rows if row[0] == configuration)
        assert [row[1] for row in mine] == list(range(len(mine))), "attempts are numbered without gaps"
        assert len(mine) <= most_attempts, mine
        claimed = [row for row in mine if row[6] is not None]
        for before, after in itertools.pairwise(claimed):
            assert before[7] <= after[6], "an attempt begins after the one before it has ended"
    assert all(row[5] is not None and math.isfinite(row[5]) for row in rows if row[3] == "COMPLETE")
    assert all(row[5] is None for row in rows if row[3] == "FAIL"), "what failed has no value"
    assert not pool.query("SELECT 1 FROM trials LEFT JOIN tuner_attempts USING (trial_id) WHERE configuration IS NULL")
    assert not pool.query("SELECT * FROM late"), "what has ended never changes"
    points = pool.query(
        "SELECT configuration, count(DISTINCT param_value) FROM tuner_attempts JOIN trial_params USING (trial_id) "
        "GROUP BY configuration, param_name"
    )
    assert all(distinct == 1 for _, distinct in points), "all attempts of a configuration try the same point"
    if pool.study == "fast":
        _check_values(pool)


def _check_values(pool: Pool) -> None:
    """Check that what is complete has the value and the point that were trained."""
    params: dict[int, dict[str, float]] = {}
    for number, name, value in pool.query(
        "SELECT number, param_name, param_value FROM trials JOIN trial_params USING (trial_id)"
    ):
        params.setdefault(number, {})[name] = value
    trained = {line["number"]: line for line in pool.history() if line["epoch"] == 10}
    for number, value in pool.query("SELECT number, value FROM trials JOIN trial_values USING (trial_id)"):
        assert trained[number]["value"] == value
        assert trained[number]["params"] == params[number]


def trained_twice(pool: Pool) -> list[tuple[tuple[float, ...], int]]:
    """Return the epochs, as point and epoch, that were trained more than once."""
    epochs = Counter((tuple(line["params"].values()), line["epoch"]) for line in pool.history())
    return [one for one, times in epochs.items() if times > 1]


__all__ = ["Pool", "Worker", "check_rows", "pool", "trained_twice"]
