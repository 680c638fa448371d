"""What follows from a study's rows: single plans, and whole studies played through."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.records import make_attempt, make_spec, make_study
from tuner_service.domain.attempt import MAX_INTERRUPTIONS, Attempt, NewAttempt, by_configuration, settled_by
from tuner_service.domain.ending import (
    epochs_trained,
    may_start,
    reached,
)
from tuner_service.domain.outcome import Outcome, Reason, State
from tuner_service.domain.study import Control, Ending, StudyRecord
from tuner_service.ledger.history import History
from tuner_service.ledger.plan import WAITING_PER_SLOT, Action, CancelRunning, End, Enqueue, Expire, Withdraw, plan

_NOW = 1000.0


def _running(configuration: int, attempt: int = 0, *, lease_until: float | None = _NOW + 60) -> Attempt:
    return make_attempt(configuration, attempt, State.RUNNING, owner="w1", lease_until=lease_until)


def _done(configuration: int, reason: Reason = Reason.FINISHED, **fields: Any) -> Attempt:
    return make_attempt(configuration, reason=reason, ended_at=_NOW - 100 + configuration, **fields)


def _plan(study: StudyRecord, *attempts: Attempt, slots: int = 1) -> list[Action]:
    return plan(study, History(study.spec, attempts), slots=slots, now=_NOW)


@pytest.mark.parametrize(
    ("budget", "slots", "waiting"),
    [
        pytest.param(10, 0, 2, id="without a worker as for one slot"),
        pytest.param(10, 1, 2, id="two a slot"),
        pytest.param(10, 3, 6, id="more for more slots"),
        pytest.param(10, 9, 10, id="never more than the budget"),
    ],
)
def test_a_new_study_gets_rows_for_its_slots(budget: int, slots: int, waiting: int) -> None:
    """Few rows wait, from configuration 0 on."""
    assert _plan(make_study(budget=budget), slots=slots) == [Enqueue(NewAttempt(one, 0)) for one in range(waiting)]


def test_rows_that_wait_are_not_added_to() -> None:
    """Planning again while nothing has happened asks for nothing."""
    assert _plan(make_study(), make_attempt(0), make_attempt(1)) == []


def test_a_claimed_row_makes_room_for_another() -> None:
    """As many rows wait as before once one is taken."""
    assert _plan(make_study(), _running(0), make_attempt(1)) == [Enqueue(NewAttempt(2, 0))]


@pytest.mark.parametrize("reason", [Reason.INTERRUPTED, Reason.OOM, Reason.ERROR, Reason.CANCELLED, Reason.WITHDRAWN])
def test_what_did_not_count_is_tried_again(reason: Reason) -> None:
    """The next attempt repeats the parameters of the last one, and comes before new configurations."""
    last = _done(1, reason)
    retry = Enqueue(NewAttempt(1, 1, params_of=last.trial_id))
    assert _plan(make_study(), _running(0), last) == [retry, Enqueue(NewAttempt(2, 0))]


def test_retries_go_beyond_the_limit_of_waiting_rows() -> None:
    """After a node is lost all that it ran waits at once, and nothing new beside it."""
    lost = [_done(one, Reason.INTERRUPTED) for one in range(4)]
    assert _plan(make_study(budget=10), *lost) == [Enqueue(NewAttempt(one, 1, lost[one].trial_id)) for one in range(4)]


def test_a_lease_that_ran_out_comes_before_all_else() -> None:
    """Expired rows alone are planned for: one of them may be renewed at the last moment."""
    expired = _running(0, lease_until=_NOW - 1)
    assert _plan(make_study(), expired, _done(1, Reason.ERROR)) == [Expire(expired.trial_id, Reason.INTERRUPTED)]


@pytest.mark.parametrize(
    ("lease_until", "expires"),
    [
        pytest.param(_NOW + 0.1, False, id="still good"),
        pytest.param(_NOW, False, id="good to the end"),
        pytest.param(_NOW - 0.1, True, id="over"),
        pytest.param(None, True, id="none: claimed by another program"),
    ],
)
def test_a_running_row_is_lost_when_its_lease_is_over(lease_until: float | None, expires: bool) -> None:
    """Time is that of the database, which made the lease."""
    actions = _plan(make_study(budget=1), _running(0, lease_until=lease_until))
    assert [type(one) for one in actions] == ([Expire] if expires else [])


@pytest.mark.parametrize(
    ("judge_from", "expires"),
    [
        pytest.param(_NOW - 1, True, id="live workers had their time"),
        pytest.param(_NOW, True, id="they have just had it"),
        pytest.param(_NOW + 0.1, False, id="the database was away until now"),
    ],
)
def test_after_an_outage_live_workers_have_time_to_renew(judge_from: float, expires: bool) -> None:
    """Nobody is called dead before, and everything else goes on meanwhile."""
    expired = _running(0, lease_until=_NOW - 30)
    actions = plan(make_study(budget=2), History(make_spec(), [expired]), slots=1, now=_NOW, judge_from=judge_from)
    assert actions == ([Expire(expired.trial_id, Reason.INTERRUPTED)] if expires else [Enqueue(NewAttempt(1, 0))])


def test_a_trial_whose_lease_may_not_be_judged_gets_no_successor() -> None:
    """Its configuration is still being trained, as far as anybody knows."""
    study, silent = make_study(budget=1), _running(0, lease_until=0.0)
    assert plan(study, History(study.spec, [silent]), slots=9, now=_NOW, judge_from=_NOW + 1) == []
    stopped = replace(study, control=Control.STOP)
    assert plan(stopped, History(study.spec, [silent]), slots=9, now=_NOW, judge_from=_NOW + 1) == [], (
        "and the study has not ended"
    )


def test_the_fifth_interruption_gives_a_configuration_up() -> None:
    """After four interruptions the next lost worker settles it as lost."""
    before = [make_attempt(0, one, reason=Reason.INTERRUPTED) for one in range(MAX_INTERRUPTIONS - 1)]
    last = _running(0, MAX_INTERRUPTIONS - 1, lease_until=0.0)
    assert _plan(make_study(), *before[1:], last) == [Expire(last.trial_id, Reason.INTERRUPTED)]
    assert _plan(make_study(), *before, last) == [Expire(last.trial_id, Reason.LOST)]


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        pytest.param(2, {"checkpoint": 3}, id="one of them was saved further on"),
        pytest.param(4, {"resumed_from": 3, "checkpoint": 4}, id="the last one was"),
        pytest.param(3, {"forced": True}, id="a user asked for one of them"),
    ],
)
def test_a_configuration_that_gets_on_is_not_given_up(row: int, fields: dict[str, Any]) -> None:
    """Interruptions count from its last new checkpoint, or from when a user wanted it tried again."""
    rows = [make_attempt(0, one, reason=Reason.INTERRUPTED) for one in range(MAX_INTERRUPTIONS - 1)]
    rows.append(_running(0, MAX_INTERRUPTIONS - 1, lease_until=0.0))
    rows[row] = replace(rows[row], **fields)
    assert _plan(make_study(), *rows) == [Expire(rows[-1].trial_id, Reason.INTERRUPTED)]


def test_a_settled_budget_ends_the_study() -> None:
    """Complete, pruned and failed configurations count alike."""
    rows = [_done(0), _done(1, Reason.PRUNED), _done(2, Reason.INFEASIBLE), _done(3, Reason.LOST)]
    assert _plan(make_study(), *rows) == [End(Ending.FINISHED)]


def test_an_extended_study_goes_on() -> None:
    """A larger budget asks for the configurations that are missing."""
    assert _plan(make_study(budget=5), *(_done(one) for one in range(4))) == [Enqueue(NewAttempt(4, 0))]


class TestPaused:
    """A study that is paused."""

    study = make_study(control=Control.PAUSE)

    def test_gets_no_rows(self) -> None:
        """Neither new ones nor retries; what waits stays."""
        assert _plan(self.study, make_attempt(0), _done(1, Reason.INTERRUPTED)) == []

    def test_loses_workers_all_the_same(self) -> None:
        """A lease that runs out meanwhile is noticed."""
        assert _plan(self.study, _running(0, lease_until=0.0)) == [Expire(100, Reason.INTERRUPTED)]

    def test_ends_when_the_last_row_finishes(self) -> None:
        """What ran on may settle the budget."""
        assert _plan(self.study, *(_done(one) for one in range(4))) == [End(Ending.FINISHED)]


@pytest.mark.parametrize("control", [Control.STOP, Control.CANCEL])
class TestStopped:
    """A study that is to stop, after its running trials or with them: the worker ends those."""

    def test_takes_back_what_waits_and_waits_for_what_runs(self, control: Control) -> None:
        """It has not ended while something runs."""
        assert _plan(make_study(control=control), make_attempt(0), _running(1)) == [Withdraw(100)]

    def test_ends_once_nothing_runs(self, control: Control) -> None:
        """Then it has been stopped; what was cancelled is not tried again."""
        rows = [make_attempt(0), _done(1), _done(2, Reason.CANCELLED)]
        assert _plan(make_study(control=control), *rows) == [Withdraw(100), End(Ending.STOPPED)]

    def test_has_finished_where_its_budget_is_settled(self, control: Control) -> None:
        """Nothing is missing, so nothing was stopped."""
        assert _plan(make_study(control=control), *(_done(one) for one in range(4))) == [End(Ending.FINISHED)]

    def test_loses_workers_all_the_same(self, control: Control) -> None:
        """A worker that died cannot keep it from ending."""
        assert _plan(make_study(control=control), _running(0, lease_until=0.0)) == [Expire(100, Reason.INTERRUPTED)]


def test_a_cancelled_trial_is_tried_again_when_the_study_goes_on() -> None:
    """With the parameters that it had."""
    assert _plan(make_study(budget=1), _done(0, Reason.CANCELLED)) == [Enqueue(NewAttempt(0, 1, params_of=100))]


class TestForced:
    """A configuration that had failed for good, and that a user wants to be tried again."""

    failed = (make_attempt(0, 0, reason=Reason.ERROR), make_attempt(0, 1, reason=Reason.ERROR))

    def test_is_open_while_the_attempt_is(self) -> None:
        """Neither is it tried a second time, nor has the study ended."""
        assert _plan(make_study(budget=1), *self.failed, make_attempt(0, 2, forced=True)) == []

    def test_starts_with_no_failures_counted(self) -> None:
        """It may fail as often as a new one."""
        third = make_attempt(0, 2, reason=Reason.ERROR, forced=True)
        assert _plan(make_study(budget=1), *self.failed, third) == [Enqueue(NewAttempt(0, 3, params_of=third.trial_id))]
        fourth = make_attempt(0, 3, reason=Reason.ERROR)
        assert _plan(make_study(budget=1), *self.failed, third, fourth) == [End(Ending.FINISHED)]

    def test_is_tried_although_it_was_taken_back(self) -> None:
        """Stopped before anyone claimed it, it is what the study goes on with."""
        taken_back = make_attempt(0, 2, reason=Reason.WITHDRAWN, forced=True)
        again = Enqueue(NewAttempt(0, 3, params_of=taken_back.trial_id))
        assert _plan(make_study(budget=1), *self.failed, taken_back) == [again]


class TestExhausted:
    """A configuration has found no parameters that are not another's."""

    _NOTHING = make_attempt(2, reason=Reason.EXHAUSTED, ended_at=_NOW - 1)

    def _plan(self, *attempts: Attempt, budget: int = 9, **fields: Any) -> list[Action]:
        return _plan(make_study(budget=budget, **fields), *attempts, self._NOTHING)

    def test_the_study_ends_once_nothing_runs(self) -> None:
        """Before its budget is settled, and says so."""
        (end,) = self._plan(_done(0), _done(1))
        assert end == End(
            Ending.FINISHED, "the search space is exhausted: 2 configurations were settled, and no other was found"
        )

    def test_what_runs_is_waited_for(self) -> None:
        """Nothing new is tried meanwhile, and rows that nobody has drawn are taken back."""
        waiting = make_attempt(3)
        assert self._plan(_done(0), _running(1), waiting) == [Withdraw(waiting.trial_id)]
        assert self._plan(_done(0), _running(1), replace(waiting, state=State.FAIL, reason=Reason.WITHDRAWN)) == []

    def test_what_has_parameters_is_still_settled(self) -> None:
        """Retries, points of the study and points of users; a drawn one is not taken back."""
        lost = _done(1, Reason.INTERRUPTED)
        assert self._plan(_done(0), lost) == [Enqueue(NewAttempt(1, 1, params_of=lost.trial_id))]
        assert self._plan(_done(0), points=2) == [Enqueue(NewAttempt(1, 0))]
        asked_for = make_attempt(3, forced=True)
        assert self._plan(_done(0), _done(1), asked_for) == []
        taken_back = replace(asked_for, state=State.FAIL, reason=Reason.WITHDRAWN)
        assert self._plan(_done(0), _done(1), taken_back) == [Enqueue(NewAttempt(3, 1, params_of=taken_back.trial_id))]

    def test_what_was_interrupted_first_ends_it_as_well(self) -> None:
        """The last attempt decides, so that there is no end without end."""
        before = make_attempt(2, reason=Reason.INTERRUPTED, ended_at=_NOW - 50)
        again = make_attempt(2, 1, reason=Reason.EXHAUSTED, ended_at=_NOW - 1)
        (end,) = _plan(make_study(budget=9), _done(0), _done(1), before, again)
        assert isinstance(end, End)

    def test_a_study_that_was_resumed_tries_again(self) -> None:
        """Another choice may have been accepted since."""
        assert self._plan(_done(0), _done(1), budget=3, resumed_at=_NOW) == [
            Enqueue(NewAttempt(2, 1, params_of=self._NOTHING.trial_id))
        ]

    def test_a_budget_that_is_settled_is_not_called_exhausted(self) -> None:
        """Where another attempt has settled the configuration after all."""
        assert self._plan(_done(0), _done(1), make_attempt(2, 1, reason=Reason.FINISHED), budget=3) == [
            End(Ending.FINISHED)
        ]


@pytest.mark.parametrize("ending", list(Ending))
def test_a_study_that_has_ended_takes_back_what_still_waits(ending: Ending) -> None:
    """A row that came in while it ended does not wait for ever."""
    assert _plan(make_study(ending=ending), make_attempt(3), _done(0)) == [Withdraw(103)]
    assert _plan(make_study(ending=ending), _done(0)) == []


class TestTheSameError:
    """The same error of the study's code, several times in a row."""

    study = make_study(budget=20, spec=make_spec(max_repeated_errors=3))

    def _errors(self, *errors: str) -> list[Attempt]:
        return [_done(number, Reason.ERROR, error=error) for number, error in enumerate(errors)]

    def test_stops_the_study(self) -> None:
        """It has failed, and what waits is taken back."""
        message = "the same error 3 times in a row: E: no"
        assert _plan(self.study, *self._errors(*["E: no"] * 3), make_attempt(9)) == [
            Withdraw(109),
            End(Ending.FAILED, message),
        ]

    @pytest.mark.parametrize(
        "rows",
        [
            pytest.param(["E: no", "E: no"], id="fewer"),
            pytest.param(["E: no", "E: other", "E: no"], id="another one between"),
            pytest.param(["E: no", "E: no", Reason.FINISHED, "E: no"], id="a success between"),
            pytest.param(["E: no", "E: no", "E: no", Reason.PRUNED], id="a success after"),
        ],
    )
    def test_does_not_where_it_is_not_all_there_is(self, rows: list[str | Reason]) -> None:
        """One trial that got through shows that the code works."""
        attempts = [
            _done(number, row) if isinstance(row, Reason) else _done(number, Reason.ERROR, error=row)
            for number, row in enumerate(rows)
        ]
        assert not any(isinstance(action, End) for action in _plan(self.study, *attempts))

    def test_counts_past_what_says_nothing_of_the_code(self) -> None:
        """Interruptions between the errors do not hide them."""
        first, *others = self._errors(*["E: no"] * 4)
        between = [replace(others[0], reason=Reason.INTERRUPTED, error="WorkerLost: w1")]
        assert End(Ending.FAILED, "the same error 3 times in a row: E: no") in _plan(
            self.study, first, *between, *others[1:]
        )

    def test_is_forgiven_when_a_user_lets_the_study_go_on(self) -> None:
        """Only errors since then count."""
        resumed = replace(self.study, resumed_at=_NOW)
        assert not any(isinstance(action, End) for action in _plan(resumed, *self._errors(*["E: no"] * 3)))


class TestAStoppingRule:
    """A study of which one says that it has come far enough."""

    study = make_study(spec=make_spec(stop={"target": 0.9}))
    best = _done(0, value=0.95, number=7)
    message = "stop.target=0.9: trial 7 reached val_accuracy 0.95"

    def test_ends_it_once_nothing_runs(self) -> None:
        """It has finished, and says by which rule; what waits is taken back."""
        assert _plan(self.study, self.best, make_attempt(1)) == [Withdraw(101), End(Ending.FINISHED, self.message)]

    def test_lets_running_trials_finish(self) -> None:
        """Nothing is added meanwhile, not even a retry."""
        assert _plan(self.study, self.best, _running(1), _done(2, Reason.INTERRUPTED), make_attempt(3)) == []

    def test_cancels_them_where_it_is_to(self) -> None:
        """Once; then their workers end them, and the study."""
        study = make_study(spec=make_spec(stop={"target": 0.9, "running": "cancel"}))
        assert _plan(study, self.best, _running(1)) == [CancelRunning(self.message)]
        cancelling = replace(study, control=Control.CANCEL)
        assert _plan(cancelling, self.best, _running(1)) == []
        assert _plan(cancelling, self.best, _done(1, Reason.CANCELLED)) == [End(Ending.FINISHED, self.message)]

    def test_that_cancelled_ends_it_although_it_holds_no_more(self) -> None:
        """What ran became the best before it heard; a cancellation by a user has no rule to name."""
        study = make_study(spec=make_spec(trials=9, stop={"patience": 3, "running": "cancel"}), control=Control.CANCEL)
        rows = [_done(0, value=0.5), *(_done(one, value=0.1) for one in (1, 2, 3)), _done(4, value=0.9)]
        message = "stop.patience=3: 3 trials without a better value"
        assert _plan(replace(study, ending_message=message), *rows) == [End(Ending.FINISHED, message)]
        assert _plan(study, *rows) == [End(Ending.STOPPED)]

    def test_of_epochs_cancels_nothing(self) -> None:
        """What runs had its epochs set aside."""
        study = make_study(spec=make_spec(stop={"epochs": 10, "running": "cancel"}))
        assert _plan(study, _done(0, epoch=9), _running(1)) == []

    def test_is_not_said_of_a_settled_budget(self) -> None:
        """Then all was tried, whatever else holds."""
        assert _plan(make_study(budget=1, spec=self.study.spec), self.best) == [End(Ending.FINISHED)]

    def test_ends_a_paused_study_and_one_that_a_user_stops(self) -> None:
        """Nothing could start there either."""
        for control in (Control.PAUSE, Control.STOP):
            assert _plan(replace(self.study, control=control), self.best) == [End(Ending.FINISHED, self.message)]


class _Simulation:
    """A study in memory, with workers that claim, finish, fail, are interrupted and die as the random numbers say."""

    def __init__(self, study: StudyRecord, dice: random.Random, *, slots: int, trouble: float) -> None:
        self.study = study
        self.dice = dice
        self.slots = slots
        self.trouble = trouble
        self.rows: list[Attempt] = []
        self.history = History(study.spec)
        self.now = 0.0
        self.interruptions_left = 300

    def run(self) -> None:
        """Play until the study has ended and nothing is open any more."""
        self.advance(20_000)
        assert self._at_rest(), f"the study has not ended: {self.rows}"

    def advance(self, steps: int) -> None:
        """Play so many steps, or until there is nothing left to play."""
        for _ in range(steps):
            self.reconcile()
            if self._at_rest():
                return
            self.now += self.dice.choice([0.0, 0.1, 1.0, 5.0])
            self.dice.choice([self._claim, self._claim, self._end_one, self._end_one, self._renew, self._fall_silent])()

    def reconcile(self) -> None:
        """Do what the plan says; sometimes a part only, sometimes what was planned from rows that were read earlier."""
        actions = self._plan()
        if self.dice.random() < 0.2:
            actions += self._plan()
        if actions and self.dice.random() < 0.2:
            actions = actions[: self.dice.randrange(len(actions))]
        if self.dice.random() < 0.1:
            self._claim()
        for action in actions:
            self._act(action)
            self.check()

    def _plan(self) -> list[Action]:
        """Plan from a history that goes on; it says the same as all rows read anew."""
        self.history.take(self.rows)
        actions = plan(self.study, self.history, slots=self.slots, now=self.now)
        assert actions == plan(self.study, History(self.study.spec, self.rows), slots=self.slots, now=self.now)
        return actions

    def check(self) -> None:
        """Check what holds at every moment."""
        waiting = [one for one in self.rows if one.state is State.WAITING]
        retries = sum(one.attempt > 0 for one in waiting)
        assert len(waiting) - retries <= WAITING_PER_SLOT * max(self.slots, 1)
        for configuration, mine in by_configuration(self.rows).items():
            assert 0 <= configuration < self.study.budget
            assert [one.attempt for one in mine] == list(range(len(mine)))
            assert sum(not one.state.final for one in mine) <= 1
            assert all(one.state.final for one in mine[:-1])
            settling = settled_by(mine, self.study.spec.max_attempts)
            assert settling in (None, mine[-1]), "an attempt follows one that settled the configuration"

    def settled(self) -> set[int]:
        """Return the configurations whose outcome counts."""
        return {
            configuration
            for configuration, mine in by_configuration(self.rows).items()
            if settled_by(mine, self.study.spec.max_attempts) is not None
        }

    def _at_rest(self) -> bool:
        return self.study.ending is not None and all(one.state.final for one in self.rows)

    def _act(self, action: Action) -> None:
        # What a backend does: it looks again whether the action still applies.
        match action:
            case Enqueue(new):
                if not any((one.configuration, one.attempt) == (new.configuration, new.attempt) for one in self.rows):
                    earlier = [one.trial_id for one in self.rows if one.configuration == new.configuration]
                    assert new.params_of == (earlier[-1] if earlier else None)
                    self._insert(new)
            case Expire(trial_id, reason):
                row = self._row(trial_id)
                if row.state is State.RUNNING and row.lease_until is not None and row.lease_until < self.now:
                    self._end(row, reason)
            case Withdraw(trial_id):
                if self._row(trial_id).state is State.WAITING:
                    self._end(self._row(trial_id), Reason.WITHDRAWN)
            case CancelRunning(message):
                self.study = replace(self.study, control=Control.CANCEL, ending_message=message)
            case End(ending, message):
                if self.study.ending is None:
                    self.study = replace(self.study, ending=ending, ending_message=message)

    def _insert(self, new: NewAttempt) -> None:
        number = len(self.rows)
        self.rows.append(make_attempt(new.configuration, new.attempt, number=number, forced=new.forced))

    def retry(self) -> None:
        """Have configurations that failed for good tried again, some of them or all, as a user does."""
        grouped = by_configuration(self.rows)
        failed = [
            mine
            for mine in grouped.values()
            if (last := settled_by(mine, self.study.spec.max_attempts)) is not None and last.state is State.FAIL
        ]
        for mine in self.dice.sample(failed, self.dice.randint(0, len(failed))):
            last = mine[-1]
            self._insert(NewAttempt(last.configuration, last.attempt + 1, last.trial_id, forced=True))
            self.study = replace(self.study, control=Control.RUN, ending=None, resumed_at=self.now)

    def _row(self, trial_id: int) -> Attempt:
        return next(one for one in self.rows if one.trial_id == trial_id)

    def _put(self, row: Attempt) -> None:
        self.rows[row.number] = row

    def _end(self, row: Attempt, reason: Reason) -> None:
        error = "E: no" if reason is Reason.ERROR else None
        value = round(self.dice.random(), 1) if reason is Reason.FINISHED else None
        ended = replace(row, state=Outcome(reason).state, reason=reason, error=error, ended_at=self.now, value=value)
        self._put(replace(ended, epoch=self._epochs(row, reason)))

    def _epochs(self, row: Attempt, reason: Reason) -> int:
        if row.owner is None:
            return 0
        return row.epoch if reason is Reason.INTERRUPTED else self.dice.randint(row.epoch, self.study.spec.max_epochs)

    def _claim(self) -> None:
        running = sum(one.state is State.RUNNING for one in self.rows)
        waiting = [one for one in self.rows if one.state is State.WAITING]
        if waiting and running < self.slots and self.study.control is Control.RUN and self.study.ending is None:
            if not may_start(self.study.spec, self.rows, now=self.now, since=self.study.resumed_at):
                return
            row = min(waiting, key=lambda one: (one.attempt == 0, one.configuration))
            claimed = {"owner": "w", "lease_until": self.now + 30.0, "claimed_at": self.now}
            self._put(replace(row, state=State.RUNNING, **claimed))  # type: ignore[arg-type]

    def _end_one(self) -> None:
        running = [one for one in self.rows if one.state is State.RUNNING]
        if running:
            row = self.dice.choice(running)
            self._end(row, self._reason(row))
            self.check()

    def _reason(self, row: Attempt) -> Reason:
        if self.study.control is Control.CANCEL:
            return Reason.CANCELLED
        if self.dice.random() >= self.trouble:
            return self.dice.choice([Reason.FINISHED, Reason.PRUNED, Reason.DIVERGED])
        reason = self.dice.choice(
            [Reason.OOM, Reason.INTERRUPTED, Reason.TIMEOUT, Reason.STALLED, Reason.CRASHED, Reason.ERROR]
        )
        if reason is Reason.OOM and any(
            one.configuration == row.configuration and one.reason is Reason.OOM for one in self.rows
        ):
            return Reason.INFEASIBLE
        if reason is Reason.INTERRUPTED:
            # Interruptions are not charged; what always interrupts would never end.
            self.interruptions_left -= 1
            return reason if self.interruptions_left > 0 else Reason.FINISHED
        return reason

    def _renew(self) -> None:
        for row in self.rows:
            if row.state is State.RUNNING and self.dice.random() < 0.8:
                epoch = self.dice.randint(row.epoch, self.study.spec.max_epochs)
                self._put(replace(row, lease_until=self.now + 30.0, epoch=epoch))

    def _fall_silent(self) -> None:
        if self.dice.random() < self.trouble:
            self.now += 40.0


_SIMULATIONS = settings(max_examples=60, deadline=None)
_dice = st.integers(0, 2**32).map(random.Random)
_trouble = st.sampled_from([0.0, 0.1, 0.5, 0.9])


@_SIMULATIONS
@given(
    dice=_dice,
    trouble=_trouble,
    budget=st.integers(1, 25),
    slots=st.integers(0, 6),
    max_attempts=st.integers(1, 4),
)
def test_the_budget_is_exact_whatever_happens_to_the_workers(
    dice: random.Random, trouble: float, budget: int, slots: int, max_attempts: int
) -> None:
    """In the end each configuration of the budget is settled once, and no row is open."""
    spec = make_spec(trials=budget, max_attempts=max_attempts, max_repeated_errors=1000)
    simulation = _Simulation(make_study(spec=spec), dice, slots=max(slots, 1), trouble=trouble)
    simulation.run()
    assert simulation.study.ending is Ending.FINISHED
    assert simulation.settled() == set(range(budget))
    counted = Counter(
        one.configuration
        for one in simulation.rows
        if one.reason in (Reason.FINISHED, Reason.PRUNED, Reason.DIVERGED, Reason.INFEASIBLE, Reason.LOST)
    )
    assert max(counted.values(), default=0) <= 1


@_SIMULATIONS
@given(dice=_dice, trouble=_trouble, budget=st.integers(2, 12), more=st.integers(1, 8))
def test_an_extended_study_settles_what_was_added(dice: random.Random, trouble: float, budget: int, more: int) -> None:
    """A finished study whose budget is raised goes on to exactly the new one."""
    spec = make_spec(trials=budget, max_repeated_errors=1000)
    simulation = _Simulation(make_study(spec=spec), dice, slots=3, trouble=trouble)
    simulation.run()
    rows_before = list(simulation.rows)
    simulation.study = replace(simulation.study, budget=budget + more, ending=None, resumed_at=simulation.now)
    simulation.run()
    assert simulation.settled() == set(range(budget + more))
    assert simulation.rows[: len(rows_before)] == rows_before, "a row that had ended was changed"


@_SIMULATIONS
@given(dice=_dice, trouble=st.sampled_from([0.5, 0.9]), max_attempts=st.integers(1, 3), times=st.integers(1, 8))
def test_what_a_user_has_tried_again_is_settled_anew(
    dice: random.Random, trouble: float, max_attempts: int, times: int
) -> None:
    """At whatever moments failed configurations are retried, in the end each is settled, by its last attempt."""
    spec = make_spec(trials=8, max_attempts=max_attempts, max_repeated_errors=1000)
    simulation = _Simulation(make_study(spec=spec), dice, slots=3, trouble=trouble)
    for _ in range(times):
        simulation.advance(dice.randrange(60))
        simulation.retry()
        simulation.check()
    simulation.run()
    assert simulation.study.ending is Ending.FINISHED
    assert simulation.settled() == set(range(8))
    for mine in by_configuration(simulation.rows).values():
        forced = max((one.attempt for one in mine if one.forced), default=0)
        settling = settled_by(mine, max_attempts)
        assert settling is not None
        assert settling.attempt >= forced
        # What was tried again had been settled, by a failure: the budget counts it once all the same.
        for one in mine:
            if one.forced:
                before = settled_by(mine[: one.attempt], max_attempts)
                assert before is not None
                assert before.state is State.FAIL


@_SIMULATIONS
@given(
    dice=_dice,
    trouble=_trouble,
    control=st.sampled_from([Control.PAUSE, Control.STOP, Control.CANCEL]),
    steps=st.integers(0, 60),
)
def test_a_study_that_was_held_up_goes_on_to_its_budget(
    dice: random.Random, trouble: float, control: Control, steps: int
) -> None:
    """Paused, stopped or cancelled at any moment, and let go on later, it settles its whole budget and no more."""
    spec = make_spec(trials=10, max_repeated_errors=1000)
    simulation = _Simulation(make_study(spec=spec), dice, slots=2, trouble=trouble)
    simulation.advance(steps)
    simulation.study = replace(simulation.study, control=control)
    claimed = sum(one.owner is not None for one in simulation.rows)
    if control is not Control.PAUSE:
        simulation.run()
        assert simulation.study.ending in (Ending.STOPPED, Ending.FINISHED)
    else:
        simulation.advance(100)
    assert sum(one.owner is not None for one in simulation.rows) == claimed, "a row was claimed meanwhile"
    simulation.study = replace(simulation.study, control=Control.RUN, ending=None, resumed_at=simulation.now)
    simulation.run()
    assert simulation.study.ending is Ending.FINISHED
    assert simulation.settled() == set(range(10))


@_SIMULATIONS
@given(dice=_dice, times=st.integers(1, 6))
def test_code_that_always_fails_stops_the_study_early(dice: random.Random, times: int) -> None:
    """The same error so many times in a row ends it; the attempts that then still ran are few."""
    spec = make_spec(trials=50, max_repeated_errors=times)
    simulation = _Simulation(make_study(spec=spec), dice, slots=3, trouble=1.0)
    simulation._reason = lambda row: Reason.ERROR  # type: ignore[method-assign]  # noqa: ARG005
    simulation.run()
    assert simulation.study.ending is Ending.FAILED
    assert simulation.study.ending_message == f"the same error {times} times in a row: E: no"
    # Reconciling now and then is cut off, and leaves the ending to the next time.
    assert sum(one.reason is Reason.ERROR for one in simulation.rows) <= times + 3 * simulation.slots


_rules = st.fixed_dictionaries(
    {},
    optional={
        "epochs": st.integers(9, 120),
        "hours": st.floats(0.0001, 0.02),
        "device_hours": st.floats(0.0001, 0.02),
        "target": st.sampled_from([0.5, 0.9, 1.0, 2.0]),
        "patience": st.integers(1, 10),
        "running": st.sampled_from(["finish", "cancel"]),
    },
)


@_SIMULATIONS
@given(dice=_dice, trouble=_trouble, rules=_rules, slots=st.integers(1, 5))
def test_a_stopping_rule_ends_a_study_and_no_epoch_is_too_many(
    dice: random.Random, trouble: float, rules: dict[str, Any], slots: int
) -> None:
    """Whatever happens, it ends by its budget or by a rule that holds, nothing starts after, and epochs keep within."""
    study = make_study(spec=make_spec(trials=15, max_repeated_errors=1000, stop=rules))
    simulation = _Simulation(study, dice, slots=slots, trouble=trouble)
    held = False
    while not simulation._at_rest():
        before = {one.number for one in simulation.rows if one.claimed_at is not None}
        simulation.advance(1)
        begun = {one.number for one in simulation.rows if one.claimed_at is not None} - before
        assert not (held and begun and "patience" not in rules), "a trial began after a rule held"
        held = reached(study.spec, simulation.rows, now=simulation.now, since=0.0) is not None
        if "epochs" in rules:
            assert epochs_trained(simulation.rows) <= rules["epochs"]
    assert simulation.study.ending is Ending.FINISHED
    settled_all = simulation.settled() == set(range(15))
    message = simulation.study.ending_message
    assert settled_all or message.startswith("stop."), message
    if rules.get("running", "finish") == "finish" or message.startswith("stop.epochs"):
        assert all(one.reason is not Reason.CANCELLED for one in simulation.rows)
    without = make_spec(trials=15, max_repeated_errors=1000)
    simulation.study = replace(simulation.study, ending=None, control=Control.RUN, spec=without)
    simulation.run()
    assert simulation.settled() == set(range(15)), "without the rules it goes on to its budget"
