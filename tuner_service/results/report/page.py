"""The report as one page of HTML that needs nothing else; what users wrote is escaped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import jinja2
from plotly.offline import get_plotlyjs

from tuner_service.results.export import iso
from tuner_service.results.report.content import Content
from tuner_service.results.report.figure import Figure
from tuner_service.results.report.sections import Section, goal, headline, sections_of

_TEMPLATE = Path(__file__).with_name("page.html")


@dataclass(frozen=True)
class _Placed:
    """A figure's place on the page."""

    place: int
    height: int
    min_width: int


@dataclass(frozen=True)
class _Shown:
    """A section with its figures numbered."""

    section: Section
    figures: Sequence[_Placed] = field(default_factory=list)

    def __getattr__(self, name: str) -> object:
        return getattr(self.section, name)


def page(content: Content) -> str:
    """Return the page."""
    figures: list[Figure] = []
    shown = []
    for section in sections_of(content):
        placed = [_Placed(len(figures) + n, one.height, one.min_width) for n, one in enumerate(section.figures)]
        figures += section.figures
        shown.append(_Shown(section, placed))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        name=content.study.name,
        state=content.summary.state,
        goal=goal(content),
        read_at=(iso(content.summary.now) or "")[:16].replace("T", " ") + " UTC",
        ending_message=content.study.ending_message,
        cards=headline(content),
        sections=shown,
        version=version("tuner-service"),
        plotly=get_plotlyjs(),
        figures=_in_script([{"data": one.data, "layout": one.layout} for one in figures]),
    )


def _in_script(value: Sequence[Mapping[str, object]]) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
