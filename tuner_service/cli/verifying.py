"""Commands that check results: evaluate, rerun, compare."""

from __future__ import annotations

import dataclasses
import math
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tuner_service.cli import options as o
from tuner_service.cli.exporting import looked_before, metrics_words
from tuner_service.cli.output import count, out, print_json, print_note, table, text
from tuner_service.domain.exit_code import ExitCode
from tuner_service.domain.run import CONFIDENCE
from tuner_service.results.compare import Comparison
from tuner_service.results.compare import compare as compare_studies

if TYPE_CHECKING:
    from tuner_service.results.rerun import Rerun


def evaluate(
    study: o.Study,
    number: Annotated[int | None, typer.Argument(metavar="[N]", help="A trial's number; without one the best.")] = None,
    storage: o.Storage = None,
    studies: o.Studies = o.DEFAULT_STUDIES,
    traceback: o.Traceback = False,  # noqa: ARG001 - read where errors are printed
) -> None:
    """Measure the best model on the test part, which tuning never saw, and record that somebody has looked."""
    from tuner_service.results.evaluate import evaluate as look

    with out.status("measuring"):
        found = look(o.connect(storage), study, studies=studies, number=number)
    trial, score = found.best.trial, found.score
    values = " ".join(text(value) for value in trial.attempt.values)
    out.print(f"trial {trial.attempt.number}, {escape(', '.join(found.best.study.spec.metrics))} {values} in the study")
    out.print(f"on test data: [bold green]{escape(metrics_words(score.metrics))}[/]")
    print_note(looked_before(found.before) if found.before else f"the first look at it, recorded for {score.who}")


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
        sys.exit(ExitCode.NOT_GOOD)


def compare(
    study: o.Study,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="Name of the other study.")],
    storage: o.Storage = None,
    json: o.Json = False,
) -> None:
    """Show what differs between two studies, and which is better, with an interval."""
    found = compare_studies(o.connect(storage), study, other)
    if json:
        print_json("comparison", _comparison_fields(found))
        return
    sides = (found.one, found.other)
    rows = [
        ("budget settled", *(f"{side.settled}/{side.study.budget}" for side in sides)),
        ("best", *(None if side.best is None else side.best.attempt.value for side in sides)),
        ("in trial", *(None if side.best is None else side.best.attempt.number for side in sides)),
        ("epochs trained", *(side.epochs for side in sides)),
    ]
    out.print(table(("", study, other), rows, right=(study, other)))
    for what, lines in found.differences.items():
        out.print()
        out.print(f"[bold]{what}[/]")
        for line in lines:
            print_note(f"  {line}")
    out.print()
    for gain in found.gains:
        percent = f"{CONFIDENCE:.0%}"
        print_note(
            f"{gain.of}: {study} is ahead by {gain.gain:.4g}, {percent} interval {gain.low:.4g} to {gain.high:.4g}"
        )
    if found.better is not None:
        out.print(f"[bold green]{escape(found.better)} is better[/]")
    else:
        out.print(f"[bold]which is better cannot be said[/]: {escape(found.undecided)}")


def _comparison_fields(found: Comparison) -> dict[str, object]:
    return {
        "studies": [found.one.study.name, found.other.study.name],
        "best": [None if one.best is None else one.best.attempt.value for one in (found.one, found.other)],
        "differences": found.differences,
        "gains": [
            {
                name: value if not isinstance(value, float) or math.isfinite(value) else str(value)
                for name, value in one.items()
            }
            for one in map(dataclasses.asdict, found.gains)
        ],
        "better": found.better,
        "undecided": found.undecided,
    }


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
