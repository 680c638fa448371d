"""A sampler that learns in memory: one worker with one slot, on every backend."""

from __future__ import annotations

import sys
import types
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


def _settings(worker_id: str, slots: int = 1) -> WorkerSettings:
    return WorkerSettings("digits", Path(), ["-1"] * slots, worker_id=worker_id)


def _beat(storage: LedgerStorage, study: StudyRecord, worker_id: str) -> None:
    storage.beat(WorkerInfo(worker_id, study.study_id, "host", 7, 1, 0.0, 0.0, lease_s=60.0), [])


def test_a_worker_with_several_slots_is_refused(storage: LedgerStorage, study: StudyRecord) -> None:
    """The error names what is kept, and what to do; other samplers may have as many as they like."""
    check_alone(storage, study, _settings("w1"))
    with pytest.raises(SpecError, match=r"keeps what it learns in memory \(seen\).*start this one with --slots 1"):
        check_alone(storage, study, _settings("w1", slots=2))
    other = storage.create_study(make_new_study(name="other", sampler="tpe"))
    check_alone(storage, other, _settings("w1", slots=2))


def test_a_second_worker_is_refused_until_the_first_is_gone(storage: LedgerStorage, study: StudyRecord) -> None:
    """Also before it has given a sign of life itself."""
    _beat(storage, study, "w1")
    with pytest.raises(SpecError, match="one worker with one slot only; w1 works on it"):
        check_alone(storage, study, _settings("w2"))
    storage.release("w1")
    check_alone(storage, study, _settings("w2"))


def test_of_two_workers_that_start_at_once_the_first_stays(storage: LedgerStorage, study: StudyRecord) -> None:
    """Each looks again after its first sign of life, by which the other sees it; nobody refuses both."""
    for worker_id in ("w2", "w1"):
        _beat(storage, study, worker_id)
    check_alone(storage, study, _settings("w2"))
    with pytest.raises(SpecError, match="w2 works on it"):
        check_alone(storage, study, _settings("w1"))
