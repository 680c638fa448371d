"""The dashboard for Grafana."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.records import make_study
from tuner_service.results.summary import summary_of
from tuner_service.serve.metrics import of_studies
from tuner_service.serve.reading import Reading

_FILE = Path(__file__).parents[3] / "deploy" / "grafana" / "tuner.json"


def test_the_dashboard_shows_figures_that_there_are() -> None:
    """Every metric in its questions is one that `/metrics` tells, and every panel asks the chosen Prometheus."""
    dashboard = json.loads(_FILE.read_text())
    summary = summary_of(make_study(), [], [], 0.0)
    told = {one.name for one in of_studies([Reading(summary.study, [], [], summary, 0.0)])}
    told |= {"tuner_storage_up", "tuner_storage_seconds"}
    asked = {
        name.removesuffix("_total")
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"tuner_\w+", target["expr"])
    }
    assert asked <= told
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {"${datasource}"}
    manual = (_FILE.parents[2] / "docs" / "serve.md").read_text()
    assert [name for name in told if name not in manual] == []
