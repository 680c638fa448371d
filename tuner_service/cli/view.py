"""The live view of a study: what is known of it at one moment, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markup import escape
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tuner_service.cli.output import count, duration, out, text
from tuner_service.domain.attempt import Attempt
from tuner_service.domain.direction import is_better
from tuner_service.domain.outcome import State
from tuner_service.domain.worker import WorkerInfo
from tuner_service.results.summary import Summary

#: Rows of the table of workers, and characters of the sparkline, at most.
_MOST_ROWS, _SPARKS = 16, 24
#: Columns of that table that narrow terminals do without, narrower ones further down.
_LEFT_OUT = ((), ("slots",), ("slots", "worker"), ("slots", "worker", "s/epoch"))
_UNBOUNDED = 1000
_BARS = "▁▂▃▄▅▆▇█"


def view(summary: Summary, storage: str = "") -> RenderableType:
    """Return the live view of a study; ``storage`` says how the storage is, as markup."""
    parts: list[RenderableType] = [_head(summary, storage), _progress(summary), _counters(summary)]
    if summary.front:
        best = Text.assemble((best_words(summary), "bold green"), "  ", (sparkline(best_so_far(summary)), "green"))
        parts += [Text(), best]
    if summary.study.ending is None and (summary.workers or summary.running):
        parts += [Text(), _workers(summary)]
    ended = [line for line in (_last_finished(summary), _last_failure(summary)) if line is not None]
    return Group(*parts, *([Text()] if ended else []), *ended)


def one_line(summary: Summary) -> str:
    """Return where a study stands in one line."""
    parts = [
        f"{summary.study.name}: {summary.state}, {summary.settled}/{summary.study.budget} trials "
        f"({summary.complete} complete, {summary.pruned} pruned, {summary.failed} failed)",
        f"{len(summary.running)} running",
    ]
    if summary.front:
        parts.append(best_words(summary))
    if summary.seconds_left:
        parts.append(f"{left_words(summary)} left")
    return ", ".join(parts)


def best_words(summary: Summary) -> str:
    """Return what is best so far: one trial, or of several objectives how far the front reaches."""
    metrics, front = summary.study.spec.metrics, summary.front
    if len(metrics) == 1:
        return f"best {metrics[0]} {text(front[0].value)} in trial {front[0].number}"
    ranges = [
        f"{metric} {text(min(values))} to {text(max(values))}"
        for metric, values in zip(metrics, zip(*(one.values for one in front), strict=True), strict=True)
    ]
    return f"front of {count(len(front), 'trial')}: {', '.join(ranges)}"


def left_words(summary: Summary) -> str:
    """Return how long the study will take, as a range where its pace varies."""
    left, span = summary.seconds_left, summary.left_range
    if left is None:
        return "an unknown time"
    if span is None or duration(span[0]) == duration(span[1]):
        return f"about {duration(left)}"
    return f"{duration(span[0])} to {duration(span[1])}"


def best_so_far(summary: Summary) -> list[float]:
    """Return the best value after each complete trial, in the order of their ends; empty of several objectives.

    Those that violate a constraint are left out, where any does not.
    """
    if len(summary.study.spec.metrics) > 1:
        return []
    complete = [one for one in summary.ended if one.state is State.COMPLETE]
    allowed = [one for one in complete if one.feasible] or complete
    best: list[float] = []
    for value in (one.value for one in allowed if one.value is not None):
        best.append(value if is_better(value, best[-1] if best else None, summary.study.spec.better) else best[-1])
    return best


def sparkline(values: Sequence[float]) -> str:
    """Return values as a row of bars, the lowest of them the lowest.

    >>> sparkline([1, 2, 3, 4]), sparkline([5, 5]), sparkline([5])
    ('▁▃▆█', '▁▁', '')
    """
    if len(values) < 2:
        return ""
    step = max(1.0, len(values) / _SPARKS)
    shown = [values[min(round((place + 1) * step) - 1, len(values) - 1)] for place in range(round(len(values) / step))]
    low, high = min(shown), max(shown)
    return "".join(_BARS[round((value - low) / ((high - low) or 1.0) * (len(_BARS) - 1))] for value in shown)


def _head(summary: Summary, storage: str) -> Text:
    spec = summary.study.spec
    goals = ", ".join(f"{way} {metric}" for metric, way in zip(spec.metrics, spec.directions, strict=True))
    state = (summary.state, _state_style(summary))
    words = Text.assemble((summary.study.name, "bold"), "  ", state, "  ", (goals, "dim"))
    return words.append_text(Text.from_markup(f"  {storage}")) if storage else words


def _state_style(summary: Summary) -> str:
    return {"running": "cyan", "finished": "green", "failed": "red"}.get(summary.state, "yellow")


def _progress(summary: Summary) -> Table:
    study, end = summary.study, summary.study.ended_at or summary.now
    times = [f"{duration(max(end - study.created_at, 0.0))} since it was created"] if study.created_at else []
    if study.ending is None and summary.seconds_left:
        times.append(f"{left_words(summary)} left")
    row = Table.grid(padding=(0, 2))
    width = min(40, max(out.width // 4, 10))
    bar = ProgressBar(total=study.budget, completed=summary.settled, width=width, complete_style="cyan")
    row.add_row(bar, f"{summary.settled}/{study.budget} trials", ", ".join(times))
    return row


def _counters(summary: Summary) -> Text:
    states = summary.states
    pairs = [
        (states.get(State.RUNNING, 0), "running", "cyan"),
        (states.get(State.WAITING, 0), "waiting", "dim"),
        (summary.complete, "complete", "green"),
        (summary.pruned, "pruned", "yellow"),
        (summary.failed, "failed", "red"),
        (summary.retries, "retried", "magenta"),
    ]
    words = Text("  ").join(Text(f"{number} {what}", style if number else "dim") for number, what, style in pairs)
    everything = summary.epochs_trained + summary.epochs_saved
    saved = f" ({summary.epochs_saved / everything:.0%})" if everything else ""
    words.append(f"\n{summary.epochs_trained} epochs trained, {summary.epochs_saved} saved by pruning{saved}")
    if summary.per_hour is not None:
        pace = f"{summary.per_hour:,.0f}" if summary.per_hour >= 10 else f"{summary.per_hour:.2g}"
        words.append(f", {pace} trials an hour")
    if summary.stops:
        words.append(f"\nstops at {', '.join(summary.stops)}")
    return words


class _Fitting:
    """The first of some tables that the terminal has room for, or the last."""

    def __init__(self, *tables: Table) -> None:
        self._tables = tables

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        *wider, narrowest = self._tables
        everywhere = options.update_width(_UNBOUNDED)
        fits = (one for one in wider if Measurement.get(console, everywhere, one).maximum <= options.max_width)
        yield next(fits, narrowest)


def _workers(summary: Summary) -> _Fitting:
    """Return a row a worker and trial; where it is narrow, without what can be done without."""
    return _Fitting(*(_worker_table(summary, without) for without in _LEFT_OUT))


def _worker_table(summary: Summary, without: Sequence[str]) -> Table:
    spec = summary.study.spec
    rows = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    columns = ("host", "worker", "slots", "trial", "epoch", spec.watched, "s/epoch", "beat")
    for column in columns:
        if column not in without:
            justify = "right" if column in ("slots", "trial", spec.watched, "s/epoch", "beat") else "left"
            rows.add_column(escape(column), justify=justify, no_wrap=True, overflow="ellipsis")  # type: ignore[arg-type]
    known = {worker.worker_id: worker for worker in summary.workers}
    mine: dict[str, list[Attempt]] = {name: [] for name in known}
    for one in sorted(summary.running, key=lambda one: one.number):
        mine.setdefault(one.owner or "-", []).append(one)
    nothing: list[Attempt | None] = [None]
    lines = [(name, known.get(name), one) for name, running in mine.items() for one in running or nothing]
    for name, worker, trial in lines[:_MOST_ROWS]:
        cells = zip(columns, _row(summary, name, worker, trial), strict=True)
        rows.add_row(*(cell for column, cell in cells if column not in without))
    if len(lines) > _MOST_ROWS:
        rows.add_row(f"and {len(lines) - _MOST_ROWS} more")
    return rows


def _row(summary: Summary, name: str, worker: WorkerInfo | None, one: Attempt | None) -> tuple[RenderableType, ...]:
    # A worker that is not among those that are alive has let its trial's lease run out, or will.
    late = worker is None or worker.late(summary.now)
    age = Text("lost" if worker is None else duration(max(summary.now - worker.beat_at, 0.0)))
    age.stylize("bold red" if late else "dim")
    whose = (
        Text("-" if worker is None else worker.host, style="red" if late else ""),
        Text(name, style="red" if late else ""),
        "-" if worker is None else str(worker.slots),
    )
    if one is None:
        return (*whose, Text("idle", style="dim"), "", "", "", age)
    spec = summary.study.spec
    run = f" run {one.run + 1}/{spec.runs}" if spec.runs > 1 else ""
    epoch = Table.grid(padding=(0, 1))
    epoch.add_row(
        ProgressBar(total=spec.attempt_epochs, completed=one.epoch, width=12, complete_style="cyan"),
        f"{one.epoch}/{spec.attempt_epochs}{run}",
    )
    return (*whose, str(one.number), epoch, text(one.last_value), _epoch_time(one, worker), age)


def _epoch_time(one: Attempt, worker: WorkerInfo | None) -> str:
    trained = one.own_epochs
    if worker is None or one.claimed_at is None or trained <= 0:
        return "-"
    # Epochs are heard of with the beats.
    return f"{max(worker.beat_at - one.claimed_at, 0.0) / trained:.2g}"


def _last_finished(summary: Summary) -> Text | None:
    done = [one for one in summary.ended if one.state in (State.COMPLETE, State.PRUNED)]
    if not done:
        return None
    one = done[-1]
    ago = f", {duration(max(summary.now - one.ended_at, 0.0))} ago" if one.ended_at is not None else ""
    value = "" if one.value is None else f" {summary.study.spec.metrics[0]} {text(one.value)}"
    style = "green" if one.state is State.COMPLETE else "yellow"
    how = str(one.reason or one.state).lower()
    return Text.assemble(
        "last finished  ", (f"trial {one.number} {how}", style), f"{value} after {count(one.epoch, 'epoch')}{ago}"
    )


def _last_failure(summary: Summary) -> Text | None:
    if summary.last_failure is None:
        return None
    one = summary.last_failure
    command = (f", tuner show {summary.study.name} {one.number}", "dim")
    line = Text.assemble(
        "last failure   ", (f"trial {one.number} {one.reason}", "red"), command, f"  {one.error or ''}"
    )
    line.no_wrap, line.overflow = True, "ellipsis"
    return line
