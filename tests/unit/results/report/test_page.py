"""The page of a report: what it says, and that nothing in it is anything but text."""

from __future__ import annotations

import dataclasses
import html.parser
import json
import math
import re
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from benchmarks.large_study import made_up, new_study, record
from tests.records import make_attempt, make_spec, make_study
from tuner_service.domain.outcome import Failure, Reason, State
from tuner_service.domain.provenance import Provenance
from tuner_service.domain.trial import Trial
from tuner_service.results.report.content import Content, content_of
from tuner_service.results.report.document import document
from tuner_service.results.report.page import page
from tuner_service.results.report.pictures import draw_pictures
from tuner_service.results.report.sections import sections_of

_NASTY = '</script><img src=x onerror=alert(1)>"$\\frac{'


def _content(count: int = 60, **study: Any) -> Content:
    trials, workers = made_up(count, workers=2)
    made = dataclasses.replace(record(new_study(max(count, 1))), **study)
    return content_of(made, trials, workers, now=2e9)


@pytest.fixture(scope="module")
def content() -> Content:
    """Provide what is to be said of a finished study of 60 trials."""
    return _content()


def _titles(content: Content) -> list[str]:
    return [section.title for section in sections_of(content)]


def _several(count: int = 40) -> Content:
    """Return the content of a study of two objectives, the second one smaller with fewer units."""
    spec = make_spec(metric=("val_accuracy", "parameters"), trials=count)
    trials = [
        Trial(
            make_attempt(number, reason=Reason.FINISHED, value=1 - 1 / (number + 2), others=(100.0 + number % 7,),
                         number=number, epoch=9, ended_at=20.0 + number),
            params={"units": number + 1},
            started_at=10.0 + number,
        )
        for number in range(count)
    ]  # fmt: skip
    return content_of(make_study(spec=spec), trials, [], now=100.0)


class _Elements(html.parser.HTMLParser):
    """Notes the elements of a page and what they would load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loads: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags.add(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def _elements(text: str) -> _Elements:
    found = _Elements()
    found.feed(text)
    return found


def test_a_finished_study_has_every_section(content: Content) -> None:
    """From the best to the record, in this order."""
    assert _titles(content) == [
        "Best",
        "Optimization history",
        "Importance of the parameters",
        "Parallel coordinates",
        "Slices",
        "Contours",
        "Learning curves",
        "Against random search",
        "Time line",
        "Use of the slots",
        "Failures",
        "Record",
    ]


def test_figures_are_what_plotly_takes(content: Content) -> None:
    """Every figure passes the checks of plotly's own library, which know each attribute."""
    figures = [figure for one in (content, _several()) for section in sections_of(one) for figure in section.figures]
    assert len(figures) > 20
    for figure in figures:
        go.Figure({"data": list(figure.data), "layout": dict(figure.layout)})


def test_a_diverged_trial_is_a_gap(tmp_path: Path) -> None:
    """Values that are not finite, which a diverged trial reports last, break neither the page nor its pictures."""
    trials, workers = made_up(60, workers=2)
    ends = (math.nan, math.inf, -math.inf)
    trials[:3] = [
        dataclasses.replace(one, attempt=dataclasses.replace(one.attempt, state=State.PRUNED, reason=Reason.DIVERGED),
                            reported={1: 0.5, 2: value})
        for one, value in zip(trials, ends, strict=False)
    ]  # fmt: skip
    content = content_of(record(new_study(60)), trials, workers, now=2e9)
    (figures,) = re.findall(r'id="figures">(.*?)</script>', page(content), re.DOTALL)
    json.loads(figures, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert '"y":[0.5,null,null,0.5,null,null,0.5,null,null' in figures
    json.dumps(document(content), allow_nan=False)
    assert draw_pictures(content, tmp_path)


def test_a_trial_that_violates_a_constraint_comes_last() -> None:
    """It is neither the best of a table, a curve or a comparison, nor a rival of the best, whatever its value."""
    trials = [
        Trial(make_attempt(number, reason=Reason.FINISHED, value=value, number=number, epoch=3, ended_at=20.0 + number,
                           feasible=number != 1),
              params={"a": number}, reported={1: value / 2, 2: value}, started_at=10.0 + number)
        for number, value in enumerate([0.5, 0.99, 0.6])
    ]  # fmt: skip
    content = content_of(make_study(spec=make_spec(sampler="random")), trials, [], now=100.0)
    sections = {section.title: section for section in sections_of(content)}
    ranked = [row[0] for row in sections["Best"].tables[1].rows]
    assert ranked == ["2", "0", "1 (violates a constraint)"]
    assert "the best of 2 trials" in sections["Best"].warnings[0]
    assert sections["Learning curves"].figures[0].data[0]["name"] == "best, trial 2"
    (group,) = content.comparison.groups
    assert (group.complete, group.best, group.median) == (3, 0.6, 0.55)


def test_page_loads_nothing(content: Content) -> None:
    """It has no link to outside, and tells the browser to refuse any."""
    text = page(content)
    elements = _elements(text)
    assert [one for one in elements.loads if not one.startswith("#")] == []
    assert elements.tags & {"link", "img", "iframe", "object", "embed"} == set()
    assert "default-src 'none'" in text


def test_what_users_wrote_is_text(tmp_path: Path) -> None:
    """Markup in names, parameters, categories, errors and tracebacks stays text: in HTML, in JSON, in figures."""
    spec = make_spec(metric=_NASTY, direction="maximize", trials=9)
    failure = Failure(_NASTY, _NASTY, f"Traceback {_NASTY}", _NASTY)
    trials = [
        Trial(
            make_attempt(number, reason=reason, value=value, number=number, owner=_NASTY, epoch=3, error=_NASTY,
                         ended_at=20.0 + number),
            params={_NASTY: ["a", _NASTY][number % 2], f"{_NASTY}2": number / 10, "$": number},
            reported={1: 0.1, 2: 0.2},
            failure=failure if reason is Reason.ERROR else None,
            started_at=10.0 + number,
            attributes={_NASTY: _NASTY},
        )
        for number, (reason, value) in enumerate([*((Reason.FINISHED, n / 10) for n in range(8)), (Reason.ERROR, None)])
    ]  # fmt: skip
    study = dataclasses.replace(
        make_study(spec=spec),
        ending_message=_NASTY,
        provenance=Provenance(packages={_NASTY: _NASTY}, command=_NASTY),
        artifacts=_NASTY,
    )
    content = content_of(study, trials, [], now=100.0)
    text = page(content)
    plotly_and_ours = _elements(page(_content(5)))
    elements = _elements(text)
    assert elements.tags <= plotly_and_ours.tags | {"details", "summary", "pre"}
    assert elements.handlers == []
    assert text.count("</script>") == 3
    (figures,) = re.findall(r'id="figures">(.*?)</script>', text, re.DOTALL)
    drawn = json.dumps(json.loads(figures))
    assert "<img" not in drawn
    assert "&lt;img" in drawn
    assert len(draw_pictures(content, tmp_path)) >= 5


@pytest.mark.parametrize("count", [0, 1, 3, 12])
def test_a_small_study_has_a_report_too(count: int, tmp_path: Path) -> None:
    """Whatever there is not yet is left out."""
    content = _content(count)
    assert "Record" in _titles(content)
    assert page(content)
    json.dumps(document(content), allow_nan=False)
    draw_pictures(content, tmp_path)


def test_running_and_broken_studies_have_a_report() -> None:
    """Also one whose only trials run, or have failed."""
    trials = [
        Trial(make_attempt(0, 0, State.RUNNING, owner="w", epoch=1, number=0), started_at=10.0),
        Trial(make_attempt(1, reason=Reason.ERROR, number=1, error="E: x", ended_at=30.0), started_at=20.0),
    ]
    content = content_of(make_study(), trials, [], now=100.0)
    assert _titles(content) == ["Time line", "Use of the slots", "Failures", "Record"]
    assert page(content)


def test_several_objectives_have_a_front() -> None:
    """Its trials stand in a table and a figure, importances are told for each objective."""
    content = _several()
    titles = _titles(content)
    assert titles[:3] == ["Pareto front", "Optimization history: val_accuracy", "Optimization history: parameters"]
    assert {one.metric for one in content.importances} == {"val_accuracy", "parameters"}
    (front,) = [section for section in sections_of(content) if section.title == "Pareto front"]
    assert len(front.tables[0].rows) == len(content.front) > 1
    assert document(content)["best"] is None
    assert page(content)


def test_curves_are_of_what_was_reported() -> None:
    """Of the metric that is watched, also where a pruner judges by another."""
    content = _content(30)
    spec = make_spec(prune_on="val_loss", pruner="median")
    found = content_of(dataclasses.replace(content.study, spec=spec), content.trials, [], now=2e9)
    (section,) = [one for one in sections_of(found) if one.anchor == "curves"]
    assert section.figures[0].layout["yaxis"]["title"]["text"] == spec.watched == "val_accuracy"


def test_parameters_of_long_names_have_a_bar_each() -> None:
    """Also those whose names are the same once they are shortened; the whole name is seen when one is pointed at."""
    names = [f"hidden_layer_activation_{number}" for number in range(3)]
    content = _several()
    trials = [
        dataclasses.replace(one, params={name: (number * 7 + place) % 11 for place, name in enumerate(names)})
        for number, one in enumerate(content.trials)
    ]
    found = content_of(content.study, trials, [], now=100.0)
    (section,) = [one for one in sections_of(found) if one.anchor == "importance"]
    for trace in section.figures[0].data:
        assert sorted(trace["y"]) == [0, 1, 2]
        assert sorted(trace["text"]) == names


def test_importances_of_few_trials_are_warned_of() -> None:
    """Under 30 complete trials the page says that they are closer to a guess."""
    few = content_of(record(new_study(12)), made_up(12)[0], [], now=2e9)
    (section,) = [one for one in sections_of(few) if one.anchor == "importance"]
    assert "closer to a guess" in section.warnings[0]


def test_what_figures_leave_out_is_told(content: Content) -> None:
    """Values that lie outside of an axis, and parameters that only some trials have, where there are such."""
    trials, workers = made_up(60, workers=2)
    shared = [dataclasses.replace(one, params={"units": one.params["units"]}) for one in trials]
    for found, only_some in ((content, True), (content_of(content.study, shared, workers, now=2e9), False)):
        notes = {one.anchor: " ".join((*one.texts, *one.warnings)) for one in sections_of(found)}
        assert ("parameters that only some trials have" in notes["importance"]) is only_some
        assert "Poor values lie outside" in notes["slices"]


def test_one_run_is_told_from_several() -> None:
    """A value of one training is called luck, the mean of several has its interval and its rivals."""
    (best,) = [one for one in sections_of(_content(20)) if one.anchor == "best"]
    assert "luckiest" in best.warnings[0]
    runs = [{"execution": n, "fold": None, "seed": n, "value": 0.9 + n / 100, "epochs": 9, "best_epoch": 3}
            for n in range(3)]  # fmt: skip
    trials = [
        Trial(make_attempt(number, reason=Reason.FINISHED, value=value, number=number, ended_at=20.0),
              attributes={"runs": runs}, params={"a": number}, started_at=10.0)
        for number, value in enumerate([0.91, 0.905, 0.2])
    ]  # fmt: skip
    content = content_of(make_study(), trials, [], now=100.0)
    (best,) = [one for one in sections_of(content) if one.anchor == "best"]
    assert "mean of 3 runs with a standard deviation of 0.01" in best.texts[0]
    assert "Within its interval: 1 other trial, maybe" in best.warnings[0]
    spread = document(content)["confidence"]
    assert (spread["runs"], spread["level"]) == (3, 0.95)
    assert spread["low"] < 0.91 < spread["high"]


def test_thousands_of_trials_are_thinned() -> None:
    """A figure holds what a screen can show, and a page of 5 000 trials is a few megabytes."""
    content = _content(5000)
    for section in sections_of(content):
        for figure in section.figures:
            assert sum(len(trace.get("x") or ()) for trace in figure.data) <= 10_000
    assert len(page(content)) < 10_000_000
