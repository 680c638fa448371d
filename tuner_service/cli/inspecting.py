"""Commands that look: list, status, trials, show."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tuner_service.cli import options as o
from tuner_service.cli.output import count, duration, fits, out, print_json, print_note, table, text
from tuner_service.cli.view import best_words, left_words
from tuner_service.domain.attempt import Attempt
from tuner_service.domain.outcome import RULES, State
from tuner_service.domain.run import CONFIDENCE
from tuner_service.domain.spec import StudySpec
from tuner_service.domain.trial import Trial
from tuner_service.errors import SchemaError, SchemaVersionError, SpecError
from tuner_service.results import export as exporting
from tuner_service.results import trials as reading
from tuner_service.results.summary import Summary, summarize

#: Of trials that have begun, in the words of all that is printed.
_STATES = {"running": State.RUNNING, "complete": State.COMPLETE, "pruned": State.PRUNED, "failed": State.FAIL}


class SortBy(StrEnum):
    """Orders of the list of trials."""

    NUMBER = "number"
    VALUE = "value"
    SECONDS = "seconds"


def list_(storage: o.Storage = None, json: o.Json = False) -> None:
    """List the studies of the storage."""
    ledger = o.connect(storage)
    try:
        summaries = [summarize(ledger, study.name) for study in ledger.studies()]
    except SchemaVersionError:
        raise
    except SchemaError:
        summaries = []
    if json:
        print_json("studies", [_summary_fields(one) for one in summaries])
        return
    if not summaries:
        print_note("no studies yet; make one with `tuner create FILE` or `tuner run FILE`")
        return
    rows = [
        (
            one.study.name,
            one.state,
            f"{one.settled}/{one.study.budget}",
            ", ".join(one.study.spec.metrics),
            None if one.best is None else one.best.value,
            len(one.workers),
        )
        for one in summaries
    ]
    out.print(
        table(("study", "state", "trials", "metric", "best", "workers"), rows, right=("trials", "best", "workers"))
    )


def status(study: o.Study, storage: o.Storage = None, json: o.Json = False) -> None:
    """Show where a study stands, and what failed in it."""
    summary = summarize(o.connect(storage), study)
    if json:
        print_json("study", _summary_fields(summary))
        return
    for line in status_lines(summary):
        out.print(line)
    if summary.failures:
        out.print()
        print_failures(summary)


def print_failures(summary: Summary) -> None:
    """Print what failed, by its causes, each with its latest error and the command that shows all of that."""
    for one in summary.failures:
        what = f"{count(one.attempts, 'attempt')} of {count(one.configurations, 'configuration')}"
        out.print(f"{_coloured(str(one.reason)).markup}  {what}: {RULES[one.reason].meaning}")
        if one.last_error:
            out.print(f"  {one.last_error}", markup=False)
        # It is copied: also from a narrow terminal in one piece.
        out.print(f"  tuner show {summary.study.name} {one.shows}", markup=False, soft_wrap=True)


def status_lines(summary: Summary) -> list[str]:
    """Return the state of a study in a few lines of markup."""
    study = summary.study
    left = f", {left_words(summary)} left" if study.ending is None and summary.seconds_left is not None else ""
    running = f"{len(summary.running)} running, " if study.ending is None or summary.running else ""
    lines = [
        f"[bold]{escape(study.name)}[/]  {_coloured(summary.state).markup}{escape(_because(summary))}",
        f"trials   {summary.settled} of {study.budget} settled: {summary.complete} complete, {summary.pruned} pruned, "
        f"{summary.failed} failed; {running}{summary.retries} retried{left}",
        f"epochs   {summary.epochs_trained} trained, {summary.epochs_saved} saved by pruning",
    ]
    if study.ending is None and summary.stops:
        lines.append(f"stops    at {escape(', '.join(summary.stops))}")
    if study.ending is None:
        slots = count(sum(worker.slots for worker in summary.workers), "slot")
        lines.append(f"workers  {len(summary.workers)} alive with {slots}")
    if summary.front:
        what, _, rest = best_words(summary).partition(" ")
        lines.append(f"{what:8} [bold green]{escape(rest)}[/]")
    return lines


def trials(
    study: o.Study,
    storage: o.Storage = None,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state", help="Only trials in this state: running, complete, pruned or failed; may be repeated."
        ),
    ] = None,
    sort: Annotated[SortBy, typer.Option("--sort", help="The order; by value, the best first.")] = SortBy.NUMBER,
    json: o.Json = False,
) -> None:
    """List the trials of a study with their parameters."""
    asked = [one.lower() for one in state or []]
    if unknown := sorted(set(asked) - _STATES.keys()):
        raise SpecError(f"--state knows {', '.join(_STATES)}, got {unknown[0]!r}")
    wanted = {_STATES[one] for one in asked}
    ledger = o.connect(storage)
    found = [one for one in reading.trials(ledger, study) if not wanted or one.attempt.state in wanted]
    spec = ledger.study(study).spec
    found.sort(key=_order(sort, maximize=spec.better == "maximize"))
    if json:
        print_json("trials", [exporting.trial_fields(one) for one in found])
        return
    out.print(_trials_table(found, list(dict.fromkeys(name for one in found for name in one.params)), spec.metrics))


def _trials_table(found: list[Trial], params: list[str], metrics: tuple[str, ...]) -> Table:
    """Return the list of trials: a column a parameter, or all in one column where that is too wide."""
    values = metrics if len(metrics) > 1 else ("value",)
    columns = ("trial", "conf", "outcome", *values, "epochs", "time")
    numbers = ("trial", "conf", *values, "epochs", "time")
    rows = [
        (
            one.attempt.number,
            one.attempt.configuration,
            _coloured(str(one.attempt.reason or one.attempt.state).lower()),
            *(one.attempt.values or [None] * len(values)),
            one.attempt.epoch,
            duration(one.seconds),
        )
        for one in found
    ]
    wide = [(*row, *(one.params.get(name, "") for name in params)) for row, one in zip(rows, found, strict=True)]
    made = table((*columns, *params), wide, right=numbers)
    if fits(made):
        return made
    short = [", ".join(f"{name} {text(value)}" for name, value in one.params.items()) for one in found]
    return table((*columns, "parameters"), [(*row, one) for row, one in zip(rows, short, strict=True)], right=numbers)


def show(
    study: o.Study,
    number: Annotated[int, typer.Argument(metavar="N", help="The trial's number.")],
    storage: o.Storage = None,
    json: o.Json = False,
) -> None:
    """Show one trial: parameters, learning curve, and why it failed."""
    ledger = o.connect(storage)
    record = ledger.study(study)
    trial = reading.trial(ledger, study, number)
    curves = reading.curves_for_looking(record, number)
    if json:
        print_json("trial", {**exporting.trial_fields(trial), "curves": exporting.plain(curves)})
        return
    attempt = trial.attempt
    out.print(
        f"[bold]trial {attempt.number}[/] of {escape(study)}  "
        f"{_coloured(str(attempt.reason or attempt.state).lower()).markup}"
        f"  (configuration {attempt.configuration}, attempt {attempt.attempt + 1})"
    )
    if attempt.value is not None:
        # The value of a trial that was stopped is its last one; of one that finished, its best.
        finished = attempt.state is State.COMPLETE and trial.best_epoch is not None
        where = f" in epoch {trial.best_epoch}" if finished else ""
        trained = count(attempt.epoch, "epoch")
        out.print(f"{values_words(record.spec, attempt)}{where}, {trained} trained")
    if trial.runs:
        out.print(spread_line(trial))
    out.print(f"worker {escape(text(attempt.owner))}, {duration(trial.seconds)}, code {escape(text(trial.code))}")
    if "engine" in trial.attributes:
        out.print(f"epochs {escape(text(trial.attributes['engine']))}")
    if trial.params:
        out.print()
        out.print(table(("parameter", "value"), list(trial.params.items())))
    if trial.constraints:
        out.print()
        kept = [(name, value, "satisfied" if value <= 0 else "violated") for name, value in trial.constraints.items()]
        out.print(table(("constraint", "value", ""), kept))
    if trial.runs:
        out.print()
        out.print(_runs_table(trial))
    for run, curve in enumerate(curves, start=1):
        epochs = max(len(values) for values in curve.values())
        rows = [
            (epoch + 1, *(values[epoch] if epoch < len(values) else None for values in curve.values()))
            for epoch in _some(epochs)
        ]
        out.print()
        if len(curves) > 1:
            out.print(f"run {run}")
        out.print(table(("epoch", *curve), rows, right=("epoch", *curve)))
    if not curves and trial.reported:
        out.print()
        rows = [(step, value) for step, value in trial.reported.items()]
        out.print(table(("step", record.spec.watched), rows, right=("step", record.spec.watched)))
    print_failure(trial)


def spread_line(trial: Trial) -> str:
    """Return what the runs of a trial say of its value."""
    spread = trial.spread
    if spread is None:
        return "one run so far"
    percent = f"{CONFIDENCE:.0%}"
    return (
        f"mean of {spread.runs} runs: standard deviation {text(spread.std)}, "
        f"{percent} interval {text(spread.low)} to {text(spread.high)}"
    )


def _runs_table(trial: Trial) -> Table:
    columns = ("run", "execution", "fold", "value", "best epoch", "epochs", "seed")
    rows = [
        (
            index,
            run.execution + 1,
            None if run.fold is None else run.fold + 1,
            run.value,
            run.best_epoch,
            run.epochs,
            run.seed,
        )
        for index, run in enumerate(trial.runs, start=1)
    ]
    return table(columns, rows, right=columns)


def print_failure(trial: Trial) -> None:
    """Print why a trial failed, with the traceback of the study's code; nothing where it did not."""
    failure = trial.failure
    if failure is None:
        return
    out.print()
    where = f" on {failure.host}" if failure.host else ""
    out.print(f"[bold red]{escape(failure.type)}[/]{escape(where)}: {escape(failure.message)}")
    if failure.traceback:
        out.print(failure.traceback.rstrip(), markup=False)


def values_words(spec: StudySpec, attempt: Attempt) -> str:
    """Return a trial's values with the names of their metrics, as markup."""
    return ", ".join(
        f"{escape(metric)} [bold green]{text(value)}[/]"
        for metric, value in zip(spec.metrics, attempt.values, strict=False)
    )


def _summary_fields(summary: Summary) -> dict[str, object]:
    best = summary.best
    return {
        "name": summary.study.name,
        "state": summary.state,
        "ending_message": summary.study.ending_message,
        "metrics": list(summary.study.spec.metrics),
        "directions": list(summary.study.spec.directions),
        "budget": summary.study.budget,
        "settled": summary.settled,
        "complete": summary.complete,
        "pruned": summary.pruned,
        "failed": summary.failed,
        "running": summary.states.get(State.RUNNING, 0),
        "waiting": summary.states.get(State.WAITING, 0),
        "retries": summary.retries,
        "epochs_trained": summary.epochs_trained,
        "epochs_saved": summary.epochs_saved,
        "seconds_left": summary.seconds_left,
        "seconds_left_range": summary.left_range,
        "stops": list(summary.stops),
        "best": None if best is None else {"trial": best.number, "value": best.value},
        "front": [{"trial": one.number, "values": list(one.values)} for one in summary.front],
        "workers": [dataclasses.asdict(worker) for worker in summary.workers],
        "failures": [dataclasses.asdict(group) for group in summary.failures],
    }


def _order(sort: SortBy, *, maximize: bool) -> Callable[[Trial], tuple[bool, float]]:
    def key(one: Trial) -> tuple[bool, float]:
        match sort:
            case SortBy.VALUE:
                value = one.attempt.value
                return value is None, 0.0 if value is None else -value if maximize else value
            case SortBy.SECONDS:
                return one.seconds is None, one.seconds or 0.0
        return False, one.attempt.number

    return key


def _some(epochs: int, most: int = 40) -> list[int]:
    """Return the epochs of a curve to print, the first and the last among them."""
    step = max(1, -(-epochs // most))
    return sorted({*range(0, epochs, step), epochs - 1})


def _because(summary: Summary) -> str:
    return f": {summary.study.ending_message}" if summary.study.ending_message else ""


_COLOURS = {
    "finished": "green", "complete": "green", "running": "cyan", "pruned": "yellow", "diverged": "yellow",
    "infeasible": "yellow", "paused": "yellow", "stopping": "yellow", "stopped": "yellow", "waiting": "dim",
    "waiting for workers": "yellow", "interrupted": "magenta",
}  # fmt: skip


def _coloured(word: str) -> Text:
    return Text(word, _COLOURS.get(word, "red"))
