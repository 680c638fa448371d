"""Studies of several objectives on every backend: their values, Optuna's view of them, what is kept and collected."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution

from tests.records import make_new_study, make_spec
from tuner_service.coordinator.collect import collect
from tuner_service.coordinator.points import points_of
from tuner_service.domain.outcome import Outcome, Reason, State
from tuner_service.domain.provenance import Provenance
from tuner_service.domain.study import StudyRecord
from tuner_service.errors import NotInStudyError
from tuner_service.ledger.reconcile import reconcile
from tuner_service.ledger.running import RunningAttempt
from tuner_service.results import trials as reading
from tuner_service.search.space import merge
from tuner_service.storage.artifacts import Artifacts, trial_folder
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.training.assignment import MODEL_FILE
from tuner_service.training.inspection import Inspection

_RATE = FloatDistribution(0.0, 1.0)


def _study(storage: LedgerStorage, artifacts: Path, **fields: Any) -> StudyRecord:
    given = {"metric": ["val_accuracy", "parameters"], "sampler": "tpe", "trials": 30, **fields}
    storage.create_study(replace(make_new_study(**given), space={}, artifacts=str(artifacts)))
    return reconcile(storage, "digits")


def _run(storage: LedgerStorage, study: StudyRecord) -> RunningAttempt:
    reconcile(storage, study.name)
    claim = storage.claim(study.study_id, "w1", lease_s=60.0, code="c0de")
    assert claim is not None
    attempt = RunningAttempt(storage, study, claim, "w1")
    attempt.suggest("rate", _RATE)
    return attempt


def _end(storage: LedgerStorage, study: StudyRecord, *values: float) -> bool:
    """Train a trial to these values, and return whether its model was kept."""
    attempt = _run(storage, study)
    kept = attempt.keep_model(values)
    if kept:
        file = Path(study.artifacts).parent / "model"
        file.write_text("weights")
        Artifacts(study.artifacts, study.name).put(file, f"{trial_folder(attempt.claim.number)}/{MODEL_FILE}")
    attempt.settle(Outcome(Reason.FINISHED, values[0], others=values[1:], epochs=3))
    return kept


def test_all_values_are_read_back_and_are_optunas(storage: LedgerStorage, tmp_path: Path) -> None:
    """Optuna's study has the directions and names, its trials the values, and the same front."""
    study = _study(storage, tmp_path / "artifacts")
    points = [(0.5, 100.0), (0.9, 300.0), (0.7, 300.0), (0.4, 100.0), (0.6, 200.0)]
    for one in points:
        _end(storage, study, *one)
    done = [one for one in storage.attempts(study.study_id) if one.state is State.COMPLETE]
    assert [one.values for one in done] == points
    assert [one.attempt.values for one in storage.trials(study.study_id)][:5] == points
    theirs = optuna.load_study(study_name=study.name, storage=storage.optuna_storage())
    assert [one.name for one in theirs.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert theirs.metric_names == ["val_accuracy", "parameters"]
    ours = reading.front(storage, study.name)
    assert [one.trial.attempt.values for one in ours] == [(0.9, 300.0), (0.6, 200.0), (0.5, 100.0)]
    assert {one.trial.attempt.number for one in ours} == {one.number for one in theirs.best_trials}


def test_stopped_trials_have_no_values_and_samplers_go_on(storage: LedgerStorage, tmp_path: Path) -> None:
    """Their reports are kept from Optuna, which refuses them; TPE draws on from complete and stopped ones alike."""
    study = _study(storage, tmp_path / "artifacts", pruner="median", sampler={"kind": "tpe", "startup_trials": 2})
    for number in range(4):
        _end(storage, study, 0.9 - number / 10, 100.0)
    attempt = _run(storage, study)
    attempt.report(1, 1, 0.1)
    # As the worker keeps it on its disk, from where another one may deliver it.
    storage.settle(attempt.claim.trial_id, "w1", attempt.concluded(Outcome(Reason.PRUNED, 0.1, epochs=1)))
    row = next(one for one in storage.attempts(study.study_id) if one.trial_id == attempt.claim.trial_id)
    assert (row.state, row.values, row.reason) == (State.PRUNED, (), Reason.PRUNED)
    theirs = optuna.load_study(study_name=study.name, storage=storage.optuna_storage())
    assert theirs.trials[row.number].intermediate_values == {}
    assert 0.0 <= _run(storage, study).suggest("rate", _RATE) <= 1.0


def test_pruning_goes_by_the_metric_that_is_judged(storage: LedgerStorage, tmp_path: Path) -> None:
    """In its own direction: a loss is better if it is smaller, although the first objective is maximized."""
    study = _study(storage, tmp_path / "artifacts", pruner={"kind": "median", "startup_trials": 1}, prune_on="val_loss")
    assert not _run(storage, study).should_prune(1, 0.5, (0.5,))
    assert not _run(storage, study).should_prune(1, 0.4, (0.4,))
    assert _run(storage, study).should_prune(1, 0.9, (0.9,))


def test_models_of_the_front_are_kept_and_others_collected(storage: LedgerStorage, tmp_path: Path) -> None:
    """One is kept where nothing dominates it; what is dominated later is collected. An export needs a choice."""
    study = _study(storage, tmp_path / "artifacts")
    kept = [_end(storage, study, *one) for one in [(0.5, 200.0), (0.9, 300.0), (0.4, 250.0), (0.6, 100.0)]]
    assert kept == [True, True, False, True]
    assert collect(storage, study.name).models == 1
    assert [one.has_model for one in reading.front(storage, study.name)] == [True, True]
    first, second = (one.trial.attempt.number for one in reading.front(storage, study.name))
    with pytest.raises(NotInStudyError, match=f"2 objectives, and the front the trials {first}, {second}; name one"):
        reading.best(storage, study.name)
    assert reading.best(storage, study.name, second).trial.attempt.values == (0.6, 100.0)
    waiting = next(one.number for one in storage.attempts(study.study_id) if one.state is State.WAITING)
    with pytest.raises(NotInStudyError, match="is not complete, but waiting"):
        reading.best(storage, study.name, waiting)


def test_another_study_starts_from_the_front(storage: LedgerStorage, tmp_path: Path) -> None:
    """From its best by the first objective on; what is dominated, or breaks a constraint, comes last."""
    study = _study(storage, tmp_path / "artifacts")
    rates = {}
    for values, constraint in [((0.5, 300.0), 0.0), ((0.9, 300.0), 0.0), ((0.4, 100.0), 0.0), ((0.99, 50.0), 1.0)]:
        attempt = _run(storage, study)
        rates[values[0]] = attempt.suggest("rate", _RATE)
        attempt.set_constraint("size", constraint)
        attempt.settle(Outcome(Reason.FINISHED, values[0], others=values[1:], epochs=3))
    spec = make_spec(name="next", warm_start=["digits"])
    inspection = Inspection(spec, "build_model", [], Provenance())
    points = points_of(storage, inspection, merge({}, {"rate": _RATE}))
    assert [one.params["rate"] for one in points] == [rates[one] for one in (0.9, 0.4, 0.5, 0.99)]


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        pytest.param("nsga2", "NSGAIISampler:generation", id="NSGA-II"),
        pytest.param("nsga3", "NSGAIIISampler:generation", id="NSGA-III"),
    ],
)
def test_a_generation_has_children_of_its_parents_with_several_workers(
    storage: LedgerStorage, tmp_path: Path, kind: str, key: str
) -> None:
    """Three workers train at a time, and the second generation takes its values from the first."""
    sampler = {"kind": kind, "population": 6, "mutation_probability": 0.0, "swapping_probability": 0.0}
    study = _study(storage, tmp_path / "artifacts", sampler=sampler, metric=["val_loss", "parameters"], trials=12)
    space = {"x": FloatDistribution(0.0, 1.0), "y": FloatDistribution(0.0, 1.0)}
    drawn: list[dict[str, float]] = []
    for _ in range(4):
        running = []
        for worker_id in ("w1", "w2", "w3"):
            reconcile(storage, study.name)
            claim = storage.claim(study.study_id, worker_id, lease_s=60.0, code="c0de")
            assert claim is not None
            attempt = RunningAttempt(storage, study, claim, worker_id)
            params = {name: attempt.suggest(name, one) for name, one in space.items()}
            assert attempt.drawn(repeats=True)
            running.append((attempt, params))
        for attempt, params in running:
            # Both are best at zero, so that the front is one trial, and the order of all is known.
            attempt.settle(Outcome(Reason.FINISHED, params["x"], others=(params["x"],), epochs=1))
            drawn.append(params)
    notes = [one.system_attrs.get(key) for one in _optuna_trials(storage, study)][:12]
    assert notes == [0] * 6 + [1] * 6
    first, second = drawn[:6], drawn[6:]
    for one in second:
        for name in space:
            assert any(abs(one[name] - parent[name]) < 1e-9 for parent in first), "it is of no parent"


def _optuna_trials(storage: LedgerStorage, study: StudyRecord) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=study.name, storage=storage.optuna_storage()).trials
