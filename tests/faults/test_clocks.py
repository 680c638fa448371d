"""Machines whose clocks and time zones are wrong."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.e2e.tuner import until
from tests.faults.pool import check_rows, pool
from tests.servers import PostgresServer

# Loaded by Python before anything else: this process believes that it is an hour later.
_AN_HOUR_AHEAD = """
import time

now, now_ns = time.time, time.time_ns
time.time = lambda: now() + 3600
time.time_ns = lambda: now_ns() + 3600 * 10**9
"""


@pytest.mark.soak
def test_no_decision_depends_on_a_machines_clock(tmp_path: Path, postgres_server: PostgresServer) -> None:
    """A worker an hour ahead and one in Tokyo lose no trial, take none away, and one that dies is found in time.

    Optuna's heartbeat compares naive times of the session's zone: a judge in another zone fails every running trial.
    """
    with pool(tmp_path, postgres_server, "fast", "trials=8") as workers:
        ahead = tmp_path / "ahead"
        ahead.mkdir()
        (ahead / "sitecustomize.py").write_text(_AN_HOUR_AHEAD)
        (hour,) = workers.start(1, environment={"EPOCH_S": "0.2", "PYTHONPATH": str(ahead)})
        (tokyo,) = workers.start(1, environment={"EPOCH_S": "0.2", "PGTZ": "Asia/Tokyo", "TZ": "Asia/Tokyo"})
        until("both train", lambda: workers.trial_of(hour) and workers.trial_of(tokyo))
        workers.start(1, environment={"EPOCH_S": "0.2"})
        until("each has finished one", lambda: workers.settled() >= 3)
        mine = until("the one that is ahead trains", lambda: workers.trial_of(hour))
        hour.kill()
        workers.workers.remove(hour)
        killed_at = time.monotonic()
        until("its trial is found", lambda: len(workers.attempts(mine[1])) == 2)
        assert time.monotonic() - killed_at < workers.lease_s + 2 * workers.beat_s + 2.0
        workers.wait()
        check_rows(workers, 8)
        assert workers.counts() == {"finished": 8, "interrupted": 1}
        off = workers.query(
            "SELECT max(abs(extract(epoch FROM now() AT TIME ZONE 'UTC' - datetime_complete))) FROM trials"
        )
        assert off[0][0] < 300, "what Optuna shows is the database's time"
