"""When a configuration is settled."""

from __future__ import annotations

import random

import pytest

from tests.records import make_attempt
from tuner_service.domain.attempt import by_configuration, settled_by
from tuner_service.domain.outcome import Reason, State


@pytest.mark.parametrize(
    ("reasons", "settling"),
    [
        pytest.param([], None, id="nothing yet"),
        pytest.param([Reason.FINISHED], 0, id="finished"),
        pytest.param([Reason.PRUNED], 0, id="pruned"),
        pytest.param([Reason.DIVERGED], 0, id="diverged"),
        pytest.param([Reason.OOM], None, id="out of memory once"),
        pytest.param([Reason.OOM, Reason.INFEASIBLE], 1, id="out of memory twice"),
        pytest.param([Reason.OOM, Reason.FINISHED], 1, id="out of memory, then it fitted"),
        pytest.param([Reason.INTERRUPTED] * 4, None, id="interrupted is never charged"),
        pytest.param([*[Reason.INTERRUPTED] * 4, Reason.LOST], 4, id="interrupted again and again"),
        pytest.param([Reason.ERROR], None, id="one error of two allowed"),
        pytest.param([Reason.ERROR, Reason.ERROR], 1, id="two errors"),
        pytest.param([Reason.TIMEOUT, Reason.STALLED], 1, id="charged attempts of different causes add up"),
        pytest.param([Reason.CRASHED, Reason.INTERRUPTED, Reason.ERROR], 2, id="an interruption between is free"),
        pytest.param([Reason.ERROR, Reason.FINISHED], 1, id="the retry succeeded"),
        pytest.param([Reason.CANCELLED], None, id="cancelled is as if it had never been"),
        pytest.param([Reason.WITHDRAWN, Reason.CANCELLED, Reason.FINISHED], 2, id="and so is withdrawn"),
    ],
)
def test_an_outcome_settles_its_configuration(reasons: list[Reason], settling: int | None) -> None:
    """Which attempt settles the configuration, of attempts that ended for these reasons, two failures being allowed."""
    attempts = [make_attempt(0, number, reason=reason) for number, reason in enumerate(reasons)]
    random.Random(0).shuffle(attempts)
    settled = settled_by(attempts, max_attempts=2)
    assert (None if settled is None else settled.attempt) == settling


@pytest.mark.parametrize("state", [State.WAITING, State.RUNNING])
def test_an_open_attempt_settles_nothing(state: State) -> None:
    """A row counts once it is final."""
    assert settled_by([make_attempt(0, 0, state)], max_attempts=1) is None


@pytest.mark.parametrize(
    ("state", "settles"),
    [
        pytest.param(State.COMPLETE, True, id="complete counts"),
        pytest.param(State.PRUNED, True, id="pruned counts"),
        pytest.param(State.FAIL, False, id="failed is as if cancelled"),
    ],
)
def test_a_row_that_somebody_else_ended_is_judged_by_its_state(state: State, settles: bool) -> None:
    """Whoever ends a row in optuna-dashboard gives no reason."""
    assert (settled_by([make_attempt(0, 0, state)], max_attempts=1) is not None) is settles


def test_max_attempts_is_how_many_may_fail() -> None:
    """With three attempts the third failure settles."""
    attempts = [make_attempt(0, number, reason=Reason.ERROR) for number in range(3)]
    assert settled_by(attempts[:2], max_attempts=3) is None
    assert settled_by(attempts, max_attempts=3) == attempts[2]


@pytest.mark.parametrize(
    ("reasons", "forced", "settling"),
    [
        pytest.param([Reason.ERROR, Reason.ERROR, None], [2], None, id="what it came to before does not count"),
        pytest.param([Reason.ERROR, Reason.ERROR, Reason.ERROR], [2], None, id="nor do its failures"),
        pytest.param([Reason.ERROR, Reason.ERROR, Reason.ERROR, Reason.ERROR], [2], 3, id="it may fail as often again"),
        pytest.param([Reason.LOST, Reason.FINISHED], [1], 1, id="it succeeded"),
        pytest.param([Reason.LOST, Reason.WITHDRAWN, Reason.FINISHED], [1], 2, id="taken back, then tried"),
        pytest.param([Reason.LOST, Reason.LOST, Reason.ERROR], [1, 2], None, id="asked for twice"),
        pytest.param([Reason.LOST, Reason.LOST, None], [1], 1, id="a later attempt that nobody asked for"),
    ],
)
def test_an_attempt_that_a_user_asked_for_begins_anew(
    reasons: list[Reason | None], forced: list[int], settling: int | None
) -> None:
    """Only what came since then settles the configuration; ``None`` is an attempt that waits."""
    attempts = [
        make_attempt(0, number, reason=reason, forced=number in forced) for number, reason in enumerate(reasons)
    ]
    random.Random(0).shuffle(attempts)
    settled = settled_by(attempts, max_attempts=2)
    assert (None if settled is None else settled.attempt) == settling


def test_attempts_are_grouped_in_their_order() -> None:
    """Each configuration has its attempts by number, however the rows came."""
    rows = [make_attempt(1, 1), make_attempt(0, 0), make_attempt(1, 0)]
    assert {key: [one.attempt for one in mine] for key, mine in by_configuration(rows).items()} == {0: [0], 1: [0, 1]}
