"""Commands for before a study starts: check."""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter

from rich.markup import escape

from tuner_service.cli import options as o
from tuner_service.cli.output import count, out, print_json
from tuner_service.coordinator.checking import check as check_file
from tuner_service.domain.finding import Level

#: Exit code of a check that has found errors.
FOUND_ERRORS = 1

_COLOURS = {Level.ERROR: "bold red", Level.WARNING: "bold yellow", Level.HINT: "bold cyan"}


def check(file: o.StudyFile, set_: o.Set = None, config: o.Config = None, json: o.Json = False) -> None:
    """Look for mistakes in a study file before anything is trained. Exit code 1 if there are errors."""
    with out.status(f"looking at {file}"):
        checked = check_file(file, o.changes(config, set_))
    if json:
        print_json("findings", [dataclasses.asdict(one) for one in checked.findings])
    else:
        for one in checked.findings:
            place = f"{file}:{one.line}" if one.line is not None else str(file)
            out.print(f"{escape(place)}: [{_COLOURS[one.level]}]{one.level}[/] [dim]\\[{one.rule}][/]", soft_wrap=True)
            out.print(f"    {escape(one.message)}")
        levels = Counter(one.level for one in checked.findings)
        found = ", ".join(count(levels[one], one.value) for one in Level if levels[one]) or "nothing found"
        out.print(f"[bold]{found}[/] in {escape(str(file))} ({escape(checked.tried)})")
    if checked.errors:
        sys.exit(FOUND_ERRORS)
