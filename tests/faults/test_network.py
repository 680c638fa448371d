"""Replies that are lost on the way, and a network that swallows everything."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.tuner import until
from tests.faults.pool import check_rows, pool, trained_twice
from tests.faults.proxy import Proxy
from tests.servers import PostgresServer, free_port

SEED = 5


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Provide a PostgreSQL that listens on a port."""
    with PostgresServer(port=free_port()) as server:
        yield server
        server.stop("immediate")


def through(proxy: Proxy, server: PostgresServer, url: str) -> str:
    """Return a URL of the server that leads through a proxy."""
    return url.replace(f":{port_of(server)}/", f":{proxy.port}/")


def port_of(server: PostgresServer) -> int:
    """Return the port that a server listens on."""
    port = urlsplit(server.url()).port
    assert port is not None
    return port


def test_lost_reply_of_any_commit_makes_no_phantom(tmp_path: Path, server: PostgresServer) -> None:
    """The reply of one COMMIT in ten is lost, at every step of some trial: the budget is exact.

    ``study.optimize`` dies of each, and a trial whose creation was not acknowledged stays RUNNING for ever.
    """
    dice = random.Random(SEED)
    print(f"seed {SEED}")
    with (
        Proxy(port_of(server), drops=lambda n: n > 12 and dice.random() < 0.1) as proxy,
        pool(tmp_path, server, "fast", "trials=12") as workers,
    ):
        storage = through(proxy, server, workers.tuner.storage)
        workers.start(1, slots=2, storage=storage, environment={"EPOCH_S": "0.01"})
        workers.wait()
        print(f"{proxy.dropped} of {proxy.commits} replies were dropped")
        assert proxy.dropped > 10
        check_rows(workers, 12)
        # A row whose claim was acknowledged to nobody runs out, and nobody has trained it.
        assert set(workers.counts()) <= {"finished", "interrupted"}
        assert trained_twice(workers) == []


@pytest.mark.soak
def test_swallowed_packets_stop_one_worker_only(tmp_path: Path, server: PostgresServer) -> None:
    """A worker that hears nothing for two leases loses its trial to another; back again it drops it, and goes on.

    A plain worker would record its result a second time, or die when its connection is found dead.
    """
    with Proxy(port_of(server)) as proxy, pool(tmp_path, server, "fast", "trials=10", lease_s=2.0) as workers:
        (cut,) = workers.start(1, storage=through(proxy, server, workers.tuner.storage), environment={"EPOCH_S": "0.3"})
        until("it trains", workers.history)
        ((_, configuration, _),) = [workers.trial_of(cut)]
        proxy.swallow()
        workers.start(1, environment={"EPOCH_S": "0.1"})
        time.sleep(2 * workers.lease_s)
        until("another one has its trial", lambda: len(workers.attempts(configuration)) > 1, timeout_s=10.0)
        settled = workers.settled()
        until("the other one goes on", lambda: workers.settled() > settled, timeout_s=10.0)
        proxy.let_through()
        workers.wait()
        check_rows(workers, 10)
        (first, second) = workers.attempts(configuration)
        assert first == (0, "FAIL", "interrupted", cut.name)
        assert second[1:3] == ("COMPLETE", "finished")
        assert "what it still had to say is dropped" in cut.said()
        assert workers.counts() == {"finished": 10, "interrupted": 1}
