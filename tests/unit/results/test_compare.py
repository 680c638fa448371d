"""Two studies side by side."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest

from tests.records import make_attempt, make_spec, make_study
from tuner_service.domain.outcome import Reason
from tuner_service.domain.provenance import Provenance
from tuner_service.domain.run import RUNS
from tuner_service.domain.study import CodeRecord, StudyRecord
from tuner_service.domain.trial import Trial
from tuner_service.results.compare import Comparison, compare
from tuner_service.storage.artifacts import Artifacts, code_file
from tuner_service.storage.ledger_storage import LedgerStorage


def _study(name: str, folder: Path = Path("/nowhere"), **fields: Any) -> StudyRecord:
    record = {"data": fields.pop("data", "d"), "packages": fields.pop("packages", {})}
    code, space = fields.pop("code", "c"), fields.pop("space", {"lr": "{}"})
    study = make_study(spec=make_spec(name=name, **fields), provenance=Provenance(**record), space=space)
    return dataclasses.replace(study, code=CodeRecord(f"{name}.py", code), artifacts=str(folder))


def _compare(
    one: StudyRecord, two: StudyRecord, values: float = 0.5, others: float = 0.5, many: int = 20
) -> Comparison:
    storage = create_autospec(LedgerStorage, instance=True)
    storage.study.side_effect = {one.name: one, two.name: two}.__getitem__
    rows = [
        [
            make_attempt(number, number=number, reason=Reason.FINISHED, value=value + number / 1000)
            for number in range(many)
        ]
        for value in (values, others)
    ]
    storage.attempts.side_effect = rows
    record = {"execution": 0, "fold": None, "seed": 1, "epochs": 9, "best_epoch": 9}
    runs = [[{**record, "value": value + step} for step in (0.0, 0.01, 0.02)] for value in (values, others)]
    has_runs = one.spec.executions > 1
    storage.trials.side_effect = [
        [Trial(mine[-1], attributes={RUNS: run} if has_runs else {})] for mine, run in zip(rows, runs, strict=True)
    ]
    return compare(storage, one.name, two.name)


@pytest.mark.parametrize("executions", [pytest.param(1, id="by trials"), pytest.param(3, id="by the winners' runs")])
def test_the_better_study_is_named(executions: int) -> None:
    """Where the interval leaves out zero, on either side; the runs of the winners go first."""
    studies = _study("a", executions=executions), _study("b", executions=executions)
    ahead = _compare(*studies, 0.9, 0.5)
    assert (ahead.better, ahead.undecided) == ("a", "")
    assert _compare(*studies, 0.5, 0.9).better == "b"
    assert [one.of for one in ahead.gains][-1] == "the best of 10 trials"
    assert len(ahead.gains) == (2 if executions > 1 else 1)


def test_equal_studies_are_not_decided() -> None:
    """The interval holds zero."""
    found = _compare(_study("a"), _study("b"))
    assert found.better is None
    assert "holds zero" in found.undecided


@pytest.mark.parametrize(
    ("other", "why"),
    [
        pytest.param({"data": "e"}, "different data", id="other data"),
        pytest.param({"metric": "val_loss"}, "not the same metric", id="another metric"),
        pytest.param({"metric": ["val_loss", "parameters"]}, "several objectives", id="several objectives"),
        pytest.param({"folds": 3}, "different folds", id="folds"),
    ],
)
def test_what_cannot_be_compared_is_told(other: dict[str, Any], why: str) -> None:
    """No interval is made then."""
    found = _compare(_study("a"), _study("b", **other), 0.9, 0.1)
    assert (found.better, found.gains) == (None, [])
    assert why in found.undecided


def test_few_trials_say_nothing() -> None:
    """How many it takes is told."""
    assert "needs 10 settled trials" in _compare(_study("a"), _study("b"), 0.9, 0.1, many=9).undecided


def test_what_differs_is_listed(tmp_path: Path) -> None:
    """Specification, space, code line by line, data and packages; names do not count, nor does the file's."""
    texts = {"a": "def load_data():\n    return 1\n", "b": "def load_data():\n    return 2\n"}
    studies = [
        _study(name, tmp_path, code=name, seed=seed, data=name, packages={"keras": version}, space={"lr": version})
        for seed, (name, version) in enumerate([("a", "3.14"), ("b", "3.15")])
    ]
    for study in studies:
        kept = Artifacts(str(tmp_path), study.name)
        kept.put_text(json.dumps({study.code.file: texts[study.name]}), code_file(study.code.digest))
    assert _compare(*studies).differences == {
        "specification": ["seed 0 -> 1"],
        "search space": ["lr: 3.14 -> 3.15"],
        "code": ["a.py:2, load_data: 'return 1' -> 'return 2'"],
        "data": ["digest: a -> b"],
        "packages": ["keras 3.14 -> 3.15"],
    }
