"""The report's figures as PNG, for a paper, a chat or a wiki: drawn by matplotlib, which needs no browser."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator, NullFormatter

from tuner_service.domain.outcome import State
from tuner_service.errors import NotInStudyError, did_you_mean
from tuner_service.results.report.axis import Axis, axes, shortened, view_of
from tuner_service.results.report.colours import BEST, ENDINGS, GRID, GROUPS, INK, MUTED, SCALE, STATES
from tuner_service.results.report.content import Content
from tuner_service.results.report.importance import distributions
from tuner_service.results.report.run_figures import epochs_of, reported_curves
from tuner_service.results.report.search_figures import (
    best_steps,
    coordinates,
    jittered,
    slice_view,
    thinned,
)
from tuner_service.results.report.surface import smoothed

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 9, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": GRID,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": GRID, "xtick.color": MUTED, "ytick.color": MUTED,
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 11, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "legend.frameon": False, "figure.dpi": 130, "savefig.dpi": 130,
}  # fmt: skip
_COLOURS = LinearSegmentedColormap.from_list("report", SCALE)
_MOST_SLICES, _MOST_LINES, _MOST_LANES = 12, 400, 40
#: Trials beyond which a dot is small.
_MANY = 200


def draw_pictures(content: Content, folder: Path) -> list[Path]:
    """Write the pictures that have something to show into a folder, and return their paths."""
    written = []
    for name in _drawers():
        png = _draw(content, name)
        if png is not None:
            path = folder / f"{name}.png"
            path.write_bytes(png)
            written.append(path)
    return written


def picture(content: Content, name: str) -> bytes:
    """Return one picture as PNG.

    Raises:
        NotInStudyError: If there is none of that name, or nothing to show in it yet.
    """
    if name not in _drawers():
        raise NotInStudyError(
            f"there is no figure {name!r}, but {', '.join(_drawers())}.{did_you_mean(name, _drawers())}"
        )
    png = _draw(content, name)
    if png is None:
        raise NotInStudyError(f"study {content.study.name!r} has nothing to show in the figure {name!r} yet")
    return png


def _drawers() -> dict[str, Callable[[Content], Figure | None]]:
    return {
        "history": _history,
        "front": _front,
        "importance": _importance,
        "parallel": _parallel,
        "slices": _slices,
        "contours": _contours,
        "curves": _curves,
        "timeline": _timeline,
    }


def _draw(content: Content, name: str) -> bytes | None:
    with mpl.rc_context(_STYLE):
        figure = _drawers()[name](content)
        if figure is None:
            return None
        png = io.BytesIO()
        figure.savefig(png)
        return png.getvalue()


def _history(content: Content) -> Figure | None:
    if not any(one.attempt.values for one in content.trials):
        return None
    metrics = content.study.spec.metrics
    figure = Figure(figsize=(8, 4.2 * len(metrics)), layout="constrained")
    for index, metric in enumerate(metrics):
        plot = figure.add_subplot(len(metrics), 1, index + 1)
        _dots(plot, content, [one.attempt.number for one in content.trials], index)
        if len(metrics) == 1:
            x, y = best_steps(content)
            plot.step(x, y, where="post", color=BEST, linewidth=2, label="best so far")
        plot.set(xlabel="trial", ylabel=_text(metric), title="Optimization history")
        _legend(plot)
    return figure


def _front(content: Content) -> Figure | None:
    metrics, complete = content.study.spec.metrics, thinned(content.complete, content)
    if len(metrics) < 2 or not complete:
        return None
    pairs = list(itertools.combinations(range(len(metrics)), 2))
    figure = Figure(figsize=(6.5, 4.6 * len(pairs)), layout="constrained")
    for place, (first, second) in enumerate(pairs, start=1):
        plot = figure.add_subplot(len(pairs), 1, place)
        for trials, colour, size, name in ((complete, STATES[State.COMPLETE], 16, "complete"),
                                           (content.front, BEST, 50, "front")):  # fmt: skip
            x, y = ([one.attempt.values[axis] for one in trials] for axis in (first, second))
            plot.scatter(x, y, s=size, color=colour, alpha=0.75, label=name, linewidth=0)
        plot.set(xlabel=_text(metrics[first]), ylabel=_text(metrics[second]), title="Pareto front")
        _legend(plot)
    return figure


def _importance(content: Content) -> Figure | None:
    if not content.importances or not content.importances[0].among_best:
        return None
    first, several = content.importances[0], len(content.importances) > 1
    bars = [(one.metric, one.among_best) for one in content.importances]
    if not several:
        bars = [
            ("tells the best tenth (PED-ANOVA)", first.among_best),
            ("explains the variance (fANOVA)", first.variance),
        ]
    names = content.params[::-1]
    figure = Figure(figsize=(7, 1.2 + 0.45 * len(names)), layout="constrained")
    plot = figure.add_subplot()
    height = 0.8 / len(bars)
    for place, (label, shares) in enumerate(bars):
        y = np.arange(len(names)) + 0.4 - height * (place + 0.5)
        plot.barh(y, [shares.get(name, 0.0) for name in names], height, color=GROUPS[place % len(GROUPS)],
                  label=_text(label))  # fmt: skip
    plot.set_yticks(np.arange(len(names)), [_text(shortened(name)) for name in names])
    plot.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    few = f" (only {first.trials} complete trials: a guess)" if first.few else ""
    plot.set(title=f"Importance of the parameters{few}")
    plot.legend(loc="lower right", fontsize=8)
    return figure


def _parallel(content: Content) -> Figure | None:
    trials = content.best_first(thinned(content.complete, content, _MOST_LINES))
    if len(trials) < 2:
        return None
    columns = coordinates(content, trials)
    lines = np.array([column.heights for column in columns], float).T
    goodness = np.linspace(1, 0, len(trials)) ** 1.7
    figure = Figure(figsize=(max(7.0, 1.35 * len(columns)), 4.2), layout="constrained")
    plot = figure.add_subplot()
    # The best lie on top.
    corners = [list(enumerate(line)) for line in lines[::-1]]
    plot.add_collection(LineCollection(corners, colors=_COLOURS(goodness[::-1]), linewidths=0.8, alpha=0.7))
    plot.set(xlim=(-0.4, len(columns) - 0.6), ylim=(-0.12, 1.12))
    for place, column in enumerate(columns):
        plot.axvline(place, 0.1, 0.9, color=MUTED, linewidth=0.8)
        for height, label in column.ticks:
            y = height + {0.0: -0.05, 1.0: 0.05}.get(height, 0.0)
            plot.text(place, y, _text(shortened(label, 12)), ha="center", va="center", fontsize=7, color=MUTED)
    plot.set_xticks(range(len(columns)), [_text(shortened(column.name, 16)) for column in columns])
    plot.tick_params(axis="x", length=0)
    plot.set_yticks([])
    plot.grid(visible=False)
    plot.spines[["left", "bottom"]].set_visible(False)
    plot.set_title("Parallel coordinates, the better the darker")
    return figure


def _slices(content: Content) -> Figure | None:
    names = content.params[:_MOST_SLICES]
    if not names or not any(one.attempt.values for one in content.trials):
        return None
    known = axes(distributions(content.study, content.trials))
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.6 * rows), layout="constrained")
    for place, name in enumerate(names, start=1):
        plot = figure.add_subplot(rows, columns, place)
        axis = known[name]
        x = [jittered(axis, one.params[name], one.attempt.number) if name in one.params else None
             for one in content.trials]  # fmt: skip
        _dots(plot, content, x, 0, slice_view(content, 0))
        _parameter(plot, axis, "x")
        if (place - 1) % columns == 0:
            plot.set_ylabel(_text(shortened(content.study.spec.metrics[0])))
    return figure


def _contours(content: Content) -> Figure | None:
    spec = content.study.spec
    known = axes(distributions(content.study, content.trials))
    pairs = []
    for one, other in itertools.combinations(content.params[:3], 2):
        there = [trial for trial in content.complete if one in trial.params and other in trial.params]
        if len(there) >= 5:
            pairs.append((known[one], known[other], thinned(there, content)))
    if not pairs:
        return None
    figure = Figure(figsize=(4.2 * len(pairs), 3.4), layout="constrained")
    for place, (across, up, trials) in enumerate(pairs, start=1):
        plot = figure.add_subplot(1, len(pairs), place)
        values = [trial.attempt.values[0] for trial in trials]
        low, high = view_of(values, spec.better) or (min(values), max(values))
        x, y = ([axis.scaled(trial.params[axis.name]) for trial in trials] for axis in (across, up))
        counts = (len(across.categories) or None, len(up.categories) or None)
        surface = smoothed(x, y, [min(max(value, low), high) for value in values], places=counts)
        ends = [10**grid if axis.log else grid for grid, axis in ((surface.x, across), (surface.y, up))]
        colours = _COLOURS if spec.better == "maximize" else _COLOURS.reversed()
        if min(surface.z.shape) > 1 and high > low:
            mesh = plot.pcolormesh(*ends, np.ma.masked_invalid(surface.z), cmap=colours, shading="nearest")
            figure.colorbar(mesh, ax=plot, pad=0.02, aspect=30)
        spots = np.array(
            [
                [jittered(axis, trial.params[axis.name], trial.attempt.number) for trial in trials]
                for axis in (across, up)
            ],
            float,
        )
        plot.scatter(spots[0], spots[1], s=4, color=INK, alpha=0.45, linewidth=0)
        _parameter(plot, across, "x")
        _parameter(plot, up, "y")
        plot.grid(visible=False)
    figure.suptitle(_text(spec.metrics[0]), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure


def _curves(content: Content) -> Figure | None:
    complete, stopped, best = reported_curves(content)
    if not (complete or stopped or best):
        return None
    spec = content.study.spec
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    plot = figure.add_subplot()
    for trials, state, label in ((stopped, State.PRUNED, "stopped early"), (complete, State.COMPLETE, "complete")):
        lines = [list(zip(epochs_of(content, one), one.reported.values(), strict=True)) for one in trials]
        if lines:
            plot.add_collection(LineCollection(lines, colors=STATES[state], linewidths=0.7, alpha=0.45, label=label))
            ends = np.array([line[-1] for line in lines], float)
            plot.scatter(ends[:, 0], ends[:, 1], s=3, color=STATES[state], alpha=0.6)
    for rank, one in reversed(list(enumerate(best))):
        label = "_" if rank else f"best, trial {one.attempt.number}"
        plot.plot(epochs_of(content, one), list(one.reported.values()), color=BEST, linewidth=1.0 if rank else 2.4,
                  label=label)  # fmt: skip
    shown = [value for one in (*complete, *stopped, *best) for value in one.reported.values()]
    view = view_of(shown, spec.direction_of(spec.watched))
    plot.autoscale_view()
    if view is not None:
        plot.set_ylim(*view)
    plot.set(xlabel="epoch", ylabel=_text(spec.watched), title="Learning curves")
    _legend(plot)
    return figure


def _timeline(content: Content) -> Figure | None:
    bars = content.use.bars
    if not bars:
        return None
    lanes = sorted({bar.lane for bar in bars})
    begin = min(bar.begin for bar in bars)
    length = max(bar.end for bar in bars) - begin
    unit, name = next(((size, unit) for size, unit in ((3600, "hours"), (60, "minutes")) if length > 2 * size),
                      (1, "seconds"))  # fmt: skip
    figure = Figure(figsize=(8, min(1.4 + 0.22 * len(lanes), 11)), layout="constrained")
    plot = figure.add_subplot()
    height = {lane: place for place, lane in enumerate(lanes)}
    for how, colour in ENDINGS.items():
        corners = []
        for bar in bars:
            if bar.how == how:
                (left, right), low = ((at - begin) / unit for at in (bar.begin, bar.end)), height[bar.lane] - 0.38
                corners.append([(left, low), (right, low), (right, low + 0.76), (left, low + 0.76)])
        plot.add_collection(PolyCollection(corners, facecolors=colour, linewidths=0))
    plot.set_xlim(0, length / unit)
    shown = lanes if len(lanes) <= _MOST_LANES else []
    plot.set_yticks(range(len(shown)), [_text(shortened(lane)) for lane in shown], fontsize=7)
    plot.set_ylim(len(lanes) - 0.4, -0.6)
    plot.grid(visible=False, axis="y")
    plot.set(xlabel=name, title="Time line")
    present = [how for how in ENDINGS if any(bar.how == how for bar in bars)]
    marks = [Line2D([], [], color=ENDINGS[how], linewidth=6) for how in present]
    plot.legend(marks, present, loc="lower right", bbox_to_anchor=(1, 1), ncols=5, fontsize=8)
    return figure


def _dots(
    plot: Axes, content: Content, x: Sequence[float | None], index: int, view: tuple[float, float] | None = None
) -> None:
    """Draw a dot for each trial that has a value, those that finished on top."""
    spec = content.study.spec
    place = dict(zip((one.attempt.number for one in content.trials), x, strict=True))
    drawn: list[float] = []
    small = 5 if len(content.trials) > _MANY else 12
    for state, size, alpha in ((State.PRUNED, small, 0.5), (State.COMPLETE, 20, 0.8)):
        mine = [one for one in content.trials if one.attempt.state is state and len(one.attempt.values) > index]
        shown = [one for one in thinned(mine, content) if place[one.attempt.number] is not None]
        values = [one.attempt.values[index] for one in shown]
        drawn += values
        where = np.array([place[one.attempt.number] for one in shown], float)
        plot.scatter(where, values, s=size, color=STATES[state], alpha=alpha, linewidth=0, label=str(state).lower())
    view = view or view_of(drawn, spec.directions[index])
    if view is not None:
        plot.set_ylim(*view)


def _parameter(plot: Axes, axis: Axis, which: str) -> None:
    """Make an axis of a plot that of a parameter."""
    set_ticks, set_scale, set_label = (getattr(plot, name) for name in
                                       (f"set_{which}ticks", f"set_{which}scale", f"set_{which}label"))  # fmt: skip
    set_label(_text(shortened(axis.name)))
    if axis.categories:
        set_ticks(range(len(axis.categories)), [_text(label) for label in axis.labels])
    elif axis.log:
        set_scale("log")
        ticks = getattr(plot, f"{which}axis")
        ticks.set_minor_formatter(NullFormatter())
        if axis.log_ticks:
            set_ticks(axis.log_ticks, [f"{value:g}" for value in axis.log_ticks])
    elif axis.few:
        getattr(plot, f"{which}axis").set_major_locator(MultipleLocator(1))


def _legend(plot: Axes) -> None:
    plot.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=8, borderaxespad=0.2)


def _text(text: str) -> str:
    """Return a user's text without the meaning that matplotlib gives to dollar signs."""
    return text.replace("$", r"\$")
