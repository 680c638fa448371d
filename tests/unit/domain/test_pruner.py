"""The ladders of fidelities, and the decisions at their rungs."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner_service.domain.direction import Direction
from tuner_service.domain.pruner import (
    Hyperband,
    Median,
    NoPruning,
    Patient,
    Percentile,
    Pruner,
    SuccessiveHalving,
    Threshold,
    Wilcoxon,
    bracket_shares,
    judged_before,
    reported_epochs,
    rung_epochs,
)


@pytest.mark.parametrize(
    ("min_epochs", "max_epochs", "factor", "rungs"),
    [
        pytest.param(1, 27, 3, (1, 3, 9), id="the top is not a rung"),
        pytest.param(1, 28, 3, (1, 3, 9, 27), id="one below the top is"),
        pytest.param(1, 243, 3, (1, 3, 9, 27, 81), id="no rung is lost to a logarithm"),
        pytest.param(1, 1000, 10, (1, 10, 100), id="powers of ten"),
        pytest.param(4, 30, 2, (4, 8, 16), id="a higher start"),
        pytest.param(5, 5, 2, (), id="where start and end are one there is none"),
    ],
)
def test_rungs_multiply_from_the_lowest_up_to_the_top(
    min_epochs: int, max_epochs: int, factor: int, rungs: tuple[int, ...]
) -> None:
    """A rung is the lowest one times a power of the factor, below the maximum."""
    assert rung_epochs(min_epochs, max_epochs, factor) == rungs


@pytest.mark.parametrize(
    ("min_epochs", "factor"), [pytest.param(0, 3, id="no epoch"), pytest.param(1, 1, id="no step")]
)
def test_a_ladder_without_steps_is_refused(min_epochs: int, factor: int) -> None:
    """A ladder that would have no end is an error with what was received."""
    with pytest.raises(
        ValueError, match=rf"need min_epochs >= 1 and reduction_factor >= 2, got {min_epochs}, {factor}"
    ):
        rung_epochs(min_epochs, 10, factor)


@pytest.mark.parametrize(
    ("min_epochs", "max_epochs", "factor", "brackets", "shares"),
    [
        pytest.param(1, 81, 3, None, (81, 34, 15, 8, 5), id="the paper's example"),
        pytest.param(1, 243, 3, None, (243, 98, 41, 18, 9, 6), id="243 epochs by 3 have 6 brackets"),
        pytest.param(1, 1000, 10, None, (1000, 134, 20, 4), id="1000 epochs by 10 have 4 brackets"),
        pytest.param(1, 26, 3, None, (9, 5, 3), id="a top that is no power belongs to the bracket below it"),
        pytest.param(1, 27, 3, 2, (27, 12), id="the first brackets are those that stop earliest"),
        pytest.param(1, 27, 3, 9, (27, 12, 6, 4), id="never more brackets than fidelities"),
        pytest.param(5, 5, 3, None, (1,), id="one fidelity has one bracket"),
    ],
)
def test_brackets_share_the_configurations_as_in_the_paper(
    min_epochs: int, max_epochs: int, factor: int, brackets: int | None, shares: tuple[int, ...]
) -> None:
    """A bracket's share is the number of configurations that Hyperband's Algorithm 1 starts in it."""
    assert bracket_shares(min_epochs, max_epochs, factor, brackets) == shares
    assert Hyperband(min_epochs=min_epochs, reduction_factor=factor, brackets=brackets).brackets_for(max_epochs) == len(
        shares
    )


def test_brackets_get_their_shares_of_the_configurations() -> None:
    """Over many configurations each bracket has about the part that it is to have."""
    pruner = Hyperband(brackets=None)
    drawn = Counter(pruner.bracket_of(one, 81, seed=0) for one in range(4000))
    shares = bracket_shares(1, 81, 3, None)
    for bracket, share in enumerate(shares):
        assert drawn[bracket] / 4000 == pytest.approx(share / sum(shares), abs=0.03)


def test_a_configuration_keeps_its_bracket() -> None:
    """The bracket follows from the study's seed and the configuration, so that a retry is compared with the same."""
    pruner = Hyperband(brackets=None)
    brackets = [pruner.bracket_of(one, 81, seed=7) for one in range(50)]
    assert [Hyperband(brackets=None).bracket_of(one, 81, seed=7) for one in range(50)] == brackets
    assert [pruner.bracket_of(one, 81, seed=8) for one in range(50)] != brackets


def test_a_later_bracket_leaves_out_the_lowest_rungs() -> None:
    """Bracket ``b`` begins ``b`` rungs up the ladder, and the last one judges nobody."""
    pruner = Hyperband(brackets=None)
    assert [pruner.rungs(bracket, 27) for bracket in range(4)] == [(1, 3, 9), (3, 9), (9,), ()]


@pytest.mark.parametrize("pruner", [SuccessiveHalving(), Median(), NoPruning()], ids=lambda one: one.kind)
def test_other_pruners_have_one_bracket(pruner: SuccessiveHalving | Median | NoPruning) -> None:
    """Only Hyperband divides the configurations."""
    assert pruner.brackets_for(81) == 1
    assert {pruner.bracket_of(one, 81, seed=0) for one in range(20)} == {0}


@pytest.mark.parametrize(
    ("value", "others", "direction", "pruned"),
    [
        pytest.param(0.1, [], "maximize", False, id="the first goes on"),
        pytest.param(0.1, [0.2], "maximize", True, id="the second stops where it is worse"),
        pytest.param(0.3, [0.2], "maximize", False, id="the second goes on where it is better"),
        pytest.param(0.1, [0.2], "minimize", False, id="less is better where it is minimized"),
        pytest.param(0.3, [0.2], "minimize", True, id="more is worse where it is minimized"),
        pytest.param(0.8, [0.9, 0.7, 0.6, 0.5, 0.4], "maximize", False, id="the second best of six is in the third"),
        pytest.param(0.7, [0.9, 0.8, 0.6, 0.5, 0.4], "maximize", True, id="the third best of six is not"),
        pytest.param(0.2, [0.1, 0.3, 0.4, 0.5, 0.6], "minimize", False, id="the second least of six is in the third"),
        pytest.param(0.5, [0.5, 0.5, 0.5], "maximize", False, id="equals go on together"),
    ],
)
def test_halving_lets_the_best_part_of_a_rung_go_on(
    value: float, others: list[float], direction: Direction, pruned: bool
) -> None:
    """One in ``reduction_factor`` goes on from a rung, in both directions."""
    assert SuccessiveHalving().should_prune(value, others, [value], direction) is pruned
    assert Hyperband().should_prune(value, others, [value], direction) is pruned


@given(
    values=st.lists(st.integers(0, 30), min_size=1, max_size=25),
    factor=st.integers(2, 5),
    direction=st.sampled_from(["minimize", "maximize"]),
)
def test_halving_decides_as_optuna_does(values: list[int], factor: int, direction: Direction) -> None:
    """At every rung the decision is that of ``optuna.pruners.SuccessiveHalvingPruner`` for the same arrivals."""
    pruner = SuccessiveHalving(reduction_factor=factor)
    ours = [pruner.should_prune(value, values[:before], [value], direction) for before, value in enumerate(values)]
    assert ours == _optuna_decisions(tuple(values), factor, direction)


def _optuna_decisions(values: tuple[int, ...], factor: int, direction: Direction) -> list[bool]:
    from optuna.pruners._successive_halving import _is_trial_promotable_to_next_rung

    way = optuna.study.StudyDirection[direction.upper()]
    # Optuna counts the trial itself among those that have reached the rung.
    return [
        not _is_trial_promotable_to_next_rung(value, [*map(float, values[: before + 1])], factor, way)
        for before, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("value", "others", "direction", "pruned"),
    [
        pytest.param(0.0, [1.0] * 4, "maximize", False, id="too few to compare with"),
        pytest.param(0.0, [1.0] * 5, "maximize", True, id="below the median"),
        pytest.param(1.0, [1.0] * 5, "maximize", False, id="at the median"),
        pytest.param(2.0, [1.0] * 5, "minimize", True, id="above the median where less is better"),
        pytest.param(0.5, [0.0, 0.1, 0.6, 0.7, 0.8, 0.4], "maximize", False, id="the middle of an even number"),
    ],
)
def test_median_stops_what_is_worse_than_half(
    value: float, others: list[float], direction: Direction, pruned: bool
) -> None:
    """A trial stops where it is worse than the median of enough earlier ones."""
    assert Median(startup_trials=5).should_prune(value, others, [value], direction) is pruned


def test_median_without_startup_trials_lets_the_first_one_pass() -> None:
    """There is nothing to compare the first trial with, whatever the setting."""
    assert not Median(startup_trials=0).should_prune(0.0, [], [0.0], "maximize")


def test_median_judges_at_its_interval() -> None:
    """The first judgement is at ``min_epochs``, then one each interval, none at the end."""
    assert Median(min_epochs=2, interval_epochs=3).rungs(0, 11) == (2, 5, 8)


@pytest.mark.parametrize(
    ("percentile", "value", "direction", "pruned"),
    [
        pytest.param(25.0, 0.7, "maximize", True, id="below the best quarter"),
        pytest.param(25.0, 0.8, "maximize", False, id="at the bar of the best quarter"),
        pytest.param(25.0, 0.3, "minimize", True, id="above the best quarter where less is better"),
        pytest.param(75.0, 0.7, "maximize", False, id="in the best three quarters"),
        pytest.param(0.0, 0.9, "maximize", False, id="as good as the best of all"),
        pytest.param(0.0, 0.89, "maximize", True, id="no part but the best goes on"),
        pytest.param(100.0, 0.1, "maximize", False, id="as bad as the worst of all"),
    ],
)
def test_percentile_keeps_the_best_part(percentile: float, value: float, direction: Direction, pruned: bool) -> None:
    """A trial stops where it is worse than the worst of the part that goes on."""
    others = [0.1, 0.2, 0.5, 0.8, 0.9]
    assert Percentile(percentile=percentile).should_prune(value, others, [value], direction) is pruned


@pytest.mark.parametrize(
    ("pruner", "curve", "pruned"),
    [
        pytest.param(Threshold(upper=1.0), [0.9], False, id="within"),
        pytest.param(Threshold(upper=1.0), [1.0], False, id="at the bound"),
        pytest.param(Threshold(upper=1.0), [0.5, 1.1], True, id="the latest value counts, not the best"),
        pytest.param(Threshold(lower=0.2), [0.1], True, id="below"),
        pytest.param(Threshold(lower=0.2), [0.1, 0.3], False, id="back above"),
        pytest.param(Threshold(lower=0.2, upper=0.4), [0.5], True, id="two bounds"),
    ],
)
def test_threshold_looks_at_the_latest_value_alone(pruner: Threshold, curve: list[float], pruned: bool) -> None:
    """A trial that is out of bounds stops, whatever the others do and in whichever direction."""
    assert pruner.should_prune(min(curve), [], curve, "minimize") is pruned
    assert pruner.should_prune(max(curve), [9.0], curve, "maximize") is pruned


@pytest.mark.parametrize(
    ("patience", "min_delta", "curve", "pruned"),
    [
        pytest.param(1, 0.0, [0.5, 0.4], False, id="too short to tell"),
        pytest.param(1, 0.0, [0.5, 0.4, 0.4], True, id="two epochs without a new best"),
        pytest.param(1, 0.0, [0.5, 0.4, 0.5], False, id="as good as before is good enough"),
        pytest.param(1, 0.0, [0.5, 0.4, 0.6], False, id="a new best"),
        pytest.param(2, 0.0, [0.5, 0.4, 0.4], False, id="more patience"),
        pytest.param(0, 0.0, [0.5, 0.4], True, id="no patience"),
        pytest.param(1, 0.2, [0.5, 0.4, 0.4], False, id="near enough to the best"),
        pytest.param(1, 0.05, [0.5, 0.4, 0.4], True, id="not near enough"),
    ],
)
def test_patient_alone_stops_what_stands_still(
    patience: int, min_delta: float, curve: list[float], pruned: bool
) -> None:
    """Without another pruner a trial stops by its own curve."""
    pruner = Patient(patience=patience, min_delta=min_delta)
    assert pruner.should_prune(0.5, [], curve, "maximize") is pruned
    assert pruner.should_prune(-0.5, [], [-one for one in curve], "minimize") is pruned


def test_patient_leaves_the_decision_to_the_other_pruner() -> None:
    """A trial that stands still stops if the other pruner says so, one that improves goes on although it does."""
    pruner = Patient(wrapped=SuccessiveHalving(), patience=0)
    still, improving = [0.5, 0.4], [0.4, 0.5]
    assert pruner.should_prune(0.5, [0.6], still, "maximize")
    assert not pruner.should_prune(0.5, [0.4], still, "maximize")
    assert not pruner.should_prune(0.5, [0.6], improving, "maximize")


@pytest.mark.parametrize(
    ("pruner", "rungs"),
    [
        pytest.param(Patient(patience=2), (4, 5, 6, 7, 8), id="alone: where patience can have run out"),
        pytest.param(Patient(patience=9), (), id="alone, with more patience than epochs: never"),
        pytest.param(Patient(wrapped=Hyperband(), patience=2), (1, 3), id="the other pruner's"),
        pytest.param(Threshold(upper=1, min_epochs=2, interval_epochs=4), (2, 6), id="a threshold's interval"),
        pytest.param(Percentile(percentile=25, min_epochs=7), (7, 8), id="a percentile's interval"),
        pytest.param(NoPruning(), (), id="no pruning"),
    ],
)
def test_a_pruner_judges_at_its_rungs(pruner: Pruner, rungs: tuple[int, ...]) -> None:
    """The epochs at which a trial of nine epochs is judged."""
    assert pruner.rungs(0, 9) == rungs


def test_patient_has_the_brackets_of_the_other_pruner() -> None:
    """Hyperband divides the configurations as it does alone."""
    alone = Hyperband(brackets=None)
    pruner = Patient(wrapped=alone, patience=2)
    assert pruner.brackets_for(81) == 5
    drawn = [pruner.bracket_of(one, 81, seed=3) for one in range(30)]
    assert drawn == [alone.bracket_of(one, 81, seed=3) for one in range(30)]


@pytest.mark.parametrize(
    ("pruner", "compares"),
    [
        pytest.param(Median(), True, id="median"),
        pytest.param(Patient(wrapped=Median(), patience=1), True, id="patient with a pruner that compares"),
        pytest.param(Patient(wrapped=Threshold(upper=1), patience=1), False, id="patient with one that does not"),
        pytest.param(Patient(patience=1), False, id="patient alone"),
        pytest.param(Threshold(upper=1), False, id="threshold"),
    ],
)
def test_only_what_compares_needs_the_others(pruner: Pruner, compares: bool) -> None:
    """A pruner that looks at a trial alone never waits for the storage."""
    assert pruner.compares is compares


_TABLE = st.integers(3, 9).flatmap(
    lambda epochs: st.lists(st.lists(st.integers(0, 20), min_size=epochs, max_size=epochs), min_size=1, max_size=9)
)
_DIRECTION = st.sampled_from(["minimize", "maximize"])


@given(
    table=_TABLE,
    percentile=st.integers(0, 100),
    startup=st.integers(0, 6),
    first=st.integers(1, 4),
    interval=st.integers(1, 3),
    direction=_DIRECTION,
)
def test_percentile_decides_as_optuna_does(
    table: list[list[int]], percentile: int, startup: int, first: int, interval: int, direction: Direction
) -> None:
    """Where curves never get worse, and the others were trained to their end, every decision is Optuna's."""
    curves = [_best_so_far(curve, direction) for curve in table]
    ours = Percentile(percentile=percentile, startup_trials=startup, min_epochs=first, interval_epochs=interval)
    theirs = optuna.pruners.PercentilePruner(percentile, startup, n_warmup_steps=first, interval_steps=interval)
    assert _decisions(ours, curves, direction) == _decisions_of_optuna(theirs, curves, direction)
    if percentile == 50:
        median = Median(startup_trials=startup, min_epochs=first, interval_epochs=interval)
        assert _decisions(median, curves, direction) == _decisions(ours, curves, direction)


@given(table=_TABLE, lower=st.integers(0, 10), width=st.integers(0, 10), first=st.integers(1, 4), direction=_DIRECTION)
def test_threshold_decides_as_optuna_does(
    table: list[list[int]], lower: int, width: int, first: int, direction: Direction
) -> None:
    """Every decision is that of ``optuna.pruners.ThresholdPruner``, on curves of any shape."""
    ours = Threshold(lower=lower, upper=lower + width, min_epochs=first)
    theirs = optuna.pruners.ThresholdPruner(lower, lower + width, n_warmup_steps=first)
    assert _decisions(ours, table, direction) == _decisions_of_optuna(theirs, table, direction)


@pytest.mark.filterwarnings("ignore:PatientPruner is experimental")
@given(
    table=_TABLE,
    patience=st.integers(0, 4),
    min_delta=st.integers(0, 3),
    wrapped=st.booleans(),
    direction=_DIRECTION,
)
def test_patient_decides_as_optuna_does(
    table: list[list[int]], patience: int, min_delta: int, wrapped: bool, direction: Direction
) -> None:
    """Every decision is that of ``optuna.pruners.PatientPruner``, alone and around another pruner."""
    ours = Patient(wrapped=Threshold(lower=5, upper=15) if wrapped else None, patience=patience, min_delta=min_delta)
    other = optuna.pruners.ThresholdPruner(5, 15) if wrapped else None
    theirs = optuna.pruners.PatientPruner(other, patience, min_delta)
    assert _decisions(ours, table, direction) == _decisions_of_optuna(theirs, table, direction)


def _best_so_far(curve: list[int], direction: Direction) -> list[int]:
    best = max if direction == "maximize" else min
    return [best(curve[: epoch + 1]) for epoch in range(len(curve))]


def _decisions(pruner: Pruner, curves: Sequence[list[int]], direction: Direction) -> list[int]:
    """Return the epochs below the last at which the last curve is stopped, the others being before it."""
    *others, mine = [[float(value) for value in curve] for curve in curves]
    best = max if direction == "maximize" else min
    return [
        epoch
        for epoch in pruner.rungs(0, len(mine))
        if pruner.should_prune(best(mine[:epoch]), [best(curve[:epoch]) for curve in others], mine[:epoch], direction)
    ]


def _decisions_of_optuna(
    pruner: optuna.pruners.BasePruner, curves: Sequence[list[int]], direction: Direction
) -> list[int]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction=direction, sampler=optuna.samplers.RandomSampler())
    *others, mine = curves
    for curve in others:
        values = dict(enumerate(curve, start=1))
        study.add_trial(optuna.trial.create_trial(value=curve[-1], intermediate_values=values))
    trial = study.ask()
    stopped = []
    # No decision is taken after the last epoch here; Optuna takes one.
    for epoch, value in enumerate(mine[:-1], start=1):
        trial.report(value, epoch)
        if pruner.prune(study, study.get_trials(deepcopy=False)[-1]):
            stopped.append(epoch)
    return stopped


def test_no_pruning_stops_nobody() -> None:
    """There is no rung."""
    assert NoPruning().rungs(0, 100) == ()


def test_a_configuration_is_not_compared_with_itself() -> None:
    """At a rung count the finite values of the others."""
    assert judged_before({0: 0.5, 1: math.nan, 2: math.inf, 3: 0.7}, 3) == [0.5]


@pytest.mark.parametrize(
    ("max_epochs", "rungs", "epochs"),
    [
        pytest.param(5, (1, 3), {1, 2, 3, 4, 5}, id="a short trial reports every epoch"),
        pytest.param(30, (), set(range(1, 31)), id="thirty epochs are thirty points"),
        pytest.param(61, (1,), {1, *range(3, 61, 3), 61}, id="rungs and the last epoch are always there"),
    ],
)
def test_reports_are_few(max_epochs: int, rungs: tuple[int, ...], epochs: set[int]) -> None:
    """Optuna is told the rungs, the end and about thirty points."""
    assert reported_epochs(max_epochs, rungs) == epochs


@given(max_epochs=st.integers(1, 10_000), min_epochs=st.integers(1, 20), factor=st.integers(2, 5))
def test_reports_never_exceed_their_number(max_epochs: int, min_epochs: int, factor: int) -> None:
    """Beside the rungs and the last epoch there are at most thirty."""
    rungs = rung_epochs(min_epochs, max_epochs, factor)
    epochs = reported_epochs(max_epochs, rungs)
    assert {*rungs, max_epochs} <= epochs <= set(range(1, max_epochs + 1))
    assert len(epochs) <= 30 + len(rungs) + 1


_VALUES = st.integers(0, 4).map(lambda step: step / 8)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@settings(deadline=None, max_examples=30)
@given(
    best=st.lists(_VALUES, min_size=1, max_size=12),
    mine=st.lists(_VALUES, min_size=1, max_size=12),
    p_threshold=st.sampled_from([0.02, 0.1, 0.4]),
    startup=st.integers(0, 5),
    direction=st.sampled_from(["minimize", "maximize"]),
)
def test_wilcoxon_decides_as_optuna_does(
    best: list[float], mine: list[float], p_threshold: float, startup: int, direction: Direction
) -> None:
    """On tables with many ties, after each run; but not after the last, where nothing is left to be saved."""
    mine = mine[: len(best)]
    study = optuna.create_study(direction=direction)
    study.add_trial(optuna.trial.create_trial(value=statistics.fmean(best), intermediate_values=dict(enumerate(best))))
    trial = optuna.trial.create_trial(
        state=optuna.trial.TrialState.RUNNING, intermediate_values=dict(enumerate(mine)), value=None
    )
    theirs = optuna.pruners.WilcoxonPruner(p_threshold=p_threshold, n_startup_steps=startup).prune(study, trial)
    ours = Wilcoxon(p_threshold=p_threshold, startup_runs=startup).should_stop(
        list(zip(mine, best, strict=False)), statistics.fmean(best), direction
    )
    assert ours == theirs


def test_wilcoxon_judges_no_epochs() -> None:
    """It compares whole runs."""
    assert Wilcoxon().rungs(0, 100) == ()
