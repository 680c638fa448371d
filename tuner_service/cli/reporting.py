"""The command that writes a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tuner_service.cli import options as o
from tuner_service.cli.output import count, out, print_note, print_warning


def report(
    study: o.Study,
    storage: o.Storage = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Where it goes; by default STUDY-report.")
    ] = None,
) -> None:
    """Write a report: one HTML page that opens offline, its numbers as report.json, and its figures as PNG."""
    # Here, not above: the libraries that draw take a second, for which no other command should wait.
    from tuner_service.results.report.writing import write_report

    ledger = o.connect(storage)
    with out.status(f"reading {study}, and drawing"):
        written = write_report(ledger, study, output or Path(f"{study}-report"))
    few = next((one for one in written.content.importances if one.few), None)
    if few is not None:
        print_warning(f"only {count(few.trials, 'trial')} complete: the importances are closer to a guess")
    print_note(f"{written.page}, with report.json and {count(len(written.pictures), 'picture')} beside it")
