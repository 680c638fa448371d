"""The tables of docs/performance.md: made of rows, and written between the marks that a page has for them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from tuner_service.worker.machine import cores

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"

T = TypeVar("T")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; its first column is text, the others are numbers, to the right.

    >>> print(table(["what", "seconds"], [["fit", 4.5]]))
    | what | seconds |
    | --- | ---: |
    | fit | 4.5 |
    """
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(str(cell) for cell in row)} |" for row in (head, rule, *rows))


def seconds(number: float) -> str:
    """Return seconds with three digits, as a table shows them.

    >>> [seconds(0.01234), seconds(1.234), seconds(123.4), seconds(1234.5)]
    ['0.0123', '1.23', '123', '1234']
    """
    return f"{number:.3g}" if number < 1000 else f"{number:.0f}"


def ratio(theirs: float, ours: float, bar: float | None = None) -> str:
    """Return how many times the first is the second, and whether that is enough.

    >>> ratio(12.0, 3.0), ratio(12.0, 3.0, bar=4), ratio(10.0, 4.0, bar=4)
    ('4.0', '**4.0**', '2.5 (bar: 4)')
    """
    times = theirs / ours
    if bar is None:
        return f"{times:.1f}"
    return f"**{times:.1f}**" if times >= bar else f"{times:.1f} (bar: {bar:g})"


def replaced(page: str, name: str, text: str) -> str:
    """Return a page with what lies between the marks of this name replaced.

    Raises:
        ValueError: If the page has no such marks.
    """
    begin, end = f"<!-- {name}: written by make bench -->", f"<!-- {name}: end -->"
    before, found_begin, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"the page has no marks for {name!r}: {begin} and {end}, in this order")
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"


def write(name: str, text: str, *, rounds: int, page: Path = PAGE) -> None:
    """Write a table into the page, with what it was measured on, and show it."""
    how = f"medians of {rounds} runs" if rounds > 1 else "one run"
    text = f"{text}\n\n{how.capitalize()} on {cores()} cores."
    print(text, flush=True)
    page.write_text(replaced(page.read_text(encoding="utf-8"), name, text), encoding="utf-8")


def alternating(runs: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Call each in turn, so many times, so that what else the machine does falls on all of them alike."""
    results: dict[str, list[T]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            results[name].append(run())
    return results


def medians(results: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the median of each."""
    return {name: statistics.median(values) for name, values in results.items()}
