"""The worker's signs of life."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.records import make_study
from tuner_service.domain.study import Control
from tuner_service.domain.worker import Progress, WorkerInfo
from tuner_service.errors import StorageError, StorageUnavailableError
from tuner_service.ledger.history import Histories
from tuner_service.storage.ledger_storage import Heard
from tuner_service.worker.lease import LeaseKeeper
from tuner_service.worker.reconciler import Reconciler
from tuner_service.worker.settings import WorkerSettings

_SETTINGS = WorkerSettings("digits", Path(), ["-1"], worker_id="w1", beat_s=0.01, lease_s=60.0)


class FakeStorage:
    """Counts beats, each of which may do something else, and is looked at for as long as a test likes."""

    def __init__(self, meanwhile: Callable[[int], object] = lambda _: None) -> None:
        self._meanwhile = meanwhile
        self.beats = threading.Semaphore(0)
        self.released = threading.Event()
        self.looking, self.may_answer = threading.Event(), threading.Event()
        self._count = 0

    def beat(self, _worker: WorkerInfo, _progress: list[Progress]) -> Heard:
        """Count."""
        self._count += 1
        self._meanwhile(self._count)
        self.beats.release()
        return Heard(frozenset(), Control.RUN, ended=False)

    def release(self, _worker_id: str) -> None:
        """Take note of a goodbye."""
        self.released.set()

    def take_turn(self, _study_id: int, _period_s: float) -> bool:
        """Let it reconcile."""
        return True

    def study(self, _name: str) -> object:
        """Answer when the test lets it."""
        self.looking.set()
        self.may_answer.wait(30)
        raise StorageError("it took too long")

    @contextmanager
    def of_a_worker(self) -> Iterator[None]:
        """Keep both threads of a worker going."""
        storage: Any = self
        lease = LeaseKeeper(storage, make_study(), _SETTINGS)
        reconciler = Reconciler(storage, make_study(), 0.01, lease.beaten, Histories(storage))
        for thread in (lease, reconciler):
            thread.start()
        yield
        self.may_answer.set()
        for stopping in (reconciler, lease):
            stopping.stop()


def test_a_beat_waits_for_no_look_at_the_study() -> None:
    """A look at a large study, or one that waits for a lock, takes as long as it takes."""
    storage = FakeStorage()
    with storage.of_a_worker():
        assert storage.looking.wait(30)
        for _ in range(5):
            assert storage.beats.acquire(timeout=30)
        assert not storage.may_answer.is_set()
    assert storage.released.is_set()


def test_a_beat_that_fails_is_followed_by_the_next() -> None:
    """Whatever was wrong with it: without beats a worker loses all that it trains."""

    def fail(count: int) -> None:
        if count <= 2:
            raise [StorageUnavailableError("away"), ValueError("a mistake")][count - 1]

    storage = FakeStorage(fail)
    with storage.of_a_worker():
        assert storage.beats.acquire(timeout=30)


def test_nobody_judges_leases_before_its_own_beat_got_through() -> None:
    """After an outage a worker would otherwise give its own trials away."""
    looked: list[bool] = []

    def fail(count: int) -> None:
        if count <= 5:
            looked.append(storage.looking.is_set())
            raise StorageUnavailableError("away")

    storage = FakeStorage(fail)
    with storage.of_a_worker():
        assert storage.looking.wait(30)
    assert looked == [False] * 5
