"""Rows that are folded as they come; the simulations of test_plan show that plans are those from all rows."""

from __future__ import annotations

import pytest

from tests.records import make_attempt, make_spec, make_study
from tuner_service.domain.attempt import Attempt
from tuner_service.domain.outcome import Reason, State
from tuner_service.ledger.history import Histories, History
from tuner_service.storage.ledger_storage import LedgerStorage


def _complete(configuration: int, *values: float, feasible: bool = True) -> Attempt:
    first, *others = values
    return make_attempt(
        configuration, reason=Reason.FINISHED, value=first, others=tuple(others), feasible=feasible, ended_at=1.0
    )


def test_a_row_is_looked_at_until_it_has_ended() -> None:
    """Then it is settled, and whatever is said of it later changes nothing."""
    history = History(make_spec(), [make_attempt(0)])
    assert ([one.state for one in history.open], history.settled, history.unsettled) == ([State.WAITING], set(), {0})
    history.take([make_attempt(0, state=State.RUNNING)])
    assert [one.state for one in history.open] == [State.RUNNING]
    history.take([_complete(0, 0.5)])
    assert (history.open, history.settled, history.unsettled) == ([], {0}, set())
    history.take([make_attempt(0, state=State.RUNNING)])
    assert (history.open, history.attempts) == ([], [_complete(0, 0.5)])


def test_a_retry_that_a_user_asked_for_opens_its_configuration_again() -> None:
    """What came before does not count any more."""
    history = History(make_spec(), [_complete(0, 0.5)])
    history.take([make_attempt(0, 1, forced=True)])
    assert (history.settled, history.unsettled) == (set(), {0})


@pytest.mark.parametrize(
    ("rows", "feasible", "beaten"),
    [
        pytest.param([], True, False, id="nothing is complete"),
        pytest.param([_complete(0, 0.9)], True, True, id="by a better one"),
        pytest.param([_complete(0, 0.9), _complete(1, 0.2)], True, True, id="by one before a worse one"),
        pytest.param([_complete(0, 0.5)], True, False, id="not by an equal one"),
        pytest.param([_complete(0, 0.9, feasible=False)], True, False, id="not by one that breaks a constraint"),
        pytest.param([_complete(0, 0.1)], False, True, id="by any that keeps the constraints"),
        pytest.param([_complete(0, 0.9, feasible=False)], False, True, id="among those that break one"),
    ],
)
def test_whether_values_are_beaten(rows: list[Attempt], feasible: bool, beaten: bool) -> None:
    """By the complete attempts, a larger accuracy being better."""
    assert History(make_spec(), rows).is_beaten((0.5,), feasible=feasible) is beaten


def test_several_objectives_are_beaten_by_their_front() -> None:
    """By one that is nowhere worse and somewhere better."""
    spec = make_spec(metric=["val_accuracy", "latency_s"])
    history = History(spec, [_complete(0, 0.9, 0.5), _complete(1, 0.5, 0.1), _complete(2, 0.4, 0.6)])
    assert history.is_beaten((0.8, 0.6), feasible=True)
    assert not history.is_beaten((0.7, 0.3), feasible=True)


class _Rows:
    """A storage that counts what is read."""

    def __init__(self) -> None:
        self.rows = [_complete(0, 0.5), make_attempt(1, state=State.RUNNING)]
        self.read: list[int] = []

    def attempts(self, study_id: int, *, after: int = -1, among: tuple[int, ...] = ()) -> list[Attempt]:
        found = [one for one in self.rows if one.trial_id > after or one.trial_id in among]
        self.read.append(len(found))
        return found


def test_what_has_ended_is_read_once() -> None:
    """And everything where that is asked for, or the history was forgotten."""
    rows = _Rows()
    storage: LedgerStorage = rows  # type: ignore[assignment]
    histories = Histories(storage)
    study = make_study()
    with histories.current(study):
        pass
    rows.rows.append(make_attempt(2))
    with histories.current(study) as history:
        assert len(history.attempts) == 3
    with histories.current(study, anew=True):
        pass
    histories.forget(study)
    with histories.current(study):
        pass
    assert rows.read == [2, 2, 3, 3]
