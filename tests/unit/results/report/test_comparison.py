"""What the search was worth."""

from __future__ import annotations

import pytest

from tests.records import make_attempt, make_spec
from tuner_service.domain.outcome import Reason
from tuner_service.domain.study import OF_DEFAULTS
from tuner_service.domain.trial import Trial
from tuner_service.results.report.comparison import compare_groups, expected_best
from tuner_service.storage.param import SOURCE


def _trial(number: int, value: float, *, reason: Reason = Reason.FINISHED, epoch: int = 9, **fields: object) -> Trial:
    begin = 10.0 * number
    attempt = make_attempt(number, reason=reason, value=value, number=number, epoch=epoch, ended_at=begin + 9)
    return Trial(attempt, started_at=begin, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("better", "expected"),
    [pytest.param("maximize", 3.0, id="largest"), pytest.param("minimize", 1.0, id="smallest")],
)
def test_all_epochs_bring_the_best(better: str, expected: float) -> None:
    """With the epochs of all trials the best is certain, with those of one it is their mean."""
    curve = expected_best([5, 5, 5], [1.0, 2.0, 3.0], better)  # type: ignore[arg-type]
    assert curve[-1] == (15, expected)
    assert curve[0][0] == 5
    assert curve[0][1] == pytest.approx(2.0, abs=0.15)


def test_stopped_trials_only_cost() -> None:
    """A trial without a value moves the others to the right, and never counts as best."""
    free = expected_best([9, 9], [0.5, 0.5], "maximize")
    dear = expected_best([9, 9, 9], [0.5, 0.5, None], "maximize")
    assert free[0] == (9, 0.5)
    # With 9 epochs a third of the orders have nothing yet.
    assert dear[0][0] > 9


def test_first_draws_of_a_model_are_random() -> None:
    """Trials that began before so many had ended were drawn at random; the later ones are the sampler's."""
    spec = make_spec(sampler={"kind": "tpe", "startup_trials": 3})
    trials = [_trial(number, number / 10) for number in range(8)]
    groups = {one.name: one for one in compare_groups(spec, trials).groups}
    assert (groups["random"].trials, groups["tpe"].trials) == (3, 5)
    assert (groups["random"].best, groups["tpe"].best) == (0.2, 0.7)


def test_given_points_are_a_group_of_their_own() -> None:
    """Neither sampler nor luck is credited with what a user gave."""
    spec = make_spec(sampler="random")
    trials = [_trial(0, 0.9, attributes={SOURCE: "given in the specification"}), _trial(1, 0.1), _trial(2, 0.2)]
    comparison = compare_groups(spec, trials)
    assert {one.name: one.trials for one in comparison.groups} == {"random": 2, "given": 1}
    assert comparison.verdict == ""


def test_defaults_are_told_apart_from_other_points() -> None:
    """Those of the study itself, which are tried first, as those of its companion."""
    spec = make_spec(sampler="random", defaults_first=True)
    trials = [_trial(0, 0.5, attributes={SOURCE: OF_DEFAULTS}), _trial(1, 0.9)]
    comparison = compare_groups(spec, trials)
    assert {one.name: one.best for one in comparison.groups} == {"random": 0.9, "defaults": 0.5}
    assert comparison.verdict == "The defaults reached 0.5, the best of random 0.9."


def test_a_search_that_has_not_paid_is_told() -> None:
    """Where no proposed trial beats the random ones, the verdict says so."""
    spec = make_spec(sampler={"kind": "tpe", "startup_trials": 2})
    trials = [_trial(0, 0.9), _trial(1, 0.8), _trial(2, 0.5), _trial(3, 0.6)]
    assert "has not paid" in compare_groups(spec, trials).verdict


def test_a_companion_says_what_chance_and_the_defaults_reach() -> None:
    """Its random draws stand beside the study's own, and the point that it begins with is the defaults'."""
    spec = make_spec(sampler={"kind": "tpe", "startup_trials": 1})
    trials = [_trial(0, 0.4), _trial(1, 0.9), _trial(2, 0.8)]
    companion = [_trial(0, 0.7, attributes={SOURCE: "given in the specification"}), _trial(1, 0.5), _trial(2, 0.6)]
    found = compare_groups(spec, trials, companion)
    assert [(one.name, one.trials, one.best) for one in found.groups] == [
        ("tpe", 2, 0.9), ("random", 3, 0.6), ("defaults", 1, 0.7),
    ]  # fmt: skip
    assert found.verdict.endswith("The defaults reached 0.7, the best of tpe 0.9.")


def test_pruned_trials_count_with_their_epochs() -> None:
    """What the pruner stopped is in the cost and not in the median."""
    spec = make_spec(sampler="random")
    trials = [_trial(0, 0.5), _trial(1, 0.1, reason=Reason.PRUNED, epoch=1)]
    (group,) = compare_groups(spec, trials).groups
    assert (group.trials, group.complete, group.epochs, group.median) == (2, 1, 10, 0.5)
