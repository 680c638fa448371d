"""What a study is expected to take, before it starts."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from tests.records import make_spec
from tuner_service.domain.forecast import Forecast, forecast
from tuner_service.domain.pruner import rung_epochs
from tuner_service.domain.spec import StudySpec


def _forecast(spec: StudySpec, *, slots: int = 1) -> Forecast:
    assert spec.trials is not None
    return forecast(spec, spec.trials, slots=slots)


def test_without_pruning_every_epoch_is_trained() -> None:
    """Configurations times epochs, and on several slots as many rounds as it takes."""
    ahead = _forecast(make_spec(trials=10, max_epochs=7), slots=4)
    assert (ahead.epochs_unpruned, ahead.epochs, ahead.epochs_range) == (70, 70, (70, 70))
    assert ahead.longest == 3 * 7
    assert [(one.epochs, one.reached) for one in ahead.rungs] == [(7, 10)]


def test_all_runs_of_a_configuration_are_counted() -> None:
    """Who gets through the first, which the pruner judges, is trained as often as the study says."""
    assert _forecast(make_spec(trials=4, max_epochs=5, executions=3)).epochs == 4 * 5 * 3
    once, often = (_forecast(make_spec(trials=20, pruner="successive-halving", executions=runs)) for runs in (1, 5))
    assert often.epochs == pytest.approx(once.epochs + 4 * 9 * once.rungs[-1].reached)


def test_what_was_settled_is_left_out() -> None:
    """A forecast may be of fewer configurations than the budget, and of none."""
    assert forecast(make_spec(trials=10), 3, slots=1).epochs_unpruned == 27
    assert forecast(make_spec(trials=10), 0, slots=1).epochs == 0


@pytest.mark.parametrize(
    ("sampler", "drawn"),
    [
        pytest.param("tpe", 10, id="ten before the model"),
        pytest.param({"kind": "tpe", "startup_trials": 90}, 40, id="never more than there are"),
        pytest.param("nsga2", 40, id="the first generation"),
        pytest.param("random", None, id="a sampler without a model"),
    ],
)
def test_random_configurations_are_counted(sampler: Any, drawn: int | None) -> None:
    """Of forty."""
    assert _forecast(make_spec(trials=40, sampler=sampler), slots=1).random == drawn


@pytest.mark.parametrize("slots", [1, 8])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_the_first_rung_lets_as_many_pass_as_chance_does(factor: int, slots: int) -> None:
    """The k-th to arrive is among the best ``k // factor``, at least one, of k with that share of k; these add up."""
    trials, top = 60, factor**3
    spec = make_spec(trials=trials, max_epochs=top, pruner={"kind": "successive-halving", "reduction_factor": factor})
    passed = next(one.reached for one in _forecast(spec, slots=slots).rungs if one.epochs == factor)
    expected = sum(max(arrived // factor, 1) / arrived for arrived in range(1, trials + 1))
    assert passed == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize(
    ("trials", "max_epochs", "pruner"),
    [
        pytest.param(40, 27, {"kind": "hyperband"}, id="one bracket"),
        pytest.param(90, 27, {"kind": "hyperband", "brackets": None}, id="all brackets"),
        pytest.param(60, 81, {"kind": "successive-halving", "min_epochs": 3}, id="a higher start"),
    ],
)
def test_expected_epochs_are_those_of_another_simulation(trials: int, max_epochs: int, pruner: dict[str, Any]) -> None:
    """Values that keep their order from rung to rung, judged one configuration after another: within a quarter."""
    spec = make_spec(trials=trials, max_epochs=max_epochs, pruner=pruner)
    totals = []
    for seed in range(30):
        dice, seen, total = random.Random(seed), dict[tuple[int, int], list[float]](), 0
        for configuration in range(trials):
            bracket, value = spec.pruner.bracket_of(configuration, max_epochs, spec.seed), dice.random()
            for epoch in (*spec.pruner.rungs(bracket, max_epochs), max_epochs):
                others = seen.setdefault((bracket, epoch), [])
                stop = epoch == max_epochs or spec.pruner.should_prune(value, others, [value], "maximize")
                others.append(value)
                if stop:
                    total += epoch
                    break
        totals.append(total)
    assert _forecast(spec, slots=1).epochs == pytest.approx(sum(totals) / len(totals), rel=0.25)


def test_a_large_study_goes_on_as_its_second_half_did() -> None:
    """What is not simulated is in the sums all the same."""
    spec = make_spec(trials=2000, max_epochs=9, pruner="successive-halving")
    ahead = _forecast(spec, slots=10)
    assert ahead.rungs[0].reached == pytest.approx(2000)
    assert ahead.epochs == pytest.approx(10 * forecast(spec, 200, slots=10).epochs, rel=0.1)
    assert ahead.longest == pytest.approx(ahead.epochs / 10, rel=0.1)


def test_later_rungs_are_reached_by_fewer() -> None:
    """In each bracket, and never by more than there are."""
    spec = make_spec(trials=90, max_epochs=81, pruner={"kind": "hyperband", "brackets": None})
    rungs = _forecast(spec, slots=3).rungs
    assert sum(one.reached for one in rungs if one.epochs == rung_epochs(1, 82, 3)[one.bracket]) == pytest.approx(90)
    for one, following in itertools.pairwise(rungs):
        assert one.bracket != following.bracket or one.reached >= following.reached


@pytest.mark.parametrize(("settled", "left", "random"), [(0, 40, 10), (4, 36, 6), (10, 30, 0), (38, 2, 0)])
def test_what_was_drawn_at_random_before_is_not_ahead(settled: int, left: int, random: int) -> None:
    """The first ten configurations of a study are, not those of what is left of it."""
    assert forecast(make_spec(trials=40, sampler="tpe"), left, slots=1, settled=settled).random == random


def test_a_threshold_is_not_simulated() -> None:
    """Nobody knows the scale of the metric: no epoch is promised to be saved."""
    ahead = _forecast(make_spec(pruner={"kind": "threshold", "upper": 1.0}), slots=1)
    assert (ahead.simulated, ahead.epochs) == (False, ahead.epochs_unpruned)
    assert not _forecast(
        make_spec(pruner={"kind": "patient", "patience": 1, "wrapped": {"kind": "threshold", "lower": 0}}), slots=1
    ).simulated
