"""The dashboard for Grafana."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.records import make_attempt, make_study
from tuner_service.domain.outcome import Reason
from tuner_service.results.summary import summary_of
from tuner_service.serve.metrics import of_studies
from tuner_service.serve.reading import Reading

_FILE = Path(__file__).parents[3] / "deploy" / "grafana" / "tuner.json"


def _told() -> dict[str, set[str]]:
    """Return the labels of each series that `/metrics` tells of a study that runs."""
    attempts = [make_attempt(0, reason=Reason.FINISHED, value=0.5, epoch=3, ended_at=1.0)]
    study = make_study()
    reading = Reading(study, attempts, [], summary_of(study, attempts, [], 2.0), 0.0)
    told = {sample.name: set(sample.labels) for family in of_studies([reading]) for sample in family.samples}
    return {**told, "tuner_storage_up": set(), "tuner_storage_seconds": set()}


def test_the_dashboard_shows_figures_that_there_are() -> None:
    """Every metric of its questions is one that `/metrics` tells, with those labels; each panel asks the chosen one."""
    dashboard, told = json.loads(_FILE.read_text()), _told()
    variables = {one["name"]: one for one in dashboard["templating"]["list"]}
    targets = [target for panel in dashboard["panels"] for target in panel["targets"]]
    questions = [target["expr"] for target in targets] + [variables["study"]["query"]["query"]]
    asked = {name for question in questions for name in re.findall(r"tuner_\w+", question)}
    assert asked <= told.keys()
    for target in targets:
        labels = set.union(*(told[name] for name in re.findall(r"tuner_\w+", target["expr"])))
        used = re.findall(r"{{(\w+)}}|(\w+)=~|by \((\w+)\)", f"{target['legendFormat']} {target['expr']}")
        assert {name for names in used for name in names if name} <= labels, target["expr"]
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {"${datasource}"}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    manual = (_FILE.parents[2] / "docs" / "serve.md").read_text()
    assert [name for name in told if name not in manual] == []
