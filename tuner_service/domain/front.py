"""The Pareto front: of several objectives, the trials that no other beats in all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tuner_service.domain.attempt import Attempt, best_attempt
from tuner_service.domain.direction import Direction
from tuner_service.domain.outcome import State


def dominates(values: Sequence[float], others: Sequence[float], directions: Sequence[Direction]) -> bool:
    """Return whether values are nowhere worse than others, and somewhere better.

    >>> dominates((0.9, 10), (0.9, 20), ("maximize", "minimize"))
    True
    """
    mine, theirs = _losses(values, directions), _losses(others, directions)
    return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))


def front(attempts: Iterable[Attempt], directions: Sequence[Direction]) -> list[Attempt]:
    """Return the complete attempts that no other dominates, feasible ones if there are any.

    The best by the first objective comes first. With one objective that is the best attempt alone; with several, equal
    ones stand beside each other.
    """
    attempts = list(attempts)
    if len(directions) == 1:
        best = best_attempt(attempts, directions[0])
        return [] if best is None else [best]
    complete = [one for one in attempts if one.state is State.COMPLETE and len(one.values) == len(directions)]
    complete = [one for one in complete if one.feasible] or complete
    found: list[Attempt] = []
    # In this order none dominates one before it, so that each is compared with the front so far alone.
    for one in sorted(complete, key=lambda one: (_losses(one.values, directions), one.number)):
        if not any(dominates(other.values, one.values, directions) for other in found):
            found.append(one)
    return found


def kept(attempts: Iterable[Attempt], directions: Sequence[Direction], most: int) -> list[Attempt]:
    """Return the complete attempts whose models are kept: the best so many, feasible ones first.

    Of several objectives, those that fewer than so many others dominate; with ``most=1`` that is the front.
    """
    attempts = list(attempts)
    if most == 1:
        return front(attempts, directions)
    complete = [one for one in attempts if one.state is State.COMPLETE and len(one.values) == len(directions)]
    complete.sort(key=lambda one: (not one.feasible, _losses(one.values, directions), one.number))
    if len(directions) == 1:
        return complete[:most]
    # In this order none beats one before it.
    return [
        one
        for index, one in enumerate(complete)
        if sum(beats(other, one.values, directions, feasible=one.feasible) for other in complete[:index]) < most
    ]


def beats(attempt: Attempt, values: Sequence[float], directions: Sequence[Direction], *, feasible: bool) -> bool:
    """Return whether a complete attempt is better than these values: by its constraints, or else in its own."""
    if attempt.feasible is not feasible:
        return attempt.feasible
    return len(attempt.values) == len(directions) and dominates(attempt.values, values, directions)


def _losses(values: Sequence[float], directions: Sequence[Direction]) -> tuple[float, ...]:
    return tuple(
        -value if direction == "maximize" else value for value, direction in zip(values, directions, strict=True)
    )
