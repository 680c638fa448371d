"""What `tuner export` writes, and what it refuses before it does anything."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from tests.records import make_attempt, make_study
from tuner_service.cli import exporting
from tuner_service.cli.exporting import ExportFormat
from tuner_service.domain.outcome import Reason
from tuner_service.domain.trial import Trial
from tuner_service.errors import SpecError
from tuner_service.storage.ledger_storage import LedgerStorage

_TABLE = Path("trials.parquet")


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        pytest.param({"number": 7}, "a number chooses a model", id="a number of the trials"),
        pytest.param({"number": 7, "parquet": _TABLE}, "a number chooses a model", id="a number of a table"),
        pytest.param({"number": 7, "mlflow": "http://host"}, "a number chooses a model", id="a number for MLflow"),
        pytest.param({"number": 7, "tensorboard": Path("logs")}, "a number chooses", id="a number for TensorBoard"),
        pytest.param(
            {"output": _TABLE, "parquet": _TABLE}, "leave them out with --parquet", id="a file beside a table"
        ),
        pytest.param({"form": ExportFormat.JSON, "model": _TABLE}, "--format say", id="a format of a model"),
        pytest.param({"follow": True}, "say where with --tensorboard DIR", id="following nothing"),
        pytest.param({"model": _TABLE, "parquet": _TABLE}, "call export once for each", id="two places"),
    ],
)
def test_what_would_be_ignored_is_refused(
    options: dict[str, object], refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the storage is asked, let alone a file written."""
    monkeypatch.setattr(exporting.o, "connect", lambda _: pytest.fail("asked the storage"))
    with pytest.raises(SpecError, match=refused):
        exporting.export("digits", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("form", "written"),
    [
        pytest.param(ExportFormat.CSV, ["trials.csv", "trials.record.json"], id="trials"),
        pytest.param(ExportFormat.CSV_LONG, ["trials.csv", "trials.record.json"], id="epochs"),
        pytest.param(ExportFormat.YAML, ["trials.csv"], id="one that has it inside"),
    ],
)
def test_the_record_goes_beside_a_table(
    form: ExportFormat, written: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the results depend on, as JSON and YAML have it inside, is in a file of its own."""
    storage = create_autospec(LedgerStorage, instance=True)
    trial = Trial(make_attempt(0, reason=Reason.FINISHED, value=0.5, number=0), started_at=10.0)
    storage.study.return_value, storage.trials.return_value = make_study(), [trial]
    monkeypatch.setattr(exporting.o, "connect", lambda _: storage)
    exporting.export("digits", form=form, output=tmp_path / "trials.csv")
    assert sorted(one.name for one in tmp_path.iterdir()) == written
    if len(written) > 1:
        study = json.loads((tmp_path / "trials.record.json").read_text())["study"]
        assert study["record"]["code"] == study["code"] == make_study().code.digest
        assert study["specification"]["name"] == "digits"
