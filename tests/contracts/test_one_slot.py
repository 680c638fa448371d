"""A sampler that learns in memory: one worker with one slot, on every backend."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.records import make_new_study
from tuner_service.domain.study import StudyRecord
from tuner_service.domain.worker import WorkerInfo
from tuner_service.errors import SpecError
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.worker.settings import WorkerSettings
from tuner_service.worker.supervisor import check_alone


class Remembering(optuna.samplers.RandomSampler):
    """Counts in memory what it has seen."""

    seen = 0

    def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
        """Count."""
        self.seen += 1


@pytest.fixture
def study(storage: LedgerStorage, monkeypatch: pytest.MonkeyPatch) -> StudyRecord:
    """Provide a study whose sampler keeps what it learns in its own attributes."""
    module = types.ModuleType("samplers_that_remember")
    vars(module)["Remembering"] = Remembering
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return storage.create_study(
        make_new_study(sampler={"kind": "custom", "path": "samplers_that_remember.Remembering"})
    )


def _check(
    storage: LedgerStorage,
    study: StudyRecord,
    worker_id: str,
    slots: int = 1,
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    """Have a worker look whether it is alone, and do something while it waits for a sign of life."""

    class Waiting(threading.Event):
        """Is waited for by a worker that is not to stop."""

        def wait(self, timeout: float | None = None) -> bool:
            meanwhile()
            return super().wait(min(timeout or 0.0, 0.05))

    settings = WorkerSettings("digits", Path(), ["-1"] * slots, worker_id=worker_id)
    check_alone(storage, study, settings, Waiting())


def _beat(storage: LedgerStorage, study: StudyRecord, worker_id: str, lease_s: float = 60.0) -> None:
    storage.beat(WorkerInfo(worker_id, study.study_id, "host", 7, 1, 0.0, 0.0, lease_s=lease_s), [])


def test_a_worker_with_several_slots_is_refused(storage: LedgerStorage, study: StudyRecord) -> None:
    """The error names what is kept, and what to do; other samplers may have as many as they like."""
    _check(storage, study, "w1")
    with pytest.raises(SpecError, match=r"keeps what it learns in memory \(seen\).*start this one with --slots 1"):
        _check(storage, study, "w1", slots=2)
    other = storage.create_study(make_new_study(name="other", sampler="tpe"))
    _check(storage, other, "w1", slots=2)


def test_a_second_worker_is_refused_until_the_first_is_gone(storage: LedgerStorage, study: StudyRecord) -> None:
    """Also before it has given a sign of life itself."""
    _beat(storage, study, "w1")
    with pytest.raises(SpecError, match="one worker with one slot only; w1 works on it"):
        _check(storage, study, "w2", meanwhile=lambda: _beat(storage, study, "w1"))
    storage.release("w1")
    _check(storage, study, "w2")


def test_a_worker_that_died_is_waited_for_until_its_lease_has_run_out(
    storage: LedgerStorage, study: StudyRecord
) -> None:
    """It never said goodbye: whoever is started in its place must not give up for good because of it."""
    _beat(storage, study, "w1", lease_s=0.3)
    waited: list[None] = []
    _check(storage, study, "w2", meanwhile=lambda: waited.append(None))
    assert waited


def test_of_two_workers_that_start_at_once_the_first_stays(storage: LedgerStorage, study: StudyRecord) -> None:
    """Each looks again after its first sign of life, by which the other sees it; nobody refuses both."""
    for worker_id in ("w2", "w1"):
        _beat(storage, study, worker_id)
    _check(storage, study, "w2")
    with pytest.raises(SpecError, match="w2 works on it"):
        _check(storage, study, "w1", meanwhile=lambda: _beat(storage, study, "w2"))


def test_whoever_is_told_to_stop_meanwhile_says_nothing(storage: LedgerStorage, study: StudyRecord) -> None:
    """It was no mistake, so that it may be started again."""
    _beat(storage, study, "w1")
    stopping = threading.Event()
    stopping.set()
    check_alone(storage, study, WorkerSettings("digits", Path(), ["-1"], worker_id="w2"), stopping)
