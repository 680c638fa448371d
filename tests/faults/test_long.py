"""What only shows after many trials."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.e2e.tuner import until
from tests.faults.pool import check_rows, pool
from tests.servers import PostgresServer

SEED = 23
#: How long the storm of random faults blows, in seconds.
_STORM_S = 420.0


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_supervisor_needs_no_more_memory_after_300_trials(tmp_path: Path, postgres_server: PostgresServer) -> None:
    """Real Keras in two slots: the supervisor's memory is flat within 5 %, and no process is left.

    A plain worker that trains in its own process grows by megabytes with each trial.
    """
    with pool(tmp_path, postgres_server, "digits", "trials=300", "max_epochs=2") as workers:
        (worker,) = workers.start(1, slots=2, environment={"EPOCH_S": "0"})
        supervisor = psutil.Process(worker.process.pid)
        until("it is warm", lambda: workers.settled() >= 30, timeout_s=300.0)
        early = supervisor.memory_info().rss
        until("nearly all is done", lambda: workers.settled() >= 290, timeout_s=1200.0)
        late = supervisor.memory_info().rss
        print(f"{early / 2**20:.1f} MiB after 30 trials, {late / 2**20:.1f} MiB after 290")
        assert late <= early * 1.05
        workers.wait()
        check_rows(workers, 300)
        assert workers.counts() == {"finished": 300}


@pytest.mark.soak
@pytest.mark.timeout(2400)
def test_minutes_of_random_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills, frozen workers, ended sessions and stops of the database, in random order: the budget is exact."""
    dice = random.Random(SEED)
    print(f"seed {SEED}")
    monkeypatch.setenv("EPOCH_S", "0.2")
    with PostgresServer() as server, pool(tmp_path, server, "fast", "trials=500") as workers:
        workers.start(4)
        until("a trial is complete", workers.settled)
        ends_at = time.monotonic() + _STORM_S
        faults = Counter[str]()
        while time.monotonic() < ends_at and workers.settled() < 480:
            fault = dice.choice(["kill", "kill", "freeze", "sessions", "outage", "nothing"])
            faults[fault] += 1
            match fault:
                case "kill":
                    workers.replace_one(dice)
                case "freeze":
                    workers.collect()
                    victim = dice.choice(workers.workers)
                    victim.freeze()
                    time.sleep(dice.uniform(1.0, 2.5 * workers.lease_s))
                    victim.thaw()
                case "sessions":
                    workers.terminate_sessions()
                case "outage":
                    server.stop(dice.choice(["fast", "immediate"]))
                    time.sleep(dice.uniform(0.5, 2 * workers.lease_s))
                    server.start()
            time.sleep(dice.uniform(0.2, 2.0))
        print(faults, f"{workers.settled()} settled in the storm")
        workers.wait(1200)
        check_rows(workers, 500, most_attempts=8)
        assert set(workers.counts()) <= {"finished", "interrupted", "withdrawn"}
