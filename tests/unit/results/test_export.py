"""Exported files."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
import yaml

from tests.records import make_attempt, make_spec, make_study
from tuner_service.domain.outcome import Failure, Reason, State
from tuner_service.domain.study import StudyRecord
from tuner_service.domain.trial import Trial
from tuner_service.errors import ArtifactError
from tuner_service.results.export import Format, export, iso
from tuner_service.storage.artifacts import Artifacts, trial_folder
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.training.assignment import CURVE_FILE


def _trial(number: int = 0, reason: Reason | None = Reason.FINISHED, **fields: Any) -> Trial:
    ours = {name: fields.pop(name) for name in ("value", "error", "owner", "epoch") if name in fields}
    state = State.RUNNING if reason is None else None
    attempt = make_attempt(number, 0, state, reason=reason, number=number, **ours)
    return Trial(attempt, **{"started_at": 10.0, **fields})


@pytest.fixture
def study(tmp_path: Path) -> StudyRecord:
    """Provide a study that keeps its curves in a folder of this test."""
    return StudyRecord(**{**make_study(spec=make_spec(metric="val_loss")).__dict__, "artifacts": str(tmp_path)})


def _keep_curve(study: StudyRecord, number: int, curve: dict[str, list[float]]) -> None:
    Artifacts(study.artifacts, study.name).put_text(json.dumps([curve]), f"{trial_folder(number)}/{CURVE_FILE}")


def _export(study: StudyRecord, form: Format, *trials: Trial) -> str:
    storage = create_autospec(LedgerStorage, instance=True)
    storage.study.return_value = study
    storage.trials.return_value = list(trials)
    return export(storage, study.name, form)


def _table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_json_and_yaml_hold_the_same(study: StudyRecord) -> None:
    """All of the study, its trials and their curves, in either format."""
    _keep_curve(study, 0, {"val_loss": [0.5, 0.25]})
    failure = Failure("ValueError", "no", "Traceback", "host")
    trials = [
        _trial(0, value=0.25, params={"rate": 0.1, "kind": "a"}, reported={1: 0.5, 2: 0.25}, code="c0de"),
        _trial(1, Reason.ERROR, error="ValueError: no", failure=failure, attributes={"note": "first"}),
    ]
    document = json.loads(_export(study, "json", *trials))
    assert yaml.safe_load(_export(study, "yaml", *trials)) == document
    assert document["version"] == 1
    assert document["best"]["trial"] == 0
    first, second = document["trials"]
    assert (first["params"], first["reported"], first["curves"]) == (
        {"rate": 0.1, "kind": "a"},
        {"1": 0.5, "2": 0.25},
        [{"val_loss": [0.5, 0.25]}],
    )
    assert (second["state"], second["reason"], second["failure"]["message"]) == ("FAIL", "error", "no")


@pytest.mark.parametrize("form", ["json", "yaml"])
@pytest.mark.parametrize(
    ("number", "text"),
    [
        pytest.param(math.nan, "nan", id="not a number"),
        pytest.param(math.inf, "inf", id="infinite"),
        pytest.param(-math.inf, "-inf", id="negatively infinite"),
    ],
)
def test_what_json_has_no_number_for_is_text(study: StudyRecord, form: Format, number: float, text: str) -> None:
    """NaN and infinity are words, wherever they are: in values, curves, parameters and attributes."""
    _keep_curve(study, 0, {"val_loss": [1.0, number]})
    trial = _trial(
        0, Reason.DIVERGED, reported={1: number}, attributes={"a": number, "b": {"c": [number]}}, params={"p": number}
    )
    (found,) = yaml.safe_load(_export(study, form, trial))["trials"]
    assert (found["curves"], found["reported"]) == ([{"val_loss": [1.0, text]}], {"1": text})
    assert (found["attributes"], found["params"]) == ({"a": text, "b": {"c": [text]}}, {"p": text})


def test_a_csv_has_one_line_a_trial(study: StudyRecord) -> None:
    """Parameters and attributes are columns, empty where a trial has none."""
    rows = _table(
        _export(
            study,
            "csv",
            _trial(0, value=0.25, params={"rate": 0.1}, attributes={"reason": "finished", "note": "x"}, epoch=9),
            _trial(1, Reason.ERROR, params={"rate": 0.2, "kind": "a,\nb"}, error="ValueError: no"),
        )
    )
    assert [(one["trial"], one["state"], one["value"], one["epochs"]) for one in rows] == [
        ("0", "COMPLETE", "0.25", "9"),
        ("1", "FAIL", "", "0"),
    ]
    assert [(one["param.rate"], one["param.kind"], one["attr.note"]) for one in rows] == [
        ("0.1", "", "x"),
        ("0.2", "a,\nb", ""),
    ]
    assert rows[1]["error"] == "ValueError: no"
    assert [one for one in rows[0] if one in ("reason", "attr.reason")] == ["reason"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_looks_like_a_formula_is_text(study: StudyRecord, start: str) -> None:
    """A spreadsheet would run it; whoever writes a study file chooses such texts."""
    text = f"{start}HYPERLINK(1)"
    trial = _trial(params={"p": text}, attributes={"a": text}, owner=text, error=text)
    (row,) = _table(_export(study, "csv", trial))
    guarded = f"'{text}".replace("\r", "\n")
    assert (row["param.p"], row["attr.a"], row["worker"], row["error"]) == (guarded,) * 4


def test_a_negative_number_is_no_formula(study: StudyRecord) -> None:
    """Only texts are guarded."""
    (row,) = _table(_export(study, "csv", _trial(value=-0.5, params={"p": -1})))
    assert (row["value"], row["param.p"]) == ("-0.5", "-1")


def test_a_long_csv_has_one_line_for_each_epoch_and_metric(study: StudyRecord) -> None:
    """From the curve, where one was kept; else what was reported, under the study's metric."""
    _keep_curve(study, 0, {"loss": [0.9, 0.8], "val_loss": [0.7, math.inf]})
    text = _export(study, "csv-long", _trial(0, reported={1: 5.0}), _trial(1, None, reported={3: math.nan}))
    assert text.splitlines() == [
        "trial,configuration,attempt,run,epoch,metric,value",
        "0,0,0,0,1,loss,0.9",
        "0,0,0,0,2,loss,0.8",
        "0,0,0,0,1,val_loss,0.7",
        "0,0,0,0,2,val_loss,inf",
        "1,1,0,0,3,val_loss,nan",
    ]


@pytest.mark.parametrize("form", ["json", "yaml", "csv-long"])
def test_curves_that_cannot_be_read_are_not_left_out(study: StudyRecord, form: Format) -> None:
    """Without credentials for a bucket for instance; one that was never kept is none."""
    (Path(study.artifacts) / study.name / trial_folder(0) / CURVE_FILE).mkdir(parents=True)
    with pytest.raises(ArtifactError, match="cannot be read from"):
        _export(study, form, _trial(0, value=0.5))
    assert _export(study, form, _trial(1, value=0.5))


def test_the_first_step_of_a_script_is_epoch_1(study: StudyRecord) -> None:
    """A script counts its steps from 0, and all that is exported counts epochs from 1."""
    script = dataclasses.replace(study, kind="objective")
    rows = _table(_export(script, "csv-long", _trial(0, reported={0: 5.0, 1: 4.0})))
    assert [row["epoch"] for row in rows] == ["1", "2"]


@pytest.mark.parametrize("form", ["json", "yaml", "csv", "csv-long"])
def test_rows_that_nobody_claimed_are_left_out(study: StudyRecord, form: Format) -> None:
    """A waiting row is no trial yet."""
    assert "777" not in _export(study, form, _trial(777, started_at=None))


@pytest.mark.parametrize("form", ["json", "yaml", "csv", "csv-long"])
def test_a_study_without_trials_can_be_exported(study: StudyRecord, form: Format) -> None:
    """There is a header, or an empty list."""
    assert _export(study, form).strip()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [pytest.param(0.0, "1970-01-01T00:00:00.000+00:00", id="the beginning"), pytest.param(None, None, id="none")],
)
def test_times_are_iso_in_utc(seconds: float | None, text: str | None) -> None:
    """With milliseconds and the zone."""
    assert iso(seconds) == text
