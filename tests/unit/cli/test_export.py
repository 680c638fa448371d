"""What `tuner export` refuses before it does anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuner_service.cli import exporting
from tuner_service.cli.exporting import ExportFormat
from tuner_service.errors import SpecError

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
