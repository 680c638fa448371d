"""What is missing in a study, worked out afresh from its rows each time. Nothing here touches anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from tuner_service.domain.attempt import MAX_INTERRUPTIONS, Attempt, NewAttempt, is_undrawn
from tuner_service.domain.ending import Reached, reached
from tuner_service.domain.outcome import Reason, State
from tuner_service.domain.study import Control, Ending, StudyRecord
from tuner_service.ledger.history import History

#: Waiting rows for each slot: enough that a slot finds one at once, few enough that the sampler reads little.
WAITING_PER_SLOT = 2


@dataclass(frozen=True)
class Expire:
    """Fail a running attempt whose lease has run out."""

    trial_id: int
    reason: Reason


@dataclass(frozen=True)
class Withdraw:
    """Take back a row that still waits."""

    trial_id: int


@dataclass(frozen=True)
class Enqueue:
    """Insert a waiting row."""

    new: NewAttempt


@dataclass(frozen=True)
class End:
    """Record that the study has ended."""

    ending: Ending
    message: str = ""


@dataclass(frozen=True)
class CancelRunning:
    """Have the trials that run ended now."""

    message: str  #: the rule that wants it


Action = Expire | Withdraw | Enqueue | CancelRunning | End


def plan(study: StudyRecord, history: History, *, slots: int, now: float, judge_from: float = 0.0) -> list[Action]:
    """Return what has to be done now for the study to go on, in the order in which it is to be done.

    Args:
        study: The study's record.
        history: All its rows.
        slots: Slots of the workers that are alive.
        now: The database's time, in seconds since 1970.
        judge_from: The time from which on leases may be judged: after the database was away, live workers are given
            time to renew theirs.
    """
    grouped = history.by_configuration
    running = [one for one in history.open if one.state is State.RUNNING]
    waiting = [one for one in history.open if one.state is State.WAITING]
    expired = [one for one in running if one.lease_until is None or one.lease_until < now]
    if expired and now >= judge_from:
        # First these alone: one of them may be renewed before it is failed, and must not get a successor then.
        return [Expire(one.trial_id, _expiry_reason(grouped[one.configuration])) for one in expired]

    if study.ending is not None:
        return [Withdraw(one.trial_id) for one in waiting]

    error = history.repeated_error(study.spec.max_repeated_errors, since=study.resumed_at)
    if error is not None:
        message = f"the same error {study.spec.max_repeated_errors} times in a row: {error}"
        return [*(Withdraw(one.trial_id) for one in waiting), End(Ending.FAILED, message)]

    budget = range(study.budget)
    if history.settled.issuperset(budget):
        return [End(Ending.FINISHED)]
    has_rules = study.spec.stop.has_rules
    rule = reached(study.spec, history.attempts, now=now, since=study.resumed_at) if has_rules else None
    if rule is not None:
        return _stop(study, rule, running, waiting)
    if study.control in (Control.STOP, Control.CANCEL):
        withdrawn: list[Action] = [Withdraw(one.trial_id) for one in waiting]
        # A rule that has cancelled may hold no more: what ran became the best just then.
        by_rule = study.control is Control.CANCEL and study.ending_message
        end = End(Ending.FINISHED, study.ending_message) if by_rule else End(Ending.STOPPED)
        return withdrawn if running else [*withdrawn, end]

    if study.control is Control.PAUSE:
        return []
    open_now = {one.configuration for one in (*running, *waiting)}
    missing = sorted(history.unsettled - open_now)
    if history.exhausted_at > study.resumed_at:
        return _exhausted(study, grouped, missing, running, waiting, len(history.settled))
    retries: list[NewAttempt] = [_next(grouped[one]) for one in missing]
    room = max(WAITING_PER_SLOT * max(slots, 1) - len(waiting) - len(retries), 0)
    fresh = islice((one for one in budget if one not in grouped), room)
    return [*(Enqueue(one) for one in retries), *(Enqueue(NewAttempt(one, 0)) for one in fresh)]


def _stop(study: StudyRecord, rule: Reached, running: list[Attempt], waiting: list[Attempt]) -> list[Action]:
    """Return what to do once a stopping rule holds; until nothing runs, rows wait, since no claim is granted."""
    if not running:
        return [*(Withdraw(one.trial_id) for one in waiting), End(Ending.FINISHED, rule.message)]
    # The epochs of those that run are within the limit.
    cancels = study.spec.stop.running == "cancel" and rule.rule != "epochs"
    return [CancelRunning(rule.message)] if cancels and study.control is not Control.CANCEL else []


def _exhausted(
    study: StudyRecord,
    grouped: Mapping[int, Sequence[Attempt]],
    missing: Sequence[int],
    running: Sequence[Attempt],
    waiting: Sequence[Attempt],
    settled: int,
) -> list[Action]:
    """Return what is to be done once there is nothing more to draw: what has its parameters is still settled."""
    undrawn = [one for one in waiting if one.configuration >= study.points and is_undrawn(grouped[one.configuration])]
    retries = [grouped[one] for one in missing if _has_parameters(study, grouped[one])]
    points = [one for one in range(min(study.points, study.budget)) if one not in grouped]
    actions: list[Action] = [Withdraw(one.trial_id) for one in undrawn]
    actions += [Enqueue(_next(mine)) for mine in retries]
    actions += [Enqueue(NewAttempt(one, 0)) for one in points]
    if running or len(waiting) > len(undrawn) or retries or points:
        return actions
    message = f"the search space is exhausted: {settled} configurations were settled, and no other was found"
    return [*actions, End(Ending.FINISHED, message)]


def _has_parameters(study: StudyRecord, attempts: Sequence[Attempt]) -> bool:
    """Return whether the next attempt of a configuration would not have to draw."""
    tried = [one for one in attempts if one.reason is not Reason.WITHDRAWN]
    if tried:
        return tried[-1].reason is not Reason.EXHAUSTED
    return attempts[0].configuration < study.points or any(one.forced for one in attempts)


def _expiry_reason(attempts: Sequence[Attempt]) -> Reason:
    """Return what the end of the running attempt is called, the last of its configuration."""
    in_vain = 0
    for one in reversed(attempts):
        if one.checkpoint > one.resumed_from:
            # It came further than those before it: what interrupts it is not of its own making.
            break
        in_vain += one.state is State.RUNNING or one.reason is Reason.INTERRUPTED
        if one.forced:
            break
    return Reason.LOST if in_vain >= MAX_INTERRUPTIONS else Reason.INTERRUPTED


def _next(attempts: Sequence[Attempt]) -> NewAttempt:
    last = attempts[-1]
    return NewAttempt(last.configuration, last.attempt + 1, params_of=last.trial_id)
