"""Whether a study has come far enough: what its stopping rules say of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tuner_service.domain.attempt import Attempt, best_attempt, settlements
from tuner_service.domain.direction import is_better
from tuner_service.domain.front import dominates, front
from tuner_service.domain.outcome import State
from tuner_service.domain.spec import StudySpec

_HOUR_S = 3600.0


@dataclass(frozen=True)
class Reached:
    """A rule that holds: no further trial starts."""

    rule: str  #: its field in ``Stopping``
    message: str  #: the rule with its numbers


def reached(spec: StudySpec, attempts: Sequence[Attempt], *, now: float, since: float) -> Reached | None:
    """Return the first rule of ``spec.stop`` that holds, or ``None``.

    Args:
        spec: The study's specification.
        attempts: All its rows.
        now: The database's time, in seconds since 1970.
        since: When a user last let the study go on after it had ended: time and patience count anew from then.
    """
    stop = spec.stop
    if stop.hours is not None and (hours := hours_since_begin(attempts, now=now, since=since)) >= stop.hours:
        return Reached("hours", f"stop.hours={stop.hours:g}: its first trial began {hours:.4g} hours ago")
    if stop.device_hours is not None and (hours := device_hours(attempts, now=now)) >= stop.device_hours:
        return Reached("device_hours", f"stop.device_hours={stop.device_hours:g}: its trials took {hours:.4g} hours")
    best = best_attempt(attempts, spec.better)
    allowed = best if best is not None and best.feasible else None
    if stop.target is not None and allowed is not None and not is_better(stop.target, allowed.value, spec.better):
        reaches = f"trial {allowed.number} reached {spec.metrics[0]} {allowed.value:.6g}"
        return Reached("target", f"stop.target={stop.target:g}: {reaches}")
    if stop.patience is not None and (waited := without_gain(spec, attempts, since=since)) >= stop.patience:
        than = "none is complete" if best is None else f"the best is trial {best.number} with {best.value:.6g}"
        if best is not None and len(spec.metrics) > 1:
            than = f"the front has {len(front(attempts, spec.directions))}"
        return Reached("patience", f"stop.patience={stop.patience}: {waited} trials without a better value, {than}")
    # Last: of all rules it alone cancels nothing.
    if stop.epochs is not None:
        trained, most = epochs_trained(attempts), spec.attempt_epochs
        if trained + most > stop.epochs:
            return Reached(
                "epochs", f"stop.epochs={stop.epochs}: {trained} are trained, and a trial may need {most} more"
            )
    return None


def standing(spec: StudySpec, attempts: Sequence[Attempt], *, now: float, since: float) -> list[str]:
    """Return how far the study is by each of its stopping rules, in words."""
    stop, words = spec.stop, []
    if stop.epochs is not None:
        words.append(f"{epochs_trained(attempts)} of {stop.epochs} epochs")
    if stop.hours is not None:
        words.append(f"{hours_since_begin(attempts, now=now, since=since):.3g} of {stop.hours:g} hours")
    if stop.device_hours is not None:
        words.append(f"{device_hours(attempts, now=now):.3g} of {stop.device_hours:g} device hours")
    if stop.target is not None:
        words.append(f"{spec.metrics[0]} {stop.target:g}")
    if stop.patience is not None:
        words.append(f"{without_gain(spec, attempts, since=since)} of {stop.patience} trials without a better value")
    return words


def may_start(spec: StudySpec, attempts: Sequence[Attempt], *, now: float, since: float) -> bool:
    """Return whether a further trial may start: no rule holds, and its epochs fit beside those of the running ones.

    Each running trial counts with the most epochs that it can train, so that the limit holds however they go on.
    """
    if reached(spec, attempts, now=now, since=since) is not None:
        return False
    if spec.stop.epochs is None:
        return True
    reserved = sum(max(spec.attempt_epochs, one.own_epochs) for one in attempts if one.state is State.RUNNING)
    trained = epochs_trained(one for one in attempts if one.state is not State.RUNNING)
    return trained + reserved + spec.attempt_epochs <= spec.stop.epochs


def epochs_trained(attempts: Iterable[Attempt]) -> int:
    """Return the epochs trained, as far as was heard of; those before a checkpoint count once."""
    return sum(one.own_epochs for one in attempts)


def hours_since_begin(attempts: Iterable[Attempt], *, now: float, since: float) -> float:
    """Return the hours since the first trial that was claimed at or after a time; 0 where there is none."""
    began = min(
        (one.claimed_at for one in attempts if one.claimed_at is not None and one.claimed_at >= since), default=now
    )
    return (now - began) / _HOUR_S


def device_hours(attempts: Iterable[Attempt], *, now: float) -> float:
    """Return the hours of all trials on their slots, from claim to end, running ones until now."""
    times = ((one.claimed_at, now if one.state is State.RUNNING else one.ended_at) for one in attempts)
    return sum(end - begin for begin, end in times if begin is not None and end is not None) / _HOUR_S


def without_gain(spec: StudySpec, attempts: Iterable[Attempt], *, since: float) -> int:
    """Return how many configurations were settled after a time, one after another, since the best value was found.

    With several objectives, since one was found that none before it dominates or equals. What breaks a constraint is
    compared only until there is one that does not.
    """
    decisive = settlements(attempts, spec.max_attempts).values()
    settled = sorted(decisive, key=lambda one: (one.ended_at or 0.0, one.number))
    best: list[Attempt] = []
    waited = 0
    for one in settled:
        gained = one.state is State.COMPLETE and len(one.values) == len(spec.metrics)
        if one.feasible and not any(other.feasible for other in best):
            rivals: list[Attempt] = []
        else:
            rivals, gained = best, gained and (one.feasible or not any(other.feasible for other in best))
        if gained and not any(
            other.values == one.values or dominates(other.values, one.values, spec.directions) for other in rivals
        ):
            best, waited = [*rivals, one], 0
        elif (one.ended_at or 0.0) > since:
            waited += 1
    return waited
