"""Workers are killed and frozen, the database goes away: the budget is exact all the same."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.e2e.tuner import until
from tests.faults.pool import Pool, check_rows, pool
from tests.servers import PostgresServer

SEED = 7


def storm(
    workers: Pool, dice: random.Random, *, seconds: int, freeze: set[int], terminate: set[int], stop: int
) -> None:
    """Kill a worker each second; freeze some beyond their leases, end all sessions, stop and start the database."""
    frozen = []
    for second in range(seconds):
        workers.replace_one(dice, keep=[victim for victim, _ in frozen])
        if second in freeze:
            victim = dice.choice([one for one in workers.workers if one not in [other for other, _ in frozen]])
            victim.freeze()
            frozen.append((victim, time.monotonic() + 2 * workers.lease_s))
        if second in terminate:
            workers.terminate_sessions()
        if second == stop:
            workers.server.stop("immediate")
            time.sleep(1.0)
            workers.server.start()
        time.sleep(1.0)
    for victim, thaw_at in frozen:
        time.sleep(max(thaw_at - time.monotonic(), 0.0))
        victim.thaw()


def test_storm_costs_no_configuration(tmp_path: Path) -> None:
    """Five workers killed, one frozen beyond its lease, the database stopped once and all sessions ended once.

    A plain ``study.optimize`` worker counts its own trials, so that each one that is started again adds to the budget;
    it leaves the trials of the killed RUNNING for ever, and dies of the first session that is ended.
    """
    dice = random.Random(SEED)
    print(f"seed {SEED}")
    with PostgresServer() as server, pool(tmp_path, server, "fast", "trials=30") as workers:
        workers.start(4)
        until("a trial is complete", workers.settled)
        storm(workers, dice, seconds=5, freeze={1}, terminate={2}, stop=3)
        workers.wait()
        check_rows(workers, 30)
        assert set(workers.counts()) == {"finished", "interrupted"}
        ((best,),) = workers.query("SELECT min(value) FROM trial_values")
        assert workers.tuner("best", "fast", "--json").json("best")["value"] == best


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_everything_at_once_costs_neither_a_configuration_nor_much_work(tmp_path: Path) -> None:
    """Eight workers of real Keras: ten killed, two frozen, the database stopped once and its sessions ended twice.

    What a plain worker does wrong here is said above; it also has no checkpoint to go on from.
    """
    dice = random.Random(SEED)
    print(f"seed {SEED}")
    with PostgresServer() as server, pool(tmp_path, server, "digits", beat_s=1.0, lease_s=6.0) as workers:
        workers.start(8)
        until("a trial is complete", workers.settled)
        storm(workers, dice, seconds=10, freeze={2, 5}, terminate={3, 8}, stop=6)
        workers.wait(600)
        check_rows(workers, 48)
        trained = len(workers.history())
        print(f"{trained} epochs were trained for 480")
        assert 480 <= trained <= 480 / 0.95
