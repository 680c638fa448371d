"""An attempt, one row of the budget: which configuration it evaluates, who has it, how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tuner_service.domain.direction import Direction, is_better
from tuner_service.domain.outcome import RULES, Counts, Reason, State

Param = str | int | float | bool | None


@dataclass(frozen=True)
class Attempt:
    """What the ledger knows of one Optuna trial; times are the database's, in seconds since 1970."""

    trial_id: int  #: key of the row in Optuna's storage
    number: int  #: Optuna's trial number
    configuration: int  #: the logical point of the search that it evaluates, 0 .. n-1
    attempt: int  #: 0 for the first attempt of the configuration, then 1, 2, ...
    state: State
    owner: str | None = None  #: id of the worker that claimed it
    lease_until: float | None = None  #: when the claim runs out if it is not renewed
    claimed_at: float | None = None
    reason: Reason | None = None  #: set once the state is final
    error: str | None = None  #: the failure's fingerprint, for counting repeats
    ended_at: float | None = None
    forced: bool = False  #: a user asked for it, so that what its configuration came to before does not count
    epoch: int = 0  #: epochs trained when last heard of, over all runs
    run: int = 0  #: which of its runs it was at then, from 0
    resumed_from: int = 0  #: epochs of them that an earlier attempt had trained
    checkpoint: int = 0  #: epochs after which it was last saved
    last_value: float | None = None  #: the metric at that epoch
    value: float | None = None  #: the first objective's value; of a single one, for a pruned trial the last reported
    others: tuple[float, ...] = ()  #: the values of further objectives
    feasible: bool = True  #: all constraints that its code has set are satisfied

    @property
    def values(self) -> tuple[float, ...]:
        """The values of all objectives; none where there is no value."""
        return () if self.value is None else (self.value, *self.others)

    @property
    def own_epochs(self) -> int:
        """Epochs that it has trained itself, over all runs, without those that it resumed from."""
        return self.epoch - self.resumed_from


@dataclass(frozen=True)
class NewAttempt:
    """A row to be inserted: waiting, with the parameters of an earlier attempt where there was one."""

    configuration: int
    attempt: int
    params_of: int | None = None  #: trial id of the attempt whose parameters it repeats
    params: Mapping[str, Param] = field(default_factory=dict)  #: parameters that a user gave
    forced: bool = False  #: a user asked for it


#: Interruptions of one configuration without a new checkpoint after which it is given up as lost.
MAX_INTERRUPTIONS = 5


def settled_by(attempts: Iterable[Attempt], max_attempts: int) -> Attempt | None:
    """Return the attempt whose outcome settles the configuration that these attempts belong to, or ``None``.

    Attempts that the user cancelled or that were withdrawn are as if they had never been, and so is all that came
    before an attempt that the user asked for.
    """
    charged = 0
    ordered = sorted(attempts, key=lambda one: one.attempt)
    begin = max((index for index, one in enumerate(ordered) if one.forced), default=0)
    for attempt in ordered[begin:]:
        if not attempt.state.final:
            continue
        counts = RULES[_reason(attempt)].counts
        if counts is Counts.ALWAYS:
            return attempt
        if counts is Counts.CHARGED:
            charged += 1
            if charged >= max_attempts:
                return attempt
    return None


def settlements(attempts: Iterable[Attempt], max_attempts: int) -> dict[int, Attempt]:
    """Return the attempt that settles each settled configuration, by configuration."""
    decisive = {
        configuration: settled_by(mine, max_attempts) for configuration, mine in by_configuration(attempts).items()
    }
    return {configuration: one for configuration, one in decisive.items() if one is not None}


def is_undrawn(attempts: Sequence[Attempt]) -> bool:
    """Return whether a configuration waits that nobody has drawn, nor given a point; its attempts are these in order.

    What was withdrawn while it waited is as if it had never been.
    """
    *before, last = attempts
    return (
        last.state is State.WAITING
        and not any(one.forced for one in attempts)
        and all(one.reason is Reason.WITHDRAWN for one in before)
    )


def best_attempt(attempts: Iterable[Attempt], direction: Direction) -> Attempt | None:
    """Return the complete attempt with the best value, the earliest of equals; a feasible one, if there is any."""
    complete = [one for one in attempts if one.state is State.COMPLETE and one.value is not None]
    best: Attempt | None = None
    for one in [one for one in complete if one.feasible] or complete:
        than = None if best is None else best.value
        if one.value is not None and is_better(one.value, than, direction):
            best = one
    return best


def by_configuration(attempts: Iterable[Attempt]) -> Mapping[int, list[Attempt]]:
    """Return the attempts of each configuration, in the order of their numbers."""
    grouped: dict[int, list[Attempt]] = {}
    for attempt in sorted(attempts, key=lambda one: (one.configuration, one.attempt)):
        grouped.setdefault(attempt.configuration, []).append(attempt)
    return grouped


def _reason(attempt: Attempt) -> Reason:
    if attempt.reason is not None:
        return attempt.reason
    # A row that somebody else ended, optuna-dashboard for instance: only its state is known.
    return {State.COMPLETE: Reason.FINISHED, State.PRUNED: Reason.PRUNED}.get(attempt.state, Reason.CANCELLED)
