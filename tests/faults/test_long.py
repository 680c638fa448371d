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
def test_500_trials_need_no_more_memory_and_no_more_time(tmp_path: Path, postgres_server: PostgresServer) -> None:
    """Real Keras in two slots: the supervisor's memory is flat within 5 %, its trials are not slower; none is left.

    A plain worker that trains in its own process grows by megabytes with each trial.
    """
    with pool(tmp_path, postgres_server, "digits", "trials=500", "max_epochs=2") as workers:
        (worker,) = workers.start(1, slots=2, environment={"EPOCH_S": "0"})
        supervisor = psutil.Process(worker.process.pid)
        until("it is warm", lambda: workers.settled() >= 30, timeout_s=300.0)
        early = supervisor.memory_info().rss
        until("nearly all is done", lambda: workers.settled() >= 490, timeout_s=1500.0)
        late = supervisor.memory_info().rss
        workers.wait()
        ended = [one for (one,) in workers.query("SELECT ended_at FROM tuner_attempts ORDER BY ended_at")]
        first, last = ended[100] - ended[0], ended[499] - ended[399]
        print(f"{early / 2**20:.1f} MiB after 30 trials, {late / 2**20:.1f} MiB after 490")
        print(f"the first hundred trials took {first:.1f} s, the last hundred {last:.1f} s")
        assert late <= early * 1.05
        assert last <= first * 1.25
        check_rows(workers, 500)
        assert workers.counts() == {"finished": 500}


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
