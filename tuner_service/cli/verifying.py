"""Commands that check results: rerun."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tuner_service.cli import options as o
from tuner_service.cli.output import count, out, print_note, text

if TYPE_CHECKING:
    from tuner_service.results.rerun import Rerun


def rerun(
    study: o.Study,
    numbers: Annotated[list[int], typer.Argument(metavar="N...", help="Trials that are complete or pruned.")],
    storage: o.Storage = None,
    studies: o.Studies = o.DEFAULT_STUDIES,
    accept_code: Annotated[
        bool, typer.Option("--accept-code", help="Train them although the study file's code has changed.")
    ] = False,
    traceback: o.Traceback = False,  # noqa: ARG001 - read where errors are printed
) -> None:
    """Train trials again, with their parameters and seeds, and compare. Exit code: 0 identical, 1 not."""
    from tuner_service.results.rerun import rerun as train_again

    identical = True
    with out.status("training again"):
        for again in train_again(o.connect(storage), study, numbers, studies=studies, accept_code=accept_code):
            identical &= again.identical
            _print_rerun(again)
    if not identical:
        sys.exit(1)


def _print_rerun(again: Rerun) -> None:
    attempt, result = again.trial.attempt, again.result
    values = " ".join(text(value) for value in attempt.values)
    if again.identical:
        figures = count(again.metrics, "figure")
        out.print(f"trial {attempt.number}: [bold green]identical[/], {values}, {figures} to the last bit")
    elif result.reason is not attempt.reason:
        why = "" if result.failure is None else f": {result.failure.fingerprint}"
        out.print(f"trial {attempt.number}: [red]{attempt.reason} then, {result.reason} now[/]{escape(why)}")
    else:
        out.print(f"trial {attempt.number}: [red]differs[/]")
    for one in again.differences:
        where = "" if one.epoch is None else f" in epoch {one.epoch}"
        most = f"; at most {one.most:.3g} apart" if one.most else f", {one.now - one.recorded:+.3g}"
        print_note(f"  {one.name}: {one.recorded:.9g} then, {one.now:.9g} now{where}{most}")
    for line in again.surroundings:
        print_note(f"  {line}")
    if not again.identical and not again.surroundings:
        print_note("  code, data, packages, host and device are the same: the training itself is not repeatable here")
