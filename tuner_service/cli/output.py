"""Printing: tables for people, JSON for programs, errors in one line."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tuner_service.domain.plural import count as count

#: Columns of a table that nobody's terminal bounds.
_UNBOUNDED = 400

out = Console(highlight=False, width=None if sys.stdout.isatty() else _UNBOUNDED)
err = Console(stderr=True, highlight=False, soft_wrap=True)

#: Version of the JSON that listings print; raised when a field changes its meaning or goes away.
JSON_VERSION = 1


def print_json(kind: str, content: object) -> None:
    """Print a listing for programs: ``{"version": 1, KIND: ...}``."""
    print(json.dumps({"version": JSON_VERSION, kind: content}, indent=2, default=str))


def print_error(message: str) -> None:
    """Print what was wrong, to where errors go."""
    err.print(f"[bold red]error:[/] {escape(message)}")


def print_warning(message: str) -> None:
    """Print what the user had better know, to where errors go."""
    err.print(f"[bold yellow]warning:[/] {escape(message)}")


def print_note(message: str) -> None:
    """Print what was done."""
    out.print(escape(message))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[str] = ()) -> Table:
    """Return a table; the columns named in ``right`` hold numbers."""
    made = Table(box=None, pad_edge=False, header_style="bold", collapse_padding=False)
    # As text: a study's own words may look like markup. What is in colour comes as text already.
    cells = [[value if isinstance(value, Text) else Text(text(value)) for value in row] for row in rows]
    for index, column in enumerate(columns):
        widths = [len(column), *(row[index].cell_len for row in cells)]
        # The last column gives way where the terminal is narrow.
        min_width = None if index == len(columns) - 1 else max(widths)
        justify: JustifyMethod = "right" if column in right else "left"
        made.add_column(Text(column), justify=justify, no_wrap=True, overflow="ellipsis", min_width=min_width)
    for row in cells:
        made.add_row(*row)
    return made


def fits(made: Table) -> bool:
    """Return whether a table is whole in the terminal's width."""
    return made.__rich_measure__(out, out.options).maximum <= out.width


def text(value: Any) -> str:  # noqa: ANN401 - any cell
    """Return a value as people read it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return str(value) if not math.isfinite(value) else f"{value:.5g}"
    return str(value)


def duration(seconds: float | None) -> str:
    """Return a time span as people say it.

    >>> duration(75), duration(3700), duration(None)
    ('1m 15s', '1h 01m', '-')
    """
    if seconds is None:
        return "-"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d {whole % 86400 // 3600:02d}h"
