"""A study that is steered while workers train."""

from __future__ import annotations

import time
from pathlib import Path

from tests.e2e.tuner import until
from tests.faults.pool import check_rows, pool
from tests.servers import PostgresServer


def test_study_is_cancelled_and_goes_on(tmp_path: Path, postgres_server: PostgresServer) -> None:
    """`cancel` ends the running trials within two beats, `resume` tries them again; a point of one's own is tried too.

    ``study.stop`` is heard by the one process that calls it, after its trial.
    """
    with pool(tmp_path, postgres_server, "fast", "trials=6") as workers:
        tuner = workers.tuner
        tuner("enqueue", "fast", "x=0.5", "y=0.25")
        workers.start(1, slots=2, environment={"EPOCH_S": "2"})
        until("two trials train", lambda: len({line["number"] for line in workers.history()}) == 2)
        tuner("cancel", "fast")
        said_at = time.monotonic()
        until("they have ended", lambda: not workers.running_rows())
        assert time.monotonic() - said_at < 2 * workers.beat_s + 1.5
        workers.wait()
        assert tuner("status", "fast", "--json").json("study")["state"] == "stopped"
        assert workers.counts() == {"cancelled": 2, "withdrawn": workers.counts()["withdrawn"]}

        tuner("resume", "fast")
        workers.start(1, slots=2)
        workers.wait()
        check_rows(workers, 6)
        assert workers.counts()["finished"] == 6
        values = [value for (value,) in workers.query("SELECT value FROM trial_values ORDER BY value")]
        assert any(abs(value - 0.3125 - 2.718281828**-10) < 1e-9 for value in values)
