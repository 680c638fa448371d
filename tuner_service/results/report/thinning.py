"""Fewer things to draw, without losing the shape of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def spread_out(things: Sequence[T], most: int) -> list[T]:
    """Return at most so many things, evenly spread over the sequence, its first and last among them.

    >>> spread_out("abcdefg", 4)
    ['a', 'c', 'e', 'g']
    """
    if len(things) <= most:
        return list(things)
    step = (len(things) - 1) / (most - 1)
    return [things[round(place * step)] for place in range(most)]
