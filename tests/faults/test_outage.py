"""The database is away: training goes on, and what it came to is recorded when the database is back."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.e2e.tuner import until
from tests.faults.pool import Pool, check_rows, pool, trained_twice
from tests.servers import PostgresServer


def outage_in_the_last_epochs(workers: Pool, running: int, from_epoch: int, seconds: float) -> None:
    """Stop the database once every trial that runs has trained so many epochs, and start it again."""

    def near_their_end() -> bool:
        now = [number for number, *_ in workers.running_rows()]
        return len(now) == running and all(from_epoch <= workers.epoch(number) < 10 for number in now)

    until("every running trial is in its last epochs", near_their_end)
    workers.server.stop("immediate")
    time.sleep(seconds)
    workers.server.start()


def test_outage_longer_than_lease_and_patience_costs_nothing(tmp_path: Path) -> None:
    """Eight seconds without a database, in the last epochs of every trial: none fails, no epoch is trained twice.

    The lease is 3 seconds, and 4 without an epoch is called stuck. A plain ``study.optimize`` worker dies of the first
    report that it cannot write, and with it goes what it had trained.
    """
    settings = ("trials=4", "limits.stalled_s=4")
    with PostgresServer() as server, pool(tmp_path, server, "fast", *settings) as workers:
        workers.start(1, slots=2, environment={"EPOCH_S": "0.4"})
        outage_in_the_last_epochs(workers, 2, 6, 8.0)
        workers.wait()
        check_rows(workers, 4)
        assert workers.counts() == {"finished": 4}
        assert trained_twice(workers) == []


@pytest.mark.soak
def test_workers_told_to_stop_while_the_database_is_away_lose_nothing(tmp_path: Path) -> None:
    """They exit with 75; the next worker of this machine delivers what had finished, and tries the rest, uncharged.

    A plain worker has nowhere to leave a result, and a retry callback counts the interruption as the trial's failure.
    """
    with PostgresServer() as server, pool(tmp_path, server, "fast", "trials=3", "max_attempts=1") as workers:
        (fast,) = workers.start(1, environment={"EPOCH_S": "0.4"})
        (slow,) = workers.start(1, environment={"EPOCH_S": "1.2"})
        until("both train", lambda: workers.trial_of(fast) and workers.trial_of(slow))
        until("both have begun", lambda: len({line["number"] for line in workers.history()}) == 2)
        finished, unfinished = workers.trial_of(fast), workers.trial_of(slow)
        assert finished is not None
        assert unfinished is not None
        server.stop("immediate")
        until("one has been trained to its end", lambda: workers.epoch(finished[0]) == 10)
        time.sleep(1.0)
        assert workers.epoch(unfinished[0]) < 10
        for worker in (fast, slow):
            worker.process.send_signal(signal.SIGTERM)
        for worker in (fast, slow):
            assert worker.process.wait(20) == 75, worker.said()
        workers.workers.clear()
        server.start()
        workers.start(1)
        workers.wait()
        check_rows(workers, 3)
        assert workers.attempts(finished[1]) == [(0, "COMPLETE", "finished", fast.name)], workers.log()
        assert [one[2] for one in workers.attempts(unfinished[1])] == ["interrupted", "finished"], workers.log()


def test_sessions_that_are_ended_again_and_again_cost_nothing(tmp_path: Path) -> None:
    """Every half a second all sessions are ended: no trial fails, no worker exits, no epoch is trained twice.

    A plain worker dies of the first.
    """
    with PostgresServer() as server, pool(tmp_path, server, "fast", "trials=12") as workers:
        workers.start(2)
        until("both train", lambda: len(workers.running_rows()) == 2)
        for _ in range(10):
            workers.terminate_sessions()
            time.sleep(0.5)
        workers.wait()
        check_rows(workers, 12)
        # The reply to a claim may be lost: such a row runs out, and nobody has trained it.
        assert set(workers.counts()) <= {"finished", "interrupted"}
        assert trained_twice(workers) == []


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_45_seconds_without_a_database_cost_nothing(tmp_path: Path) -> None:
    """Real Keras, the database away for 45 seconds during the last epochs of every running trial."""
    settings = ("trials=8",)
    with PostgresServer() as server, pool(tmp_path, server, "digits", *settings, beat_s=2.0, lease_s=12.0) as workers:
        workers.start(1, slots=2)
        outage_in_the_last_epochs(workers, 2, 6, 45.0)
        workers.wait(300)
        check_rows(workers, 8)
        assert workers.counts() == {"finished": 8}
        assert trained_twice(workers) == []
