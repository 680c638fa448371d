"""An attempt that a worker has, on every backend: parameters, rungs, reports and its end."""

from __future__ import annotations

import sys
import time
import types
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from tests.records import make_new_study
from tuner_service.bootstrap import open_storage
from tuner_service.domain.attempt import Attempt, NewAttempt, best_attempt
from tuner_service.domain.outcome import Failure, Outcome, Reason
from tuner_service.domain.study import StudyRecord
from tuner_service.errors import SpaceExhaustedError, StudyFileError, TrialLostError
from tuner_service.ledger import drawing
from tuner_service.ledger.history import Histories
from tuner_service.ledger.running import RunningAttempt
from tuner_service.search.space import merge
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.worker.outbox import Outbox

_SPACE: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
    "units": IntDistribution(1, 10_000),
    "kind": CategoricalDistribution(["a", "b", None]),
}


def _study(storage: LedgerStorage, **fields: Any) -> StudyRecord:
    return storage.create_study(make_new_study(**{"sampler": "random", **fields}))


def _run(
    storage: LedgerStorage,
    study: StudyRecord,
    new: NewAttempt,
    *,
    lease_s: float = 60.0,
    histories: Histories | None = None,
) -> RunningAttempt:
    storage.insert_attempts(study.study_id, [new])
    claim = storage.claim(study.study_id, "w1", lease_s=lease_s, code="c0de")
    assert claim is not None
    return RunningAttempt(storage, study, claim, "w1", histories=histories)


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
    assert retry.bracket == last.bracket


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


def test_a_script_is_judged_by_its_best_value(storage: LedgerStorage) -> None:
    """As a network is, and as Optuna's own pruners do; it says its latest one."""
    record = _study(storage, pruner={"kind": "median", "startup_trials": 1})
    study = replace(record, kind="objective")
    first, second, third = (_run(storage, study, NewAttempt(configuration, 0)) for configuration in range(3))
    assert not first.should_prune(2, 0.6, [0.5, 0.6])
    assert not second.should_prune(2, 0.55, [0.9, 0.55]), "0.9 was better than 0.6"
    assert third.should_prune(2, 0.7, [0.4, 0.7]), "the median of the others is 0.75"


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
    # As after a lost reply, when it is not known whether it was written.
    RunningAttempt(storage, study, attempt.claim, "w1").report(1, 1, 0.5)
    attempt.report(2, 2, 0.75)
    assert attempt.drawn()
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
    said = second.concluded(Outcome(Reason.OOM))
    assert said.reason is Reason.INFEASIBLE, "also where the worker dies, and another one delivers it"
    storage.settle(second.claim.trial_id, "w1", said)
    assert second.settle(Outcome(Reason.OOM)).reason is Reason.INFEASIBLE
    trials = optuna.load_study(study_name=study.name, storage=storage.optuna_storage()).trials
    assert [trial.constraints for trial in trials] == [{}, {"memory": 1.0}], "Optuna's samplers read it"


def test_tpe_avoids_what_was_infeasible(sqlite_url: str) -> None:
    """Most of a history ran out of memory after some epochs, the rest was pruned before.

    TPE takes pruned trials that came far for good ones; it draws from that corner less once they are infeasible.
    """
    drawn = {}
    with closing(open_storage(sqlite_url)) as storage:
        storage.create_tables()
        for reason in (Reason.PRUNED, Reason.INFEASIBLE):
            study = _study(
                storage,
                name=str(reason),
                sampler={"kind": "tpe", "startup_trials": 5, "constant_liar": False},
                trials=100,
            )
            for number in range(40):
                large = number >= 10
                x = 0.5 + (number - 10) / 60 if large else number / 20
                attempt = _run(storage, study, NewAttempt(number, 0, params={"x": x}))
                attempt.suggest("x", FloatDistribution(0, 1))
                attempt.report(5 if large else 1, 5 if large else 1, 0.5)
                attempt.settle(Outcome(reason if large else Reason.PRUNED))
            fresh = [_run(storage, study, NewAttempt(number, 0)) for number in range(40, 70)]
            # Written before the next one is drawn, as a child does it: TPE keeps away from what runs.
            xs = [(attempt.suggest("x", FloatDistribution(0, 1)), attempt.drawn())[0] for attempt in fresh]
            drawn[reason] = sum(x >= 0.5 for x in xs)
    print(drawn)
    assert drawn[Reason.INFEASIBLE] < drawn[Reason.PRUNED] / 2


def test_a_trial_that_was_lost_takes_nothing_any_more(storage: LedgerStorage) -> None:
    """Parameters, reports and outcome are refused once the row has ended without this worker."""
    study = _study(storage)
    attempt = _run(storage, study, NewAttempt(0, 0), lease_s=0.01)
    attempt.suggest("rate", _SPACE["rate"])
    time.sleep(0.05)
    assert storage.expire(attempt.claim.trial_id, Reason.INTERRUPTED)
    for call in (
        attempt.drawn,
        lambda: storage.record_reports(attempt.claim.trial_id, "w1", {1: 0.5}),
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


_FOUR: dict[str, BaseDistribution] = {
    "units": IntDistribution(32, 64, step=32),
    "share": FloatDistribution(0.0, 0.1, step=0.1),
}


def _draw_new(attempt: RunningAttempt, space: Mapping[str, BaseDistribution] = _FOUR) -> tuple[dict[str, Any], int]:
    """Do as the child does: ask again until the draw is the attempt's; return it and how often that was."""
    for draws in range(1, 100):
        drawn = {name: attempt.suggest(name, distribution) for name, distribution in space.items()}
        if attempt.drawn():
            return drawn, draws
    raise AssertionError("never ends")


@pytest.mark.parametrize("sampler", ["random", "tpe", {"kind": "nsga2", "population": 4}, {"kind": "cma-es"}])
def test_configurations_never_repeat_each_other(storage: LedgerStorage, sampler: Any) -> None:
    """A finite space is used up to its last cell, and then it is exhausted; whose draws were refused is not charged."""
    study = replace(_study(storage, sampler=sampler), space=merge({}, _FOUR))
    drawn = []
    for configuration in range(4):
        attempt = _run(storage, study, NewAttempt(configuration, 0))
        drawn.append(_draw_new(attempt)[0])
        attempt.settle(Outcome(Reason.FINISHED, 0.5))
    assert len({tuple(one.items()) for one in drawn}) == 4
    fifth = _run(storage, study, NewAttempt(4, 0))
    with pytest.raises(SpaceExhaustedError):
        _draw_new(fifth)
    fifth.settle(Outcome(Reason.EXHAUSTED))
    trials = storage.trials(study.study_id)
    assert [one.params for one in trials] == [*drawn, {}], "what was refused is written nowhere"


def test_a_repeated_draw_of_a_wide_range_is_drawn_at_random(
    storage: LedgerStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More whole numbers than are looked at one by one are no error of the study's code."""
    wide = {"units": IntDistribution(1, 1_000_000)}
    study = replace(_study(storage), space=merge({}, wide))
    monkeypatch.setattr(drawing, "MAX_REDRAWS", 1)
    write, taken = storage.record_draw, iter([False, False])
    monkeypatch.setattr(storage, "record_draw", lambda *a, **b: next(taken, None) is None and write(*a, **b))
    drawn, draws = _draw_new(_run(storage, study, NewAttempt(0, 0)), wide)
    assert draws == 3
    assert storage.trials(study.study_id)[0].params == drawn


class Stubborn(optuna.samplers.RandomSampler):
    """Draws the same rate again and again."""

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        """Return one value."""
        drawn = super().sample_independent(study, trial, param_name, param_distribution)
        return 0.01 if param_name == "rate" else drawn


def test_a_repeated_draw_is_drawn_again_twenty_times_then_at_random(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sampler that has nothing else to say costs no trial of the budget."""
    module = types.ModuleType("samplers_of_mine")
    vars(module)["Stubborn"] = Stubborn
    monkeypatch.setitem(sys.modules, module.__name__, module)
    space = {"rate": _SPACE["rate"]}
    with closing(open_storage(sqlite_url)) as storage:
        storage.create_tables()
        study = _study(storage, sampler={"kind": "custom", "path": "samplers_of_mine.Stubborn"})
        assert _draw_new(_run(storage, study, NewAttempt(0, 0)), space) == ({"rate": 0.01}, 1)
        drawn, draws = _draw_new(_run(storage, study, NewAttempt(1, 0)), space)
        assert draws == 1 + 20 + 1
        assert drawn["rate"] != 0.01
        assert [one.configuration for one in storage.attempts(study.study_id)] == [0, 1]


def test_a_draw_is_written_once_and_whole(storage: LedgerStorage) -> None:
    """Nothing before it is the attempt's; then all of it, with what the code said meanwhile of this network only."""
    study = replace(_study(storage), space=merge({}, _FOUR))
    first = _run(storage, study, NewAttempt(0, 0))
    _draw_new(first)
    second = _run(storage, study, NewAttempt(1, 0))
    draws = 0
    while True:
        draws += 1
        drawn = {name: second.suggest(name, distribution) for name, distribution in _FOUR.items()}
        second.set_user_attr(f"said in draw {draws}", draws)
        second.set_constraint("size", draws)
        assert storage.trials(study.study_id)[1].params == {}
        if second.drawn():
            break
    assert second.drawn(), "said again after a lost reply"
    (_, trial) = storage.trials(study.study_id)
    assert (trial.params, trial.attributes) == (drawn, {f"said in draw {draws}": draws})
    assert (trial.constraints, trial.attempt.feasible) == ({"size": draws}, False)
    assert second.suggest("late", FloatDistribution(0, 1)) == storage.trials(study.study_id)[1].params["late"]


def test_parameters_that_were_given_may_repeat(storage: LedgerStorage) -> None:
    """A point that a user asks for twice is tried twice, and a retry has what its configuration had."""
    study = replace(_study(storage), space=merge({}, _FOUR))
    given = {"units": 32, "share": 0.1}
    for configuration in range(2):
        attempt = _run(storage, study, NewAttempt(configuration, 0, params=given))
        assert _draw_new(attempt) == (given, 1)
        attempt.settle(Outcome(Reason.INTERRUPTED))
    retry = _run(storage, study, NewAttempt(1, 1, params_of=attempt.claim.trial_id))
    assert _draw_new(retry) == (given, 1)


def test_a_point_outside_the_space_is_an_error(storage: LedgerStorage) -> None:
    """Its value is not replaced by another."""
    attempt = _run(storage, _study(storage), NewAttempt(0, 0, params={"units": 33}))
    with pytest.raises(StudyFileError, match="units=33 was given to configuration 0; it is not in"):
        attempt.suggest("units", _FOUR["units"])


def test_a_retry_keeps_what_the_sampler_noted(storage: LedgerStorage) -> None:
    """With NSGA-II a retry belongs to the generation of its configuration, not to none."""
    study = replace(_study(storage, sampler={"kind": "nsga2", "population": 2}), space=merge({}, _FOUR))
    for configuration in range(2):
        attempt = _run(storage, study, NewAttempt(configuration, 0))
        _draw_new(attempt)
        attempt.settle(Outcome(Reason.FINISHED, float(configuration)))
    lost = _run(storage, study, NewAttempt(2, 0))
    drawn, _ = _draw_new(lost)
    lost.settle(Outcome(Reason.CRASHED))
    retry = _run(storage, study, NewAttempt(2, 1, params_of=lost.claim.trial_id))
    assert _draw_new(retry) == (drawn, 1)
    noted = [
        storage.optuna_storage().get_trial(one.claim.trial_id).system_attrs["NSGAIISampler:generation"]
        for one in (lost, retry)
    ]
    assert noted == [1, 1]


def test_what_failed_shows_its_parameters(storage: LedgerStorage) -> None:
    """Also where the study's code failed before all of them were drawn; a retry has the same."""
    study = _study(storage)
    attempt = _run(storage, study, NewAttempt(0, 0))
    rate = attempt.suggest("rate", _SPACE["rate"])
    attempt.settle(Outcome(Reason.ERROR, failure=Failure("ValueError", "no")))
    assert storage.trials(study.study_id)[0].params == {"rate": rate}
    retry = _run(storage, study, NewAttempt(0, 1, params_of=attempt.claim.trial_id))
    assert retry.suggest("rate", _SPACE["rate"]) == rate


def test_a_name_with_other_choices_is_refused(storage: LedgerStorage) -> None:
    """Optuna could not read the study any more."""
    study = _study(storage)
    for configuration, choices in enumerate((["a", "b"], ["a", "c"])):
        attempt = _run(storage, study, NewAttempt(configuration, 0))
        attempt.suggest("kind", CategoricalDistribution(choices))
        if configuration == 0:
            assert attempt.drawn()
        else:
            attempt.suggest("units", _SPACE["units"])
            with pytest.raises(StudyFileError, match=r"parameter 'kind' was .* in another trial") as refused:
                attempt.drawn()
    # It is the trial's error, not its worker's; what can stand beside the others is shown.
    outcome = Outcome(Reason.ERROR, failure=Failure("StudyFileError", str(refused.value)))
    assert attempt.settle(outcome) == outcome
    last = storage.trials(study.study_id)[-1]
    assert (last.attempt.reason, set(last.params)) == (Reason.ERROR, {"units"})


class Telling(optuna.samplers.RandomSampler):
    """Notes in the storage how its trials end."""

    def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
        """Note it."""
        study._storage.set_trial_system_attr(trial._trial_id, "told", [state.name, values, sorted(trial.params)])


@pytest.fixture
def told(storage: LedgerStorage, monkeypatch: pytest.MonkeyPatch) -> StudyRecord:
    """Provide a study whose sampler notes what it is told."""
    module = types.ModuleType("samplers_of_mine")
    vars(module)["Telling"] = Telling
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return _study(storage, sampler={"kind": "custom", "path": "samplers_of_mine.Telling"})


def _what_was_told(storage: LedgerStorage, attempt: RunningAttempt) -> object:
    return storage.optuna_storage().get_trial(attempt.claim.trial_id).system_attrs.get("told")


def test_a_sampler_by_its_name_is_told_how_it_went(storage: LedgerStorage, told: StudyRecord) -> None:
    """Its `after_trial` is called before the row becomes final, with all parameters of the trial, as by Optuna."""
    attempt = _run(storage, told, NewAttempt(0, 0))
    _draw_new(attempt)
    attempt.settle(Outcome(Reason.FINISHED, 0.5))
    assert _what_was_told(storage, attempt) == ["COMPLETE", [0.5], sorted(_FOUR)]


def test_a_sampler_is_told_by_whoever_delivers_what_a_worker_left(
    storage: LedgerStorage, told: StudyRecord, tmp_path: Path
) -> None:
    """The worker that trained died before the storage was back; what was another's meanwhile is not told."""
    outbox, others = Outbox(tmp_path, told.probe, tmp_path / "gone"), list[RunningAttempt]()
    for number, lease_s in enumerate((60.0, 0.01)):
        others.append(_run(storage, told, NewAttempt(number, 0), lease_s=lease_s))
        _draw_new(others[number], {"rate": _SPACE["rate"]})
        outbox.put(others[number].claim, "w1", Outcome(Reason.FINISHED, 0.5))
    time.sleep(0.05)
    assert storage.expire(others[1].claim.trial_id, Reason.INTERRUPTED)
    assert outbox.deliver(storage, told) == 1
    assert [_what_was_told(storage, one) for one in others] == [["COMPLETE", [0.5], ["rate"]], None]


def test_a_model_that_breaks_a_constraint_makes_way(storage: LedgerStorage) -> None:
    """A feasible trial's model is kept however good infeasible ones are, and not the other way round."""
    study = _study(storage)
    trials = [_run(storage, study, NewAttempt(configuration, 0)) for configuration in range(3)]
    for attempt, constraint in zip(trials, (1.0, 0.0, 2.0), strict=True):
        attempt.set_constraint("size", constraint)
    infeasible, feasible, another = trials
    assert infeasible.keep_model((0.9,))
    infeasible.settle(Outcome(Reason.FINISHED, 0.9))
    assert feasible.keep_model((0.5,))
    feasible.settle(Outcome(Reason.FINISHED, 0.5))
    assert not another.keep_model((0.95,))
    best = best_attempt(storage.attempts(study.study_id), "maximize")
    assert best is not None
    assert best.configuration == 1


def test_a_constraint_of_a_draw_that_was_refused_does_not_count(storage: LedgerStorage) -> None:
    """It was broken by a network that is not trained, so that the model of the next one is kept."""
    elsewhere = _run(storage, _study(storage, name="elsewhere"), NewAttempt(1, 0))
    to_come = {name: elsewhere.suggest(name, one) for name, one in _FOUR.items()}
    study = replace(_study(storage), space=merge({}, _FOUR))
    first, second = _run(storage, study, NewAttempt(0, 0, params=to_come)), _run(storage, study, NewAttempt(1, 0))
    _draw_new(first)
    first.settle(Outcome(Reason.FINISHED, 0.5))
    assert {name: second.suggest(name, one) for name, one in _FOUR.items()} == to_come
    second.set_constraint("size", 1.0)
    assert not second.drawn()
    _draw_new(second)
    assert second.keep_model((0.9,))


def test_what_is_reported_of_a_measured_objective_stays_here(storage: LedgerStorage) -> None:
    """An epoch has an accuracy, the trial a size: what was reported is no value of it."""
    study = _study(storage, metric="parameters", prune_on="val_accuracy", pruner="median")
    attempt = _run(storage, study, NewAttempt(0, 0))
    attempt.report(1, 1, 0.5)
    attempt.settle(Outcome(Reason.PRUNED, 0.5, epochs=1))
    (trial,) = storage.trials(study.study_id, curves=True)
    assert (trial.attempt.value, trial.reported) == (None, {})


def test_a_trial_stops_between_runs_where_it_is_worse_than_the_best(storage: LedgerStorage) -> None:
    """A configuration's values are recorded once, whichever attempt had them, apart from what epochs are judged by."""
    study = _study(storage, pruner="wilcoxon", executions=6)
    best, other = (_run(storage, study, NewAttempt(configuration, 0)) for configuration in range(2))
    values = [0.9, 0.8, 0.9, 0.85, 0.9, 0.8]
    assert not any(best.should_stop_after(values[: run + 1]) for run in range(6)), "there is nothing to compare with"
    best.drawn()
    best.settle(Outcome(Reason.FINISHED, sum(values) / 6, epochs=54))
    worse = [value - 0.1 for value in values]
    assert [other.should_stop_after(worse[: run + 1]) for run in range(5)] == [False, False, False, True, True]
    assert not other.should_stop_after(worse), "nothing is saved after the last run"
    other.settle(Outcome(Reason.INTERRUPTED))
    again = _run(storage, study, NewAttempt(1, 1, params_of=other.claim.trial_id))
    assert again.should_stop_after([1.0] * 4), "the first values of a configuration count"
    assert storage.record_rung(study.study_id, bracket=0, epoch=0, configuration=5, value=0.0) == {5: 0.0}


def test_models_of_the_best_so_many_are_kept(storage: LedgerStorage) -> None:
    """One that falls behind is displaced by the trial that beat it; one that was never among them displaces none."""
    study = _study(storage, keep_models=2)
    displaced = []
    for number, value in enumerate([0.5, 0.7, 0.6, 0.4, 0.9]):
        attempt = _run(storage, study, NewAttempt(number, 0))
        _draw(attempt)
        kept = attempt.keep_model((value,))
        attempt.settle(Outcome(Reason.FINISHED, value=value))
        displaced.append((kept, [one.number for one in attempt.displaced()]))
    assert displaced == [(True, []), (True, []), (True, [0]), (False, []), (True, [2])]


def test_a_worker_does_not_read_a_study_anew_for_each_trial(
    storage: LedgerStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which models are displaced, and what came before a retry, is told from what has changed since it last read."""
    study, histories, read = _study(storage), Histories(storage), list[int]()
    attempts = storage.attempts

    def counted(study_id: int, **which: Any) -> list[Attempt]:
        found = attempts(study_id, **which)
        read.append(len(found))
        return found

    monkeypatch.setattr(storage, "attempts", counted)
    for number in range(4):
        attempt = _run(storage, study, NewAttempt(number, 0), histories=histories)
        assert attempt.keep_model((number / 10,))
        attempt.settle(Outcome(Reason.FINISHED, number / 10))
        attempt.displaced()
    failed = _run(storage, study, NewAttempt(4, 0), histories=histories)
    failed.settle(Outcome(Reason.OOM))
    retry = _run(storage, study, NewAttempt(4, 1, params_of=failed.claim.trial_id), histories=histories)
    assert retry.ran_out_of_memory_before
    assert [one.number for one in retry.predecessors()] == [4]
    assert max(read) <= 2
