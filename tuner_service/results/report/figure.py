"""A figure as plotly.js draws it, and what its parts have in common."""

from __future__ import annotations

import datetime
import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuner_service.domain.outcome import State
from tuner_service.domain.trial import Trial
from tuner_service.results.report.axis import Axis, shortened
from tuner_service.results.report.colours import GRID, INK, MUTED, STATES

#: Parameters in the words that appear beside the pointer.
_MOST_PARAMS = 10
#: Dots below which each can be larger.
_FEW = 200


@dataclass(frozen=True)
class Figure:
    """One figure: traces and layout are plotly.js's; every text that a user wrote is escaped in them."""

    title: str
    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    note: str = ""  #: what to know when reading it
    height: int = 380  #: in pixels
    min_width: int = 0  #: in pixels; a narrower screen scrolls


def escaped(value: object) -> str:
    """Return what a user wrote as plotly.js shows it: it takes tags in texts for formatting."""
    return html.escape(str(value), quote=False)


def layout(*, x: Mapping[str, Any], y: Mapping[str, Any], legend: bool = True, **more: object) -> dict[str, Any]:
    """Return a layout with these axes, in the report's manner."""
    return {
        "xaxis": {**_AXIS, **x},
        "yaxis": {**_AXIS, **y},
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 12, "color": INK},
        "margin": {"l": 12, "r": 12, "t": 12, "b": 12},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {"align": "left", "bgcolor": "#ffffff", "bordercolor": GRID, "font": {"color": INK}},
        "hovermode": "closest",
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": GRID, "activecolor": MUTED},
        "showlegend": legend,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"},
        **more,
    }


_AXIS: Mapping[str, Any] = {
    "automargin": True,
    "gridcolor": GRID,
    "linecolor": GRID,
    "zeroline": False,
    "ticks": "outside",
    "tickcolor": GRID,
    "tickfont": {"color": MUTED},
}


def titled(text: str, **more: object) -> dict[str, Any]:
    """Return an axis with a title that a user may have written."""
    return {"title": {"text": escaped(shortened(text, 40)), "standoff": 8}, **more}


def parameter_axis(axis: Axis) -> dict[str, Any]:
    """Return the axis of a parameter."""
    if axis.categories:
        places = list(range(len(axis.categories)))
        labels = [escaped(label) for label in axis.labels]
        return titled(axis.name, tickvals=places, ticktext=labels, range=[-0.6, len(places) - 0.4])
    if axis.log:
        ticks = axis.log_ticks
        named = {"tickvals": ticks, "ticktext": [f"{value:g}" for value in ticks]} if ticks else {"dtick": 1}
        return titled(axis.name, type="log", exponentformat="power", **named)
    return titled(axis.name, **({"dtick": 1} if axis.few else {}))


def about(trial: Trial, metrics: Sequence[str]) -> str:
    """Return what stands beside the pointer over a trial."""
    attempt = trial.attempt
    how = str(attempt.reason or attempt.state).lower()
    lines = [f"<b>trial {attempt.number}</b> {how}, {attempt.epoch} epochs"]
    lines += [
        f"{escaped(shortened(metric))} <b>{value:.5g}</b>"
        for metric, value in zip(metrics, attempt.values, strict=False)
    ]
    shown = list(trial.params.items())[:_MOST_PARAMS]
    lines += [f"{escaped(shortened(name))} {escaped(shortened(number(value)))}" for name, value in shown]
    if len(trial.params) > len(shown):
        lines.append(f"and {len(trial.params) - len(shown)} more")
    return "<br>".join(lines)


def number(value: object) -> str:
    """Return a value as people read it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def rounded(value: float | None) -> float | None:
    """Return a value with the digits that a figure can show; of one that is not finite, which JSON lacks, a gap."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def when(seconds: float) -> str:
    """Return a time as plotly.js reads it, in UTC."""
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def dots(
    trials: Sequence[Trial], x: Sequence[object], y: Sequence[float | None], metrics: Sequence[str], **more: object
) -> dict[str, Any]:
    """Return a trace with a dot for each trial."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": list(x),
        "y": [rounded(value) for value in y],
        "text": [about(one, metrics) for one in trials],
        "hovertemplate": "%{text}<extra></extra>",
        **more,
    }


def state_dots(trials: Sequence[Trial], state: State, x: Sequence[object], y: Sequence[float | None],
               metrics: Sequence[str]) -> dict[str, Any]:  # fmt: skip
    """Return a trace with a dot for each trial in a state: those that finished stand out."""
    if state is State.COMPLETE:
        marker = {"color": STATES[state], "size": 8, "opacity": 0.8}
    else:
        marker = {"color": STATES[state], "size": 6 if len(trials) < _FEW else 4, "opacity": 0.5}
    return dots(trials, x, y, metrics, name=str(state).lower(), marker=marker)
