"""Outcomes, and what they make of a row."""

from __future__ import annotations

import pytest
from optuna.trial import TrialState

from tuner_service.domain.outcome import RULES, Counts, Failure, Outcome, Reason, State

_TABLE = [
    pytest.param(Reason.FINISHED, State.COMPLETE, Counts.ALWAYS, id="finished"),
    pytest.param(Reason.PRUNED, State.PRUNED, Counts.ALWAYS, id="pruner's decision"),
    pytest.param(Reason.DIVERGED, State.PRUNED, Counts.ALWAYS, id="NaN or infinite metric"),
    pytest.param(Reason.OOM, State.FAIL, Counts.NEVER, id="out of memory, first time"),
    pytest.param(Reason.INFEASIBLE, State.PRUNED, Counts.ALWAYS, id="out of memory, again"),
    pytest.param(Reason.INTERRUPTED, State.FAIL, Counts.NEVER, id="lost worker"),
    pytest.param(Reason.LOST, State.FAIL, Counts.ALWAYS, id="lost worker, five times"),
    pytest.param(Reason.TIMEOUT, State.FAIL, Counts.CHARGED, id="time limit"),
    pytest.param(Reason.STALLED, State.FAIL, Counts.CHARGED, id="no progress"),
    pytest.param(Reason.CRASHED, State.FAIL, Counts.CHARGED, id="process died"),
    pytest.param(Reason.ERROR, State.FAIL, Counts.CHARGED, id="exception in the study's code"),
    pytest.param(Reason.CANCELLED, State.FAIL, Counts.NEVER, id="cancelled"),
    pytest.param(Reason.WITHDRAWN, State.FAIL, Counts.NEVER, id="withdrawn"),
    pytest.param(Reason.EXHAUSTED, State.FAIL, Counts.NEVER, id="nothing new to draw"),
]


@pytest.mark.parametrize(("reason", "state", "counts"), _TABLE)
def test_a_cause_becomes_a_state_and_counts(reason: Reason, state: State, counts: Counts) -> None:
    """The table of outcomes is that of the design."""
    assert (Outcome(reason).state, RULES[reason].counts) == (state, counts)


def test_every_reason_has_a_rule() -> None:
    """No reason is without a rule, and the table above has them all."""
    assert set(RULES) == set(Reason)
    assert len(_TABLE) == len(Reason)


def test_states_are_optunas() -> None:
    """A state has the name that Optuna gives it, and knows whether it is final."""
    assert {one.value: one.final for one in State} == {one.name: one.is_finished() for one in TrialState}


def test_a_failure_is_shortened_where_it_is_least_useful() -> None:
    """Of a message the beginning is kept, of a traceback the end."""
    kept = Failure("ValueError", "m" * 5000 + "z", "a" + "t" * 50_000 + "the end").shortened()
    assert kept.message == "m" * Failure.MAX_MESSAGE
    assert kept.traceback.startswith("...\ntttt")
    assert kept.traceback.endswith("the end")
    assert len(kept.traceback) <= Failure.MAX_TRACEBACK + 4


def test_a_short_failure_stays_as_it_is() -> None:
    """What fits is not touched."""
    failure = Failure("ValueError", "no", "Traceback", "host-1")
    assert failure.shortened() == failure


def test_what_no_database_can_hold_is_replaced() -> None:
    """PostgreSQL refuses a NUL, and no database takes half of a surrogate pair: a message may have both."""
    kept = Failure("Value\x00Error", "a\x00b\udc80c", "t\x00r\udcff", "h\x00").shortened()
    assert kept == Failure("Value�Error", "a�b�c", "t�r�", "h�")


@pytest.mark.parametrize(
    ("failure", "fingerprint"),
    [
        pytest.param(Failure("ValueError", "shape (3,)\nand more"), "ValueError: shape (3,)", id="the first line"),
        pytest.param(Failure("ValueError", "\n  \n late"), "ValueError: late", id="the first line that says something"),
        pytest.param(Failure("SIGKILL", ""), "SIGKILL: ", id="no message"),
    ],
)
def test_a_fingerprint_is_the_type_and_the_first_line(failure: Failure, fingerprint: str) -> None:
    """Failures of one cause share their fingerprint."""
    assert failure.fingerprint == fingerprint
