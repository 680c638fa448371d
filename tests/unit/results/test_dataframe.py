"""Trials as a DataFrame, and in a Parquet file."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import create_autospec

import pandas as pd
import pytest

from tests.records import make_attempt, make_spec, make_study
from tuner_service.domain.outcome import Reason
from tuner_service.domain.trial import Trial
from tuner_service.errors import SpecError
from tuner_service.results.dataframe import dataframe, export_parquet
from tuner_service.storage.ledger_storage import LedgerStorage

_STUDY = make_study(spec=make_spec(metric=["val_accuracy", "parameters"]))
_TRIALS = [
    Trial(
        make_attempt(0, reason=Reason.FINISHED, value=0.5, others=(100.0,), number=0, epoch=9, ended_at=20.0),
        params={"units": 8, "kind": "relu", "mixed": 1, "flag": True, "missing": 0.5},
        attributes={"note": {"a": [1]}},
        started_at=10.0,
    ),
    Trial(
        make_attempt(1, reason=Reason.ERROR, number=1, error="E: no", ended_at=30.0),
        params={"units": 16, "kind": "gelu", "mixed": "all", "flag": False},
        started_at=20.0,
    ),
]


def test_columns_have_types() -> None:
    """Numbers are numbers, times are times, and what has several types is JSON."""
    frame = dataframe(_STUDY, _TRIALS)
    assert list(frame["trial"]) == [0, 1]
    assert frame["value.parameters"].sum() == 100.0
    assert frame["param.units"].dtype.kind in "if"
    assert pd.api.types.is_string_dtype(frame["param.kind"])
    assert list(frame["param.mixed"]) == ["1", '"all"']
    assert frame["param.missing"].isna().tolist() == [False, True]
    assert (frame["ended_at"] - frame["started_at"]).dt.total_seconds().tolist() == [10.0, 10.0]
    assert frame["attr.note"][0] == '{"a": [1]}'


def test_parquet_gives_back_what_was_written(tmp_path: Path) -> None:
    """Pandas reads the file with the columns and types of the DataFrame, and what the study's results depend on."""
    storage = create_autospec(LedgerStorage, instance=True)
    storage.study.return_value, storage.trials.return_value = _STUDY, _TRIALS
    export_parquet(storage, "digits", tmp_path / "trials.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "trials.parquet"), dataframe(_STUDY, _TRIALS))
    assert pd.read_parquet(tmp_path / "trials.parquet").attrs["record"]["code"] == _STUDY.code.digest
    with pytest.raises(SpecError, match="cannot be written"):
        export_parquet(storage, "digits", tmp_path / "nowhere" / "trials.parquet")


def test_a_study_without_trials_is_an_empty_frame() -> None:
    """The fixed columns are there all the same."""
    frame = dataframe(_STUDY, [])
    assert len(frame) == 0
    assert {"trial", "value", "started_at"} <= set(frame.columns)
