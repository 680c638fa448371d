"""Stopping rules on every backend: kept by the claims, found by whoever reconciles, changed while a study is there."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from tests.records import make_new_study, make_spec
from tuner_service.bootstrap import open_storage
from tuner_service.coordinator.control import resume
from tuner_service.coordinator.studies import extend
from tuner_service.domain.attempt import NewAttempt
from tuner_service.domain.outcome import Outcome, Reason, State
from tuner_service.domain.revision import revised
from tuner_service.domain.study import Control, Ending, StudyRecord
from tuner_service.errors import SpecError, StoppedByRuleError, StudyExistsError
from tuner_service.ledger.reconcile import reconcile
from tuner_service.storage.ledger_storage import Claim, LedgerStorage

_WORKERS = 4


def _study(storage: LedgerStorage, **fields: Any) -> StudyRecord:
    storage.create_study(make_new_study(**fields))
    return reconcile(storage, "digits")


def _claim(storage: LedgerStorage, study: StudyRecord) -> Claim | None:
    reconcile(storage, study.name)
    return storage.claim(study.study_id, "w1", lease_s=60.0, code="c0de")


def _run(storage: LedgerStorage, study: StudyRecord, value: float, *, epochs: int = 9) -> None:
    claim = _claim(storage, study)
    assert claim is not None
    storage.settle(claim.trial_id, "w1", Outcome(Reason.FINISHED, value, epochs=epochs))


def test_claims_at_once_never_take_more_epochs_than_there_are(storage: LedgerStorage, storage_url: str) -> None:
    """Four workers claim twelve rows of nine epochs each: five fit into 50 epochs, and five are claimed."""
    study = _study(storage, trials=12, max_epochs=9, stop={"epochs": 50})
    storage.insert_attempts(study.study_id, [NewAttempt(one, 0) for one in range(12)])
    together = threading.Barrier(_WORKERS)

    def claim_all(worker_id: str) -> int:
        claimed = 0
        with closing(open_storage(storage_url)) as own:
            own.check_tables()
            together.wait(timeout=60)
            while own.claim(study.study_id, worker_id, lease_s=60.0, code="c0de") is not None:
                claimed += 1
        return claimed

    with ThreadPoolExecutor(_WORKERS) as pool:
        claimed = list(pool.map(claim_all, [f"w{number}" for number in range(_WORKERS)]))
    assert sum(claimed) == 5, claimed
    # One that is stopped early leaves room for another, and no more.
    running = [one for one in storage.attempts(study.study_id) if one.state is State.RUNNING]
    assert running[0].owner is not None
    storage.settle(running[0].trial_id, running[0].owner, Outcome(Reason.PRUNED, 0.1, epochs=3))
    assert _claim(storage, study) is not None
    assert _claim(storage, study) is None


def test_nothing_starts_once_a_rule_holds(storage: LedgerStorage) -> None:
    """Not even a row that waited before, and nobody need have reconciled; then the study ends and says by which."""
    study = _study(storage, stop={"target": 0.9})
    _run(storage, study, 0.95)
    assert any(one.state is State.WAITING for one in storage.attempts(study.study_id))
    assert storage.claim(study.study_id, "w1", lease_s=60.0, code="c0de") is None
    ended = reconcile(storage, study.name)
    assert (ended.ending, ended.ending_message) == (
        Ending.FINISHED,
        "stop.target=0.9: trial 0 reached val_accuracy 0.95",
    )
    assert all(one.state.final for one in storage.attempts(study.study_id))


def test_running_trials_are_cancelled_where_the_rule_says_so(storage: LedgerStorage) -> None:
    """Their workers hear of it as of a user's cancelling, and the study has finished all the same."""
    study = _study(storage, stop={"target": 0.9, "running": "cancel"})
    other = _claim(storage, study)
    assert other is not None
    _run(storage, study, 0.95)
    assert reconcile(storage, study.name).control is Control.CANCEL
    storage.settle(other.trial_id, "w1", Outcome(Reason.CANCELLED))
    assert reconcile(storage, study.name).ending is Ending.FINISHED


def test_a_claim_is_timed_from_the_storage(storage: LedgerStorage) -> None:
    """Hours on devices are counted from it."""
    study = _study(storage)
    claim = _claim(storage, study)
    assert claim is not None
    (running,) = [one for one in storage.attempts(study.study_id) if one.state is State.RUNNING]
    assert running.claimed_at == pytest.approx(claim.claimed_at)


def test_another_limit_lets_a_study_go_on(storage: LedgerStorage) -> None:
    """Resumed as it is it would end again; with a larger limit it goes on where it was."""
    study = _study(storage, max_epochs=9, stop={"epochs": 10, "running": "cancel"})
    _run(storage, study, 0.5)
    assert reconcile(storage, study.name).ending is Ending.FINISHED
    for change in (lambda: resume(storage, study.name), lambda: extend(storage, study.name, 40)):
        with pytest.raises(StoppedByRuleError, match=r"end again at once by stop.epochs=10: 9 are trained.*extend"):
            change()
    assert extend(storage, study.name, changes={"stop": {"epochs": 18}}).ending is None
    _run(storage, study, 0.6)
    assert _claim(storage, study) is None
    after = storage.study(study.name)
    assert (after.ending, after.spec.stop.epochs, after.spec.stop.running) == (Ending.FINISHED, 18, "cancel")
    assert extend(storage, study.name, changes={"stop": {"epochs": None}}).ending is None
    assert _claim(storage, study) is not None


def test_time_is_given_anew_to_a_study_that_is_resumed(storage: LedgerStorage) -> None:
    """As for want of progress; it needs no larger limit."""
    study = _study(storage, stop={"patience": 1})
    _run(storage, study, 0.5)
    _run(storage, study, 0.4)
    assert reconcile(storage, study.name).ending is Ending.FINISHED
    assert resume(storage, study.name).ending is None
    _run(storage, study, 0.3)
    assert reconcile(storage, study.name).ending is Ending.FINISHED


def test_a_specification_is_replaced_by_one_that_means_the_same(storage: LedgerStorage) -> None:
    """What was planned from the one before does not end or cancel the study any more."""
    seen = _study(storage, stop={"hours": 1})
    spec = revised(seen.spec, make_spec(stop={"hours": 2}, trials=99))
    assert (spec.trials, spec.stop.hours) == (seen.spec.trials, 2)
    storage.revise_study(seen.study_id, spec)
    assert storage.study(seen.name).spec == spec
    assert not storage.end_study(seen.study_id, Ending.FINISHED, seen=seen)
    storage.set_control(seen.study_id, Control.CANCEL, seen=seen)
    now = storage.study(seen.name)
    assert (now.ending, now.control) == (None, Control.RUN)
    storage.set_control(seen.study_id, Control.CANCEL, "stop.hours=2", seen=now)
    now = storage.study(seen.name)
    assert (now.ending, now.control, now.ending_message) == (None, Control.CANCEL, "stop.hours=2")
    storage.set_control(seen.study_id, Control.RUN)
    assert storage.study(seen.name).ending_message == "", "its user has thought otherwise"


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        pytest.param({}, SpecError, "say what to enlarge", id="nothing"),
        pytest.param({"seed": 3}, StudyExistsError, "seed: recorded 0, received 3", id="what trials mean"),
        pytest.param({"stop": {"hour": 3}}, SpecError, "Did you mean 'hours'", id="a misspelt rule"),
    ],
)
def test_only_stopping_rules_can_be_changed(
    sqlite_url: str, changes: dict[str, object], error: type[Exception], message: str
) -> None:
    """Everything else is refused with what it is, and nothing is changed."""
    with closing(open_storage(sqlite_url)) as storage:
        storage.create_tables()
        study = _study(storage)
        with pytest.raises(error, match=message):
            extend(storage, study.name, changes=changes)
        assert storage.study(study.name) == study
