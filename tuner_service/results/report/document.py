"""The report as data: ``report.json``."""

from __future__ import annotations

import dataclasses
from typing import Any

from tuner_service.domain.run import CONFIDENCE
from tuner_service.results.export import iso, plain, study_fields, trial_fields
from tuner_service.results.report.content import Content

#: Version of the document; raised when a field changes its meaning or goes away.
VERSION = 1


def document(content: Content) -> dict[str, Any]:
    """Return what the report says as plain data; numbers that are not finite are text."""
    summary, best = content.summary, content.best
    one_objective = len(content.study.spec.metrics) == 1
    spread = best.spread if best is not None else None
    made = {
        "version": VERSION,
        "read_at": iso(summary.now),
        "state": summary.state,
        "study": study_fields(content.study),
        "trials": {
            "settled": summary.settled,
            "complete": summary.complete,
            "pruned": summary.pruned,
            "failed": summary.failed,
            "retries": summary.retries,
        },
        "epochs": {"trained": summary.epochs_trained, "saved_by_pruning": summary.epochs_saved},
        "best": trial_fields(best) if best is not None and one_objective else None,
        "confidence": None
        if spread is None or not one_objective
        else {**dataclasses.asdict(spread), "level": CONFIDENCE},
        "front": [trial_fields(one) for one in content.front],
        "improvements": [
            {"trial": one.attempt.number, "value": one.attempt.value, "at": iso(one.attempt.ended_at)}
            for one in content.improvements
        ],
        "importances": [
            {
                "metric": one.metric,
                "complete_trials": one.trials,
                "few_trials": one.few,
                "ped_anova": dict(one.among_best),
                "fanova": dict(one.variance),
            }
            for one in content.importances
        ],
        "comparison": {
            "verdict": content.comparison.verdict,
            "groups": [
                {name: value for name, value in dataclasses.asdict(one).items() if name != "expected"}
                for one in content.comparison.groups
            ],
        },
        "workers": [dataclasses.asdict(one) for one in content.use.workers],
        "slots_busy": content.use.busy,
        "failures": [
            {"reason": str(one.reason), "error": one.error, "trials": list(one.trials)} for one in content.causes
        ],
    }
    return dict(plain(made))
