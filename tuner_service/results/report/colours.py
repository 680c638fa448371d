"""The colours of a report, the same in every figure; states differ in lightness too."""

from __future__ import annotations

from tuner_service.domain.outcome import State

INK, MUTED, GRID, PAPER = "#1d2733", "#5d6b7a", "#e3e8ee", "#ffffff"
BEST = "#0b7a4b"
STATES = {
    State.COMPLETE: "#1f6fb2",
    State.PRUNED: "#e0a33a",
    State.FAIL: "#c23b2e",
    State.RUNNING: "#5aa9a3",
}
#: Of trials on the time line, by how they ended.
ENDINGS = {
    "complete": STATES[State.COMPLETE],
    "pruned": STATES[State.PRUNED],
    "failed": STATES[State.FAIL],
    "not counted": "#9aa5b1",
    "running": STATES[State.RUNNING],
}
#: Of values, from poor to good: light to dark, and legible in grey.
SCALE = ["#f1e8c4", "#bcd9a5", "#6dbfa1", "#2d94a8", "#1f609b", "#17305f"]
GROUPS = [STATES[State.COMPLETE], "#e0a33a", "#8a4fbf", "#5aa9a3"]
