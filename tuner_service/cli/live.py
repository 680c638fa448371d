"""The live view of a study: on a terminal it stays in place, elsewhere it is a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tuner_service.cli.output import count, duration, out, text
from tuner_service.domain.attempt import Attempt
from tuner_service.results.summary import Summary

#: Running trials that are shown at most.
_MOST_TRIALS = 12
#: Pause between two lines where there is no terminal, in seconds.
_LINE_EVERY_S = 5.0


def follow(look: Callable[[], Summary], ended: Callable[[Summary], bool], *, every_s: float = 1.0) -> Summary:
    """Show a study until it has ended, and return what was seen last."""
    summary = look()
    if not out.is_terminal:
        return _print_lines(summary, look, ended, every_s)
    with Live(view(summary), console=out, refresh_per_second=4) as live:
        while not ended(summary):
            time.sleep(every_s)
            summary = look()
            live.update(view(summary))
    return summary


def _print_lines(
    summary: Summary, look: Callable[[], Summary], ended: Callable[[Summary], bool], every_s: float
) -> Summary:
    printed, last = "", 0.0
    while True:
        line = one_line(summary)
        now = time.monotonic()
        if ended(summary) or (line != printed and now - last >= _LINE_EVERY_S):
            out.print(line, markup=False)
            printed, last = line, now
        if ended(summary):
            return summary
        time.sleep(every_s)
        summary = look()


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
        parts.append(f"about {duration(summary.seconds_left)} left")
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


def view(summary: Summary) -> RenderableType:
    """Return the live view of a study."""
    study = summary.study
    head = Table.grid(padding=(0, 2))
    head.add_row(
        Text(study.name, style="bold"),
        ProgressBar(total=study.budget, completed=summary.settled, width=min(40, max(out.width // 4, 10))),
        f"{summary.settled}/{study.budget} trials",
        f"{duration(summary.seconds_left)} left" if summary.seconds_left else summary.state,
    )
    failed = f"[red]{summary.failed} failed[/]" if summary.failed else "0 failed"
    counts = f"[green]{summary.complete} complete[/], [yellow]{summary.pruned} pruned[/], {failed}"
    parts: list[RenderableType] = [head, f"{counts}; {summary.epochs_saved} epochs saved by pruning"]
    if summary.front:
        parts.append(f"[bold green]{escape(best_words(summary))}[/]")
    if summary.running:
        parts.append(_running(summary))
    if summary.failures:
        last = summary.failures[-1]
        parts.append(f"[red]{last.reason}[/] x{last.attempts}: {escape(last.last_error or '-')}")
    return Group(*parts)


def _running(summary: Summary) -> Table:
    rows = Table.grid(padding=(0, 2))
    shown = sorted(summary.running, key=lambda one: one.number)
    for one in shown[:_MOST_TRIALS]:
        rows.add_row(*_row(summary, one))
    if len(shown) > _MOST_TRIALS:
        rows.add_row(f"and {len(shown) - _MOST_TRIALS} more", "", "", "", "")
    return rows


def _row(summary: Summary, one: Attempt) -> tuple[RenderableType, ...]:
    spec = summary.study.spec
    epochs = spec.attempt_epochs
    run = f"run {one.run + 1}/{spec.runs}, " if spec.runs > 1 else ""
    late = one.lease_until is None or one.lease_until < summary.now
    return (
        f"trial {one.number}",
        ProgressBar(total=epochs, completed=one.epoch, width=20),
        f"{run}epoch {one.epoch}/{epochs}",
        f"{escape(spec.watched)} {text(one.last_value)}",
        Text(f"{one.owner}{' late' if late else ''}", style="red" if late else "dim"),
    )
