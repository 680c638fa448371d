"""How many of a thing there are, in words."""

from __future__ import annotations


def count(number: int, thing: str) -> str:
    """Return how many of a thing there are, in words.

    >>> count(1, "slot"), count(2, "study")
    ('1 slot', '2 studies')
    """
    if number == 1:
        return f"1 {thing}"
    return f"{number} {thing[:-1]}ies" if thing.endswith("y") else f"{number} {thing}s"
