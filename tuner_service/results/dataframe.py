"""A study's trials as a pandas DataFrame, and as a Parquet file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuner_service.domain.study import StudyRecord
from tuner_service.domain.trial import Trial
from tuner_service.errors import SpecError, how_to_install
from tuner_service.results.export import record_fields, wide
from tuner_service.storage.ledger_storage import LedgerStorage

if TYPE_CHECKING:
    import pandas as pd


def dataframe(study: StudyRecord, trials: Sequence[Trial]) -> pd.DataFrame:
    """Return a row a trial, with the columns of the CSV export; times are in UTC, ``attrs["record"]`` has the record.

    Raises:
        SpecError: If pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise SpecError(f"a DataFrame needs pandas: {how_to_install('dataframe')}") from None
    columns, *rows = wide(study, list(trials))
    frame = pd.DataFrame(rows, columns=[str(column) for column in columns])
    for name in ("started_at", "ended_at"):
        frame[name] = pd.to_datetime(frame[name], utc=True)
    for name in frame.columns:
        if pd.api.types.is_object_dtype(frame[name]):
            frame[name] = _of_one_type(frame[name])
    # pandas keeps these in Parquet files too.
    frame.attrs["record"] = record_fields(study)
    return frame


def _of_one_type(column: pd.Series) -> pd.Series:
    """Return a column of one type, as Parquet wants it; lists, and choices of several kinds, as JSON."""
    kinds = {type(value) for value in column.dropna()}
    if kinds <= {int, float} and kinds:
        return column.astype(float)
    if kinds <= {bool} and kinds:
        return column.astype("boolean")
    if kinds <= {str}:
        return column.astype("str")
    return column.map(lambda value: value if value is None else json.dumps(value)).astype("str")


def export_parquet(storage: LedgerStorage, name: str, path: Path) -> None:
    """Write a study's trials into a Parquet file.

    Raises:
        SpecError: If pandas or pyarrow is not installed, or the file cannot be written.
    """
    study = storage.study(name)
    trials = [one for one in storage.trials(study.study_id) if one.started_at is not None]
    frame = dataframe(study, trials)
    draft = path.with_name(path.name + ".draft")
    try:
        frame.to_parquet(draft, index=False)
        draft.replace(path)
    except ImportError:
        raise SpecError(f"--parquet needs pyarrow: {how_to_install('dataframe')}") from None
    except OSError as error:
        raise SpecError(f"{path} of --parquet cannot be written: {error.strerror or error}") from None
