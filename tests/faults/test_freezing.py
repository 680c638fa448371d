"""Processes that stand still for a while, and wake up in a world that has moved on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.e2e.tuner import until
from tests.faults.pool import check_rows, pool
from tests.servers import PostgresServer
from tuner_service.storage.sql.engine import make_engine
from tuner_service.storage.url import StorageUrl


def test_worker_frozen_beyond_its_lease_drops_its_trial_and_goes_on(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """It stood still for three leases: the trial is another's, with one result; it drops it and claims the next.

    A plain worker has no lease: nobody takes the trial over, or both record it; where a heartbeat took it away the
    worker dies of its own report.
    """
    with pool(tmp_path, postgres_server, "fast", "trials=8", lease_s=2.0) as workers:
        frozen, _ = workers.start(2, environment={"EPOCH_S": "0.2"})
        until("it trains", lambda: (mine := workers.trial_of(frozen)) and workers.epoch(mine[0]) >= 2)
        mine = workers.freeze_between_transactions(frozen)
        time.sleep(3 * workers.lease_s)
        frozen.thaw()
        workers.wait()
        check_rows(workers, 8)
        assert workers.attempts(mine[1]) == [(0, "FAIL", "interrupted", "w0"), (1, "COMPLETE", "finished", "w1")]
        assert frozen.said().count("what it still had to say is dropped") == 1
        later = workers.query("SELECT count(*) FROM tuner_attempts WHERE owner = 'w0' AND reason = 'finished'")
        assert later[0][0] >= 1


@pytest.mark.soak
def test_client_frozen_in_a_transaction_does_not_stop_the_others(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """It holds the study's row and says nothing more: the database ends it, and the others wait no longer than that.

    With Optuna's own storage they wait for ever, as each claim locks that row.
    """
    with pool(tmp_path, postgres_server, "fast", "trials=40") as workers:
        engine = make_engine(StorageUrl.parse(workers.tuner.storage))
        frozen = engine.connect()
        try:
            frozen.execute(text("SELECT * FROM studies FOR UPDATE"))
            workers.start(2)
            began = time.monotonic()
            until("the others go on", lambda: workers.settled() > 6, timeout_s=30.0)
            assert time.monotonic() - began < 20 + 5
        finally:
            frozen.invalidate()
            engine.dispose()
        workers.wait()
        check_rows(workers, 40)
