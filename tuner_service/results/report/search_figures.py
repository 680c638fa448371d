"""Figures of the search: how it went, what mattered, where the good values lie."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuner_service.domain.attempt import Param
from tuner_service.domain.direction import is_better
from tuner_service.domain.outcome import State
from tuner_service.domain.trial import Trial
from tuner_service.results.report.axis import Axis, axes, shortened, view_of
from tuner_service.results.report.colours import BEST, GROUPS, INK, MUTED, PAPER, SCALE, STATES
from tuner_service.results.report.content import Content
from tuner_service.results.report.figure import (
    Figure,
    about,
    dots,
    escaped,
    layout,
    number,
    parameter_axis,
    rounded,
    state_dots,
    titled,
)
from tuner_service.results.report.importance import FEW, distributions
from tuner_service.results.report.surface import smoothed
from tuner_service.results.report.thinning import spread_out

#: Dots of a figure, and parameters with a slice, at most.
_MOST_DOTS, _MOST_SLICES = 1500, 16
#: Said where an axis does not reach over all values.
OUTSIDE = "Poor values lie outside; a double click shows them."
#: Of parallel coordinates: lines, and parameters.
_MOST_LINES, _MOST_COORDINATES, _MOST_TICKS = 400, 12, 12
#: Its groups of trials: up to which share of them, the best first.
_RANKS = ((0.1, "best tenth"), (0.25, "best quarter"), (0.5, "best half"), (1.0, "the others"))
#: Parameters whose pairs have a contour.
_TOP = 3
#: An irrational step spreads dots of one category evenly.
_GOLDEN = 0.6180339887


def history(content: Content, index: int = 0) -> Figure:
    """Return every trial's value, and the best one so far."""
    spec = content.study.spec
    metric, better = spec.metrics[index], spec.directions[index]
    data = []
    for state in (State.PRUNED, State.COMPLETE):
        mine = [one for one in content.trials if one.attempt.state is state and len(one.attempt.values) > index]
        shown = thinned(mine, content)
        values = [one.attempt.values[index] for one in shown]
        if shown:
            data.append(state_dots(shown, state, [one.attempt.number for one in shown], values, spec.metrics))
    if len(spec.metrics) == 1 and content.improvements:
        x, y = best_steps(content)
        line = {"shape": "hv", "color": BEST, "width": 2}
        data.append({"type": "scatter", "mode": "lines", "x": x, "y": y, "name": "best so far", "line": line,
                     "hoverinfo": "skip"})  # fmt: skip
    view = view_of([value for trace in data for value in trace["y"] if value is not None], better)
    return Figure(
        "Optimization history" if len(spec.metrics) == 1 else f"Optimization history: {metric}",
        data,
        layout(x=titled("trial", range=_around(content)), y=titled(metric, **_view(view))),
        note=_left_out(content, view) + " Pruned trials stand at their last value.",
    )


def best_steps(content: Content) -> tuple[list[int], list[float]]:
    """Return the best value so far, from trial to trial, as the corners of steps."""
    best = None
    x: list[int] = []
    y: list[float] = []
    for one in content.complete:
        value = one.attempt.value
        if value is not None and one.attempt.feasible and is_better(value, best, content.study.spec.better):
            best = value
            x.append(one.attempt.number)
            y.append(value)
    if best is not None:
        x.append(max(one.attempt.number for one in content.trials))
        y.append(best)
    return x, y


def pareto(content: Content) -> list[Figure]:
    """Return the front of several objectives, a figure for each pair of them."""
    spec = content.study.spec
    figures = []
    for first, second in itertools.combinations(range(len(spec.metrics)), 2):
        complete = thinned([one for one in content.complete if len(one.attempt.values) > second], content)
        in_front = sorted(content.front, key=lambda one: one.attempt.values[first])
        x, y = ([[one.attempt.values[axis] for one in group] for group in (complete, in_front)]
                for axis in (first, second))  # fmt: skip
        marker = {"color": STATES[State.COMPLETE], "size": 6, "opacity": 0.5}
        star = {"color": BEST, "size": 10, "line": {"color": PAPER, "width": 1}}
        data = [
            dots(complete, x[0], y[0], spec.metrics, name="complete", marker=marker),
            dots(in_front, x[1], y[1], spec.metrics, name="front", marker=star, mode="lines+markers",
                 line={"color": BEST, "width": 1, "dash": "dot"}),
        ]  # fmt: skip
        names = spec.metrics[first], spec.metrics[second]
        views = [view_of(values, spec.directions[axis]) for values, axis in ((x[0], first), (y[0], second))]
        figures.append(
            Figure(
                f"Pareto front: {names[0]} and {names[1]}",
                data,
                layout(x=titled(names[0], **_view(views[0])), y=titled(names[1], **_view(views[1]))),
                note="No trial is better than one of the front in every objective.",
                height=440,
            )
        )
    return figures


def importance(content: Content) -> Figure | None:
    """Return the importance of each parameter for each objective; ``None`` where nothing is known."""
    data: list[dict[str, Any]] = []
    several = len(content.importances) > 1
    # In places of their own: two names may be the same once they are shortened.
    known = {name for one in content.importances for name in (*one.among_best, *one.variance)}
    places = {name: place for place, name in enumerate(name for name in reversed(content.params) if name in known)}
    for place, one in enumerate(content.importances):
        rows = [("tells the best tenth (PED-ANOVA)", one.among_best), ("explains the variance (fANOVA)", one.variance)]
        for kind, (label, shares) in enumerate(rows[:1] if several else rows):
            names = [name for name in places if name in shares]
            name = escaped(one.metric) if several else label
            colour = GROUPS[place % len(GROUPS)] if several else (STATES[State.COMPLETE], "#9cc3e6")[kind]
            data.append(
                {
                    "type": "bar",
                    "orientation": "h",
                    "y": [places[name] for name in names],
                    "text": [escaped(name) for name in names],
                    "textposition": "none",
                    "x": [round(shares[name], 4) for name in names],
                    "name": name,
                    "marker": {"color": colour},
                    "hovertemplate": "%{text}: %{x:.1%}<extra></extra>",
                }
            )
    if not any(trace["x"] for trace in data):
        return None
    few = content.importances[0]
    note = f"From {few.trials} complete trials."
    if few.few:
        note = f"Only {few.trials} trials are complete: under {FEW} this is closer to a guess than to a finding."
    only_some = few.among_best.keys() - few.variance.keys()
    bars = sum(len(trace["x"]) for trace in data)
    return Figure(
        "Importance of the parameters",
        list(reversed(data)),
        layout(
            x={"tickformat": ".0%", "rangemode": "tozero"},
            y={
                "gridcolor": "rgba(0,0,0,0)",
                "tickvals": list(places.values()),
                "ticktext": [escaped(shortened(name)) for name in places],
            },
            barmode="group",
            bargap=0.35,
        ),
        note=note + (" fANOVA leaves out parameters that only some trials have." if only_some and not several else ""),
        height=110 + 22 * bars,
    )


def parallel(content: Content) -> Figure | None:
    """Return parallel coordinates of the complete trials; ``None`` of fewer than two.

    They are lines of SVG: plotly.js's own kind needs WebGL, which a remote desktop or a printer may lack.
    """
    spec = content.study.spec
    trials = content.best_first(thinned(content.complete, content, _MOST_LINES))
    if len(trials) < 2:
        return None
    columns = coordinates(content, trials)
    data = []
    begin = 0
    for place, (share, name) in enumerate(_RANKS):
        end = max(math.ceil(share * len(trials)), begin)
        mine = range(begin, end)
        begin = end
        x: list[int | None] = []
        y: list[float | None] = []
        text: list[str] = []
        for rank in mine:
            x += [*range(len(columns)), None]
            y += [*(rounded(column.heights[rank]) for column in columns), None]
            text += [about(trials[rank], spec.metrics)] * (len(columns) + 1)
        if x:
            line = {"color": SCALE[::-1][place + 1 if place else 0], "width": 1.6 if place == 0 else 0.9}
            data.append({"type": "scatter", "mode": "lines", "x": x, "y": y, "text": text, "name": name, "line": line,
                         "opacity": 0.85 if place < 2 else 0.5, "hovertemplate": "%{text}<extra></extra>"})  # fmt: skip
    notes = [
        {"x": place, "y": height, "text": escaped(label), "showarrow": False, "font": {"size": 10, "color": MUTED},
         "bgcolor": "rgba(255,255,255,0.8)", "yshift": {0.0: -10, 1.0: 10}.get(height, 0)}
        for place, column in enumerate(columns)
        for height, label in column.ticks
    ]  # fmt: skip
    posts = [{"type": "line", "x0": place, "x1": place, "y0": 0, "y1": 1, "line": {"color": MUTED, "width": 1}}
             for place in range(len(columns))]  # fmt: skip
    names = [escaped(shortened(column.name, 18)) for column in columns]
    axis = {"tickvals": list(range(len(columns))), "ticktext": names, "range": [-0.4, len(columns) - 0.6],
            "gridcolor": "rgba(0,0,0,0)", "ticks": ""}  # fmt: skip
    shown = layout(x=axis, y={"visible": False, "range": [-0.12, 1.1]}, annotations=notes, shapes=posts)
    return Figure(
        "Parallel coordinates",
        list(reversed(data)),
        {**shown, "legend": {**shown["legend"], "traceorder": "reversed"}},
        note="A line a complete trial; a gap where it lacks the parameter. A click on the legend hides a group.",
        height=440,
        min_width=95 * len(columns),
    )


@dataclass(frozen=True)
class Coordinate:
    """One axis of parallel coordinates, from 0 to 1."""

    name: str
    heights: Sequence[float | None]  #: of each trial; ``None`` where it does not have the parameter
    ticks: Sequence[tuple[float, str]]  #: heights and what stands there


def coordinates(content: Content, trials: Sequence[Trial]) -> list[Coordinate]:
    """Return the axes of parallel coordinates: the most important parameters, then the objectives."""
    spec, known = content.study.spec, axes(distributions(content.study, content.trials))
    columns = []
    for name in content.params[:_MOST_COORDINATES]:
        axis, mine = known[name], [one.params[name] for one in trials if name in one.params]
        if not mine:
            continue
        low, high = (axis.scaled(end) for end in (min(mine, key=axis.place), max(mine, key=axis.place)))
        ticks = [(0.0, number(min(mine, key=axis.place))), (1.0, number(max(mine, key=axis.place)))]
        if axis.categories:
            low, high = 0.0, float(len(axis.categories) - 1)
            ticks = [(_height(place, low, high), label) for place, label in enumerate(axis.labels)]
        heights = [_height(axis.scaled(one.params[name]), low, high) if name in one.params else None for one in trials]
        columns.append(Coordinate(name, heights, ticks[:_MOST_TICKS]))
    for index, metric in enumerate(spec.metrics):
        values = [one.attempt.values[index] for one in trials]
        low, high = view_of(values, spec.directions[index]) or (min(values), max(values))
        heights = [_height(min(max(value, low), high), low, high) for value in values]
        columns.append(Coordinate(metric, heights, [(0.0, number(low)), (1.0, number(high))]))
    return columns


def _height(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def slice_view(content: Content, index: int) -> tuple[float, float] | None:
    """Return the range of values that slices show: that of the complete trials, where there are some."""
    values = [one.attempt.values[index] for one in content.complete]
    if len(values) < 5 or min(values) == max(values):
        return None
    low, high = view_of(values, content.study.spec.directions[index]) or (min(values), max(values))
    return low - 0.06 * (high - low), high + 0.06 * (high - low)


def slices(content: Content, index: int = 0) -> list[Figure]:
    """Return the values over each parameter."""
    spec = content.study.spec
    known = axes(distributions(content.study, content.trials))
    ended = [one for one in content.trials if len(one.attempt.values) > index and one.attempt.state.final]
    view = slice_view(content, index)
    figures = []
    for name in content.params[:_MOST_SLICES]:
        axis, data = known[name], []
        for state in (State.PRUNED, State.COMPLETE):
            mine = [one for one in ended if one.attempt.state is state and name in one.params]
            shown = thinned(mine, content, _MOST_DOTS // 3)
            x = [jittered(axis, one.params[name], one.attempt.number) for one in shown]
            if shown:
                data.append(state_dots(shown, state, x, [one.attempt.values[index] for one in shown], spec.metrics))
        metric = titled(shortened(spec.metrics[index]), **_view(view))
        figures.append(Figure("", data, layout(x=parameter_axis(axis), y=metric, legend=False), height=260))
    return figures


def contours(content: Content) -> list[Figure]:
    """Return the value over pairs of the most important parameters, by the first objective."""
    complete = [one for one in content.complete if math.isfinite(one.attempt.values[0])]
    known = axes(distributions(content.study, content.trials))
    figures = []
    for one, other in itertools.combinations(content.params[:_TOP], 2):
        there = spread_out([trial for trial in complete if one in trial.params and other in trial.params], _MOST_DOTS)
        if len(there) < 5:
            continue
        figures.append(_contour(there, known[one], known[other], content))
    return figures


def _contour(trials: Sequence[Trial], across: Axis, up: Axis, content: Content) -> Figure:
    spec = content.study.spec
    values = [trial.attempt.values[0] for trial in trials]
    low, high = view_of(values, spec.better) or (min(values), max(values))
    surface = smoothed(
        [across.scaled(trial.params[across.name]) for trial in trials],
        [up.scaled(trial.params[up.name]) for trial in trials],
        [min(max(value, low), high) for value in values],
        places=(len(across.categories) or None, len(up.categories) or None),
    )
    ends = [_back(surface.x, across), _back(surface.y, up)]
    data = [
        {
            "type": "heatmap" if across.categories or up.categories else "contour",
            "x": ends[0],
            "y": ends[1],
            "z": [[None if math.isnan(value) else rounded(value) for value in row] for row in surface.z],
            "colorscale": _scale(better=spec.better),
            "colorbar": {"thickness": 10, "outlinewidth": 0, "tickfont": {"size": 10}},
            "hoverinfo": "skip",
            **({} if across.categories or up.categories else {"ncontours": 12, "line": {"width": 0.4}}),
        },
        dots(
            trials,
            [jittered(across, trial.params[across.name], trial.attempt.number) for trial in trials],
            [jittered(up, trial.params[up.name], trial.attempt.number) for trial in trials],
            spec.metrics,
            marker={"color": INK, "size": 3, "opacity": 0.45},
        ),
    ]
    return Figure("", data, layout(x=parameter_axis(across), y=parameter_axis(up), legend=False), height=340)


def comparison(content: Content) -> Figure | None:
    """Return what epochs bring in each group of trials; ``None`` where there are too few to say."""
    groups = [group for group in content.comparison.groups if len(group.expected) > 1 and group.complete > 2]
    if len(groups) < 2:
        return None
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [epochs for epochs, _ in group.expected],
            "y": [rounded(value) for _, value in group.expected],
            "name": f"{escaped(group.name)} ({group.trials} trials)",
            "line": {"width": 2, "color": GROUPS[place % len(GROUPS)]},
            "hovertemplate": "%{x} epochs: %{y:.5g}<extra></extra>",
        }
        for place, group in enumerate(groups)
    ]
    x, y = titled("epochs trained", rangemode="tozero"), titled(f"expected best {content.study.spec.metrics[0]}")
    note = "The lines: the best value that so many epochs bring, on average over the orders of a group's trials."
    return Figure("", data, layout(x=x, y=y), note=note, height=320)


def thinned(trials: Sequence[Trial], content: Content, most: int = _MOST_DOTS) -> list[Trial]:
    """Return at most so many trials: the best fifth of that number, and others evenly spread."""
    if len(trials) <= most:
        return list(trials)
    best = content.best_first(trials)[: most // 5]
    kept = {one.attempt.number for one in (*best, *spread_out(trials, most - len(best)))}
    return [one for one in trials if one.attempt.number in kept]


def jittered(axis: Axis, value: Param, trial: int) -> float | None:
    """Return where a value stands; of a few values, the trials of each side by side."""
    place = axis.place(value)
    return rounded(place + (trial * _GOLDEN % 1 - 0.5) * 0.6 if axis.categories or axis.few else place)


def _back(grid: Any, axis: Axis) -> list[float | None]:  # noqa: ANN401 - an array
    return [rounded(10**place if axis.log else place) for place in grid.tolist()]


def _scale(*, better: str) -> list[list[object]]:
    colours = SCALE if better == "maximize" else SCALE[::-1]
    return [[place / (len(colours) - 1), colour] for place, colour in enumerate(colours)]


def _view(view: tuple[float, float] | None) -> Mapping[str, Any]:
    return {} if view is None else {"range": list(view)}


def _around(content: Content) -> list[float]:
    last = max(one.attempt.number for one in content.trials)
    return [-0.015 * last - 0.5, 1.015 * last + 0.5]


def _left_out(content: Content, view: tuple[float, float] | None) -> str:
    words = []
    ended = sum(one.attempt.state in (State.COMPLETE, State.PRUNED) for one in content.trials)
    if ended > _MOST_DOTS:
        words.append(f"Of {ended} trials the best and others evenly spread are drawn.")
    if view is not None:
        words.append(OUTSIDE)
    return " ".join(words)
