"""The worker's signs of life."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
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
        self.control = Control.RUN

    def beat(self, _worker: WorkerInfo, _progress: list[Progress]) -> Heard:
        """Count."""
        self._count += 1
        control = self.control
        self._meanwhile(self._count)
        self.beats.release()
        return Heard(frozenset(), control, ended=False)

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


def test_a_worker_whose_outcome_waits_gives_nothing_away() -> None:
    """Its leases run out by themselves; before, the next worker of its machine may record what waits."""
    storage: Any = FakeStorage()
    lease = LeaseKeeper(storage, make_study(), _SETTINGS)
    lease.start()
    lease.stop(hands_back=False)
    assert not lease.is_alive()
    assert not storage.released.is_set()


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


def _attempt(trial_id: int) -> Any:
    return SimpleNamespace(claim=SimpleNamespace(trial_id=trial_id), progress_now=Progress(trial_id, 0, None))


def test_what_is_claimed_after_a_cancellation_is_not_cancelled() -> None:
    """A study that goes on at once gives out trials before the next beat, and while one is under way."""
    ran, meanwhile, later = (_attempt(trial_id) for trial_id in range(3))
    storage: Any = FakeStorage(lambda _: lease.hold(meanwhile))
    lease = LeaseKeeper(storage, make_study(), _SETTINGS)
    lease.hold(ran)
    storage.control = Control.CANCEL
    lease.beat()
    storage.control = Control.RUN
    lease.hold(later)
    cancelled = [lease.is_cancelled(one) for one in (ran, meanwhile, later)]
    assert cancelled == [True, False, False]
    lease.beat()
    assert [lease.is_cancelled(one) for one in (ran, meanwhile, later)] == cancelled, "it does not forget"
    lease.let_go(ran)
    assert not lease.is_cancelled(ran)
