"""A study's trials in files: JSON, YAML, and CSV with one line a trial or one line an epoch."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import io
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import yaml

from tuner_service.domain.front import front
from tuner_service.domain.outcome import State
from tuner_service.domain.provenance import spec_digest
from tuner_service.domain.run import RUNS
from tuner_service.domain.study import StudyRecord
from tuner_service.domain.trial import Trial
from tuner_service.results.trials import curves, first_epoch
from tuner_service.storage.ledger_storage import LedgerStorage

Format = Literal["json", "yaml", "csv", "csv-long"]

#: Version of what the export holds; raised when a field changes its meaning or goes away.
VERSION = 1


def export(storage: LedgerStorage, name: str, form: Format) -> str:
    """Return a study as text in a format.

    ``json`` and ``yaml`` hold all of it; ``csv`` has one line a trial, with its parameters in columns; ``csv-long`` has
    one line for each trial, epoch and metric.
    """
    study = storage.study(name)
    trials = [one for one in storage.trials(study.study_id, curves=True) if one.started_at is not None]
    match form:
        case "json":
            return json.dumps(document(study, trials), indent=2, allow_nan=False) + "\n"
        case "yaml":
            return yaml.safe_dump(document(study, trials), sort_keys=False, allow_unicode=True)
        case "csv":
            return _csv(wide(study, trials))
        case "csv-long":
            return _csv(_long(study, trials))


def export_record(storage: LedgerStorage, name: str) -> str:
    """Return a study without its trials as JSON: what its results depend on, which a table has no place for."""
    return json.dumps({"version": VERSION, "study": study_fields(storage.study(name))}, indent=2) + "\n"


def document(study: StudyRecord, trials: list[Trial]) -> dict[str, Any]:
    """Return a study and its trials as plain data; numbers that are not finite are text."""
    numbers = [one.number for one in front([one.attempt for one in trials], study.spec.directions)]
    best = numbers[0] if numbers and len(study.spec.metrics) == 1 else None
    return {
        "version": VERSION,
        "study": study_fields(study),
        "best": next((trial_fields(one) for one in trials if one.attempt.number == best), None),
        "front": numbers,
        "trials": [{**trial_fields(one), "curves": plain(curves(study, one.attempt.number))} for one in trials],
    }


def study_fields(study: StudyRecord) -> dict[str, Any]:
    """Return a study's record as plain data."""
    return {
        "name": study.name,
        "specification": study.spec.model_dump(mode="json"),
        "directions": list(study.spec.directions),
        "trials": study.budget,
        "control": str(study.control),
        "ending": None if study.ending is None else str(study.ending),
        "ending_message": study.ending_message,
        "created_at": iso(study.created_at),
        "ended_at": iso(study.ended_at),
        "file": study.code.file,
        "code": study.code.digest,
        "accepted_code": list(study.code.accepted),
        "artifacts": study.artifacts,
        "record": record_fields(study),
        "search_space": {name: _distribution(text) for name, text in study.space.items()},
    }


def record_fields(study: StudyRecord) -> dict[str, Any]:
    """Return what a study's results depend on, as plain data."""
    return {
        "specification": spec_digest(study.spec),
        "code": study.code.digest,
        "seed": study.spec.seed,
        "backend": study.spec.backend,
        **dataclasses.asdict(study.provenance),
    }


def trial_fields(trial: Trial) -> dict[str, Any]:
    """Return a trial as plain data."""
    attempt = trial.attempt
    return {
        "trial": attempt.number,
        "configuration": attempt.configuration,
        "attempt": attempt.attempt,
        "state": str(attempt.state),
        "reason": None if attempt.reason is None else str(attempt.reason),
        "value": plain(attempt.value),
        "values": list(attempt.values),
        "epochs": attempt.epoch,
        "best_epoch": trial.best_epoch,
        "runs": [dataclasses.asdict(run) for run in trial.runs],
        "spread": None if trial.spread is None else dataclasses.asdict(trial.spread),
        "params": plain(trial.params),
        "constraints": plain(trial.constraints),
        "started_at": iso(trial.started_at),
        "ended_at": iso(attempt.ended_at),
        "seconds": None if trial.seconds is None else round(trial.seconds, 3),
        "worker": attempt.owner,
        "code": trial.code,
        "environment": dict(trial.environment),
        "failure": None if trial.failure is None else dict(trial.failure.__dict__),
        "reported": {str(step): plain(value) for step, value in trial.reported.items()},
        "attributes": plain({name: value for name, value in trial.attributes.items() if name != RUNS}),
    }


def iso(seconds: float | None) -> str | None:
    """Return a time as ISO 8601 in UTC."""
    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC).isoformat(timespec="milliseconds")


_WIDE = ("trial", "configuration", "attempt", "state", "reason", "value", "epochs", "best_epoch")
_WIDE_END = ("started_at", "ended_at", "seconds", "worker", "code")


def wide(study: StudyRecord, trials: list[Trial]) -> Iterator[list[object]]:
    """Yield the columns' names, then a row a trial, with its parameters and attributes in columns of their own."""
    params = list(dict.fromkeys(name for one in trials for name in one.params))
    known = (*_WIDE, *_WIDE_END, RUNS)
    attributes = list(dict.fromkeys(name for one in trials for name in one.attributes if name not in known))
    # Of several objectives each has a column, beside the first one's.
    metrics = study.spec.metrics if len(study.spec.metrics) > 1 else ()
    values = [f"value.{metric}" for metric in metrics]
    params_and_attributes = [*(f"param.{name}" for name in params), *(f"attr.{name}" for name in attributes)]
    yield [*_WIDE, *values, *params_and_attributes, *_WIDE_END, "error"]
    for one in trials:
        fields = trial_fields(one)
        yield [
            *(fields[name] for name in _WIDE),
            *(one.attempt.values or [None] * len(metrics) if metrics else ()),
            *(one.params.get(name) for name in params),
            *(one.attributes.get(name) for name in attributes),
            *(fields[name] for name in _WIDE_END),
            one.attempt.error,
        ]


def _long(study: StudyRecord, trials: list[Trial]) -> Iterator[list[object]]:
    yield ["trial", "configuration", "attempt", "run", "epoch", "metric", "value"]
    for one in trials:
        key = [one.attempt.number, one.attempt.configuration, one.attempt.attempt]
        kept = curves(study, one.attempt.number) if one.attempt.state is not State.RUNNING else []
        for run, curve in enumerate(kept):
            for metric, values in curve.items():
                yield from ([*key, run, epoch, metric, value] for epoch, value in enumerate(values, start=1))
        if not kept:
            # Of a running trial, and of an objective(trial), there is what was reported.
            yield from (
                [*key, 0, step + first_epoch(study), study.spec.watched, value] for step, value in one.reported.items()
            )


def _csv(rows: Iterator[list[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    # A spreadsheet runs a cell that begins like a formula.
    if isinstance(value, str):
        # Before Python 3.13 a lone carriage return is not quoted, and ends the line.
        text = value.replace("\r\n", "\n").replace("\r", "\n")
        return f"'{text}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else text
    return value


def plain(value: Any) -> Any:  # noqa: ANN401 - data of any depth
    """Return data as JSON holds it: numbers that are not finite are text."""
    match value:
        case float() if not math.isfinite(value):
            return {math.inf: "inf", -math.inf: "-inf"}.get(value, "nan")
        case Mapping():
            return {key: plain(item) for key, item in value.items()}
        case list():
            return [plain(item) for item in value]
    return value


def _distribution(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
