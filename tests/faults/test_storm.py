"""Workers are killed and frozen, the database goes away: the budget is exact all the same."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

from tests.faults.pool import LEASE_S, check_rows, pool
from tests.servers import PostgresServer

SEED = 7


def test_everything_at_once_costs_neither_a_configuration_nor_much_work(tmp_path: Path) -> None:
    """Ten workers killed, two frozen beyond their leases, the database stopped once and its sessions ended twice.

    A plain ``study.optimize`` worker counts its own trials and dies of the first of these faults.
    """
    dice = random.Random(SEED)
    print(f"seed {SEED}")
    with PostgresServer() as server, pool(tmp_path, server, "storm", "digits") as workers:
        workers.start(8)
        while not workers.query("SELECT 1 FROM trials WHERE state::text = 'COMPLETE'"):
            time.sleep(0.5)
        frozen = []
        for second in range(10):
            workers.kill(dice)
            if second in (2, 5):
                frozen.append((workers.freeze(dice), time.monotonic() + 2 * LEASE_S))
            if second in (3, 8):
                workers.terminate_sessions()
            if second == 6:
                server.stop("immediate")
                time.sleep(1.0)
                server.start()
            time.sleep(1.0)
        for victim, until in frozen:
            time.sleep(max(until - time.monotonic(), 0.0))
            victim.send_signal(signal.SIGCONT)
        workers.wait(240)
        check_rows(workers, 48)
        assert set(workers.exits) <= {0, -signal.SIGKILL}, workers.log()[-3000:]
        trained = len(workers.history())
        assert trained >= 480
        assert 480 / trained >= 0.95, f"{trained} epochs were trained for 480"
        assert workers.tuner.processes() == set()
