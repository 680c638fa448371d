"""An attempt that a worker has, on every backend: parameters, rungs, reports and its end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from tests.records import make_new_study
from tuner_service.bootstrap import open_storage
from tuner_service.domain.attempt import NewAttempt
from tuner_service.domain.outcome import Outcome, Reason
from tuner_service.domain.study import StudyRecord
from tuner_service.errors import StudyFileError, TrialLostError
from tuner_service.ledger.running import RunningAttempt
from tuner_service.search.space import merge
from tuner_service.storage.ledger_storage import LedgerStorage

_SPACE: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
    "units": IntDistribution(1, 10_000),
    "kind": CategoricalDistribution(["a", "b", None]),
}


@pytest.fixture
def storage(storage_url: str) -> Iterator[LedgerStorage]:
    """Provide an empty storage."""
    with closing(open_storage(storage_url)) as opened:
        opened.create_tables()
        yield opened


def _study(storage: LedgerStorage, **fields: Any) -> StudyRecord:
    return storage.create_study(make_new_study(**{"sampler": "random", **fields}))


def _run(storage: LedgerStorage, study: StudyRecord, new: NewAttempt, *, lease_s: float = 60.0) -> RunningAttempt:
    storage.insert_attempts(study.study_id, [new])
    claim = storage.claim(study.study_id, "w1", lease_s=lease_s, code="c0de")
    assert claim is not None
    return RunningAttempt(storage, study, claim, "w1")


def _draw(attempt: RunningAttempt) -> dict[str, Any]:
    return {name: attempt.suggest(name, distribution) for name, distribution in _SPACE.items()}


def test_a_study_draws_the_same_again_and_a_retry_repeats(storage: LedgerStorage) -> None:
    """Configurations differ, a study of the same seed repeats them, and a retry has what its configuration had."""
    drawn = []
    for name in ("first", "again"):
        study = _study(storage, name=name)
        attempts = [_run(storage, study, NewAttempt(configuration, 0)) for configuration in range(3)]
        drawn.append([_draw(attempt) for attempt in attempts])
    assert drawn[0] == drawn[1]
    assert len({one["rate"] for one in drawn[0]}) == 3
    last = attempts[-1]
    assert _draw(last) == drawn[1][2], "asked again it is the same"
    last.settle(Outcome(Reason.INTERRUPTED))
    retry = _run(storage, study, NewAttempt(2, 1, params_of=last.claim.trial_id))
    assert _draw(retry) == drawn[1][2]
    assert (retry.training_seed, retry.bracket) == (last.training_seed, last.bracket)


def test_rungs_are_judged_once_against_the_others(storage: LedgerStorage) -> None:
    """The better of two goes on; nobody is judged between rungs or at the end."""
    study = _study(storage, pruner="successive-halving")
    good, bad = (_run(storage, study, NewAttempt(configuration, 0)) for configuration in range(2))
    assert not good.should_prune(1, 0.9, [0.9])
    assert bad.should_prune(1, 0.5, [0.5])
    assert not bad.should_prune(1, 0.5, [0.5]), "a rung is judged once"
    assert not bad.should_prune(2, 0.1, [0.5, 0.1]), "there is no rung at two epochs"
    assert not bad.should_prune(9, 0.1, [0.1]), "at the end nobody is stopped"
    assert bad.should_prune(8, float("nan"), [0.1]), "what has diverged is stopped at the next rung"


def test_a_trial_that_stands_still_is_stopped_by_its_own_curve(storage: LedgerStorage) -> None:
    """Around another pruner patience keeps a trial going; its values at the rungs count for the others all the same."""
    study = _study(storage, pruner={"kind": "patient", "patience": 0, "wrapped": {"kind": "successive-halving"}})
    first, second = (_run(storage, study, NewAttempt(configuration, 0)) for configuration in range(2))
    assert not first.should_prune(1, 0.9, [0.9])
    assert not second.should_prune(1, 0.5, [0.5]), "one epoch is too short to tell"
    assert not first.should_prune(3, 0.95, [0.9, 0.9, 0.95])
    assert second.should_prune(3, 0.6, [0.5, 0.6, 0.5])
    assert set(storage.record_rung(study.study_id, bracket=0, epoch=1, configuration=2, value=0.1)) == {0, 1, 2}


def test_a_pruner_that_compares_nothing_records_nothing(storage: LedgerStorage) -> None:
    """A bound is checked without the storage."""
    study = _study(storage, pruner={"kind": "threshold", "lower": 0.3})
    attempt = _run(storage, study, NewAttempt(0, 0))
    assert attempt.should_prune(1, 0.2, [0.2])
    assert set(storage.record_rung(study.study_id, bracket=0, epoch=1, configuration=1, value=0.1)) == {1}


def test_reports_are_written_once(storage: LedgerStorage) -> None:
    """A report that is repeated after a lost reply changes nothing."""
    study = _study(storage)
    attempt = _run(storage, study, NewAttempt(0, 0))
    attempt.report(1, 1, 0.5)
    attempt.report(1, 1, 0.5)
    attempt.report(2, 2, 0.75)
    attempt.set_user_attr("note", "x")
    attempt.settle(Outcome(Reason.FINISHED, 0.75, epochs=2))
    (trial,) = storage.trials(study.study_id, curves=True)
    assert (trial.reported, trial.attributes) == ({1: 0.5, 2: 0.75}, {"note": "x", "reason": "finished"})


def test_running_out_of_memory_twice_is_infeasible(storage: LedgerStorage) -> None:
    """The first time is tried again, the second time counts."""
    study = _study(storage)
    first = _run(storage, study, NewAttempt(0, 0))
    assert first.settle(Outcome(Reason.OOM)).reason is Reason.OOM
    second = _run(storage, study, NewAttempt(0, 1, params_of=first.claim.trial_id))
    assert second.settle(Outcome(Reason.OOM)).reason is Reason.INFEASIBLE
    trials = optuna.load_study(study_name=study.name, storage=storage.optuna_storage()).trials
    assert [trial.constraints for trial in trials] == [{}, {"memory": 1.0}], "Optuna's samplers read it"


def test_tpe_avoids_what_was_infeasible(sqlite_url: str) -> None:
    """Most of a history ran out of memory after some epochs, beside a few trials that were complete or pruned early.

    TPE takes pruned trials that came far for good ones; it draws from that corner less once they are infeasible.
    """
    drawn = {}
    with closing(open_storage(sqlite_url)) as storage:
        storage.create_tables()
        for reason in (Reason.PRUNED, Reason.INFEASIBLE):
            study = _study(storage, name=str(reason), sampler={"kind": "tpe", "startup_trials": 5}, trials=100)
            for number in range(40):
                large = number >= 10
                x = 0.5 + (number - 10) / 60 if large else number / 20
                attempt = _run(storage, study, NewAttempt(number, 0, params={"x": x}))
                attempt.suggest("x", FloatDistribution(0, 1))
                attempt.report(5 if large else 1, 5 if large else 1, 0.5)
                ending = Outcome(reason) if large else Outcome(Reason.FINISHED if number < 2 else Reason.PRUNED, 0.5)
                attempt.settle(ending)
            fresh = [_run(storage, study, NewAttempt(number, 0)) for number in range(40, 70)]
            xs = [attempt.suggest("x", FloatDistribution(0, 1)) for attempt in fresh]
            drawn[reason] = sum(x >= 0.5 for x in xs)
    print(drawn)
    assert drawn[Reason.INFEASIBLE] < drawn[Reason.PRUNED] / 2


def test_a_trial_that_was_lost_takes_nothing_any_more(storage: LedgerStorage) -> None:
    """Parameters, reports and outcome are refused once the row has ended without this worker."""
    study = _study(storage)
    attempt = _run(storage, study, NewAttempt(0, 0), lease_s=0.01)
    time.sleep(0.05)
    assert storage.expire(attempt.claim.trial_id, Reason.INTERRUPTED)
    for call in (
        lambda: attempt.suggest("rate", _SPACE["rate"]),
        lambda: attempt.report(1, 1, 0.5),
        lambda: attempt.set_user_attr("note", "x"),
        lambda: attempt.settle(Outcome(Reason.FINISHED, 0.5)),
    ):
        with pytest.raises(TrialLostError):
            call()


def test_a_parameter_of_another_range_is_refused(storage: LedgerStorage) -> None:
    """What probing found is what trials have to keep to."""
    study = replace(_study(storage), space=merge({}, _SPACE))
    attempt = _run(storage, study, NewAttempt(0, 0))
    with pytest.raises(StudyFileError, match="parameter 'units' is"):
        attempt.suggest("units", IntDistribution(1, 5))
