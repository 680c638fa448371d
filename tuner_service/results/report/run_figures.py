"""Figures of the running: learning curves, who trained what and when, how the slots were used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tuner_service.domain.outcome import State
from tuner_service.domain.trial import Trial
from tuner_service.results.report.axis import shortened, view_of
from tuner_service.results.report.colours import BEST, ENDINGS, GROUPS, MUTED, STATES
from tuner_service.results.report.content import Content
from tuner_service.results.report.figure import Figure, about, escaped, layout, rounded, titled, when
from tuner_service.results.report.thinning import spread_out
from tuner_service.results.trials import Curve

#: Curves that are drawn in the background of each state, and those of the best that stand out.
_MOST_CURVES, _BEST_CURVES = 120, 5
#: Bars of the time line, changes of the number of running trials, and points of one curve, at most.
_MOST_BARS, _MOST_STEPS, _MOST_POINTS = 3000, 1500, 300
#: Rungs beyond which they are at every epoch, and no lines.
_MOST_RUNGS = 8


def reported_curves(content: Content) -> tuple[list[Trial], list[Trial], list[Trial]]:
    """Return the trials whose curves are drawn: some complete ones, some that were stopped, and the best."""
    told = [one for one in content.trials if one.reported]
    complete = [one for one in told if one.attempt.state is State.COMPLETE]
    best = content.best_first(complete)[:_BEST_CURVES]
    others = [one for one in complete if one not in best]
    stopped = [one for one in told if one.attempt.state is not State.COMPLETE]
    return spread_out(others, _MOST_CURVES), spread_out(stopped, _MOST_CURVES), best


def epochs_of(content: Content, trial: Trial) -> list[int]:
    """Return the epochs, from 1, at which a trial reported; an Optuna script's first step is the end of epoch 1."""
    return [step + 1 if content.study.kind == "objective" else step for step in trial.reported]


def learning_curves(content: Content) -> Figure | None:
    """Return the reported values of trials, those that were stopped too; ``None`` where nothing was reported."""
    complete, stopped, best = reported_curves(content)
    if not (complete or stopped or best):
        return None
    spec = content.study.spec
    data = [_bundle(content, stopped, "stopped early", STATES[State.PRUNED], 0.55)] if stopped else []
    if complete:
        data.append(_bundle(content, complete, "complete", STATES[State.COMPLETE], 0.35))
    for rank, one in enumerate(best):
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": epochs_of(content, one),
                "y": [rounded(value) for value in one.reported.values()],
                "name": f"best, trial {one.attempt.number}" if rank == 0 else "next best",
                "legendgroup": str(rank > 0),
                "line": {"color": BEST, "width": 3 if rank == 0 else 1.2},
                "opacity": 1.0 if rank == 0 else 0.75,
                "hovertemplate": f"{about(one, spec.metrics)}<br>epoch %{{x}}: %{{y:.5g}}<extra></extra>",
                "showlegend": rank < 2,
            }
        )
    shown = [value for one in (*complete, *stopped, *best) for value in one.reported.values()]
    view = view_of(shown, spec.direction_of(spec.watched))
    rungs = sorted({rung for bracket in range(spec.pruner.brackets_for(spec.max_epochs))
                    for rung in spec.pruner.rungs(bracket, spec.max_epochs)})  # fmt: skip
    dotted = {"color": MUTED, "width": 1, "dash": "dot"}
    lines = [
        {"type": "line", "x0": rung, "x1": rung, "yref": "paper", "y0": 0, "y1": 1, "line": dotted}
        for rung in rungs
        if len(rungs) <= _MOST_RUNGS
    ]
    told = sum(bool(one.reported) for one in content.trials)
    drawn = len(complete) + len(stopped) + len(best)
    note = f"{drawn} of {told} curves, evenly spread, with the best {len(best)}." if drawn < told else ""
    if lines:
        note += " Dotted lines: rungs, where the pruner compares."
    return Figure(
        "Learning curves",
        data,
        layout(
            x=titled("epoch"),
            y=titled(spec.watched, **({} if view is None else {"range": list(view)})),
            shapes=lines,
        ),
        note=note.strip(),
        height=420,
    )


def _bundle(content: Content, trials: Sequence[Trial], name: str, colour: str, opacity: float) -> dict[str, Any]:
    """Return many curves as one trace: between two of them is a gap."""
    x: list[int | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for one in trials:
        epochs = epochs_of(content, one)
        x += [*epochs, None]
        y += [*(rounded(value) for value in one.reported.values()), None]
        text += [f"trial {one.attempt.number}"] * (len(epochs) + 1)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": x,
        "y": y,
        "text": text,
        "name": name,
        "line": {"color": colour, "width": 1},
        "marker": {"size": 2.5, "color": colour},
        "opacity": opacity,
        "hovertemplate": "%{text}, epoch %{x}: %{y:.5g}<extra></extra>",
    }


def best_curves(content: Content) -> list[Figure]:
    """Return the best trial's metrics, epoch by epoch: each with the one of the validation."""
    if not content.best_curves or content.best is None:
        return []
    run: Curve = content.best_curves[0]
    plain = [name for name in run if f"val_{name}" in run]
    watched = content.study.spec.watched.removeprefix("val_")
    plain.sort(key=lambda name: (name != watched, name != "loss", name))
    alone = [name for name in run if not name.startswith("val_") and name not in plain and name == watched]
    figures = []
    for name in (plain or alone)[:2]:
        data = []
        for place, (metric, label) in enumerate(((f"val_{name}", "validation"), (name, "training"))):
            if metric in run:
                epochs = spread_out(range(len(run[metric])), _MOST_POINTS)
                line = {"color": GROUPS[place], "width": 2}
                data.append({"type": "scatter", "mode": "lines", "x": [epoch + 1 for epoch in epochs],
                             "y": [rounded(run[metric][epoch]) for epoch in epochs], "name": label,
                             "line": line})  # fmt: skip
        figures.append(Figure("", data, layout(x=titled("epoch"), y=titled(name)), height=280))
    return figures


def timeline(content: Content) -> Figure | None:
    """Return which slot trained which trial when; ``None`` where none has started."""
    bars = content.use.bars
    if not bars:
        return None
    lanes = sorted({bar.lane for bar in bars}, key=_lane_order)
    shown = spread_out(bars, _MOST_BARS)
    data = []
    for how, colour in ENDINGS.items():
        mine = [bar for bar in shown if bar.how == how]
        if mine:
            data.append(
                {
                    "type": "bar",
                    "orientation": "h",
                    "base": [when(bar.begin) for bar in mine],
                    "x": [round((bar.end - bar.begin) * 1000) for bar in mine],
                    "y": [lanes.index(bar.lane) for bar in mine],
                    "text": [about(bar.trial, content.study.spec.metrics) for bar in mine],
                    "textposition": "none",
                    "hovertemplate": "%{text}<extra></extra>",
                    "name": how,
                    "marker": {"color": colour, "line": {"width": 0}},
                }
            )
    many = len(lanes) > 40
    axis: Mapping[str, Any] = {
        "tickvals": [] if many else list(range(len(lanes))),
        "ticktext": [] if many else [escaped(shortened(lane, 28)) for lane in lanes],
        "range": [len(lanes) - 0.4, -0.6],
        "gridcolor": "rgba(0,0,0,0)",
    }
    grey = " Grey does not count: interrupted or cancelled." if any(bar.how == "not counted" for bar in bars) else ""
    note = f"{len(shown)} of {len(bars)} trials are drawn. " if len(shown) < len(bars) else ""
    return Figure(
        "Time line",
        data,
        layout(x={"type": "date", "tickangle": 0, "nticks": 6}, y=axis, barmode="overlay", bargap=0.25),
        note=f"{note}A row a slot of a worker; times are UTC.{grey}",
        height=min(110 + len(lanes) * (18 if len(lanes) <= 40 else 8), 1200),
        min_width=640,
    )


def _lane_order(lane: str) -> tuple[str, int]:
    worker, _, slot = lane.rpartition(" #")
    return worker, int(slot)


def use(content: Content) -> Figure | None:
    """Return how many trials ran at a time, and how many slots there were."""
    if not content.use.running:
        return None
    data = []
    for steps, name, line in (
        (content.use.running, "running trials", {"shape": "hv", "width": 1, "color": STATES[State.COMPLETE]}),
        (content.use.slots, "slots", {"shape": "hv", "width": 1.5, "color": MUTED, "dash": "dash"}),
    ):
        shown = spread_out(steps, _MOST_STEPS)
        filled = {"fill": "tozeroy", "fillcolor": "rgba(31,111,178,0.18)"} if name == "running trials" else {}
        data.append({"type": "scatter", "mode": "lines", "x": [when(at) for at, _ in shown],
                     "y": [level for _, level in shown], "name": name, "line": line, **filled})  # fmt: skip
    return Figure(
        "Use of the slots",
        data,
        layout(x={"type": "date", "tickangle": 0, "nticks": 6}, y=titled("trials at a time", rangemode="tozero")),
        height=260,
    )
