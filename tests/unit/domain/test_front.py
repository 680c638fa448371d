"""The Pareto front, held to Optuna's own."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.study import StudyDirection

from tests.records import make_attempt
from tuner_service.domain.attempt import Attempt
from tuner_service.domain.direction import Direction
from tuner_service.domain.front import beats, dominates, front, kept
from tuner_service.domain.outcome import Reason

_DIRECTIONS = st.sampled_from(["minimize", "maximize"])
_VALUE = st.integers(-3, 3).map(float)  # few values, so that many are equal


def _complete(number: int, values: tuple[float, ...], **fields: Any) -> Attempt:
    return make_attempt(
        number, number=number, value=values[0], others=values[1:], **{"reason": Reason.FINISHED, **fields}
    )


@given(data=st.data(), directions=st.lists(_DIRECTIONS, min_size=2, max_size=4))
def test_the_front_is_optunas(data: st.DataObject, directions: list[Direction]) -> None:
    """The same trials, equal ones too, whatever the directions."""
    points = data.draw(st.lists(st.tuples(*[_VALUE] * len(directions)), max_size=25))
    study = optuna.create_study(directions=directions)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study.add_trials([optuna.trial.create_trial(values=list(one)) for one in points])
    assert study.directions == [StudyDirection[one.upper()] for one in directions]
    ours = front([_complete(number, one) for number, one in enumerate(points)], directions)
    assert {one.number for one in ours} == {one.number for one in study.best_trials}
    assert [one.value for one in ours] == sorted((one.value for one in ours), reverse=directions[0] == "maximize")


@given(data=st.data(), directions=st.lists(_DIRECTIONS, min_size=1, max_size=3))
def test_dominance_is_a_strict_order(data: st.DataObject, directions: list[Direction]) -> None:
    """Nothing dominates itself, two never each other, and it passes on."""
    point = st.tuples(*[_VALUE] * len(directions))
    a, b, c = data.draw(point), data.draw(point), data.draw(point)
    assert not dominates(a, a, directions)
    assert not (dominates(a, b, directions) and dominates(b, a, directions))
    if dominates(a, b, directions) and dominates(b, c, directions):
        assert dominates(a, c, directions)


@pytest.mark.parametrize(
    ("directions", "numbers"),
    [
        pytest.param(("maximize",), [1], id="of one objective the best, the earliest of equals"),
        pytest.param(("maximize", "minimize"), [1, 0], id="of two what none beats in both"),
    ],
)
def test_only_complete_trials_are_on_it(directions: tuple[Direction, ...], numbers: list[int]) -> None:
    """One that was stopped early may have had a better value."""
    rows = [(0.5, 10.0), (0.9, 20.0), (0.9, 30.0), (0.4, 10.0)]
    attempts = [_complete(number, one[: len(directions)]) for number, one in enumerate(rows)]
    stopped = make_attempt(9, reason=Reason.PRUNED, value=1.0)
    assert [one.number for one in front([*attempts, stopped], directions)] == numbers


@given(data=st.data(), directions=st.lists(_DIRECTIONS, min_size=1, max_size=3), most=st.integers(1, 5))
def test_models_are_kept_of_those_that_few_beat(data: st.DataObject, directions: list[Direction], most: int) -> None:
    """Of one objective exactly so many, the best; of several those that fewer dominate; feasible ones before others."""
    points = data.draw(st.lists(st.tuples(st.tuples(*[_VALUE] * len(directions)), st.booleans()), max_size=15))
    rows = [_complete(number, values, feasible=ok) for number, (values, ok) in enumerate(points)]
    found = kept(rows, directions, most)
    beaten = [sum(beats(o, one.values, directions, feasible=one.feasible) for o in rows) for one in rows]
    wanted = [one for one, better in zip(rows, beaten, strict=True) if better < most]
    assert set(found) <= set(wanted)
    if len(directions) == 1:
        assert len(found) == min(most, len(rows))
        assert all(number in {one.number for one in found} for number in range(len(rows)) if len(rows) <= most)
    else:
        assert set(found) == set(wanted)
    assert set(front(rows, directions)) <= set(found)
