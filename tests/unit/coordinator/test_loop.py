"""The coordinator's loop over all studies."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from tests.records import make_study
from tuner_service.coordinator import loop
from tuner_service.domain.study import StudyRecord
from tuner_service.errors import StorageError, StorageUnavailableError


class FakeStorage:
    """Has three studies, and answers or not."""

    def __init__(self, stopping: threading.Event, *, is_away: bool) -> None:
        self._stopping = stopping
        self._is_away = is_away

    def check_tables(self) -> None:
        """Find them as they should be."""

    def studies(self) -> list[StudyRecord]:
        """Return the studies, of one pass only."""
        self._stopping.set()
        return [replace(make_study(), study_id=number, name=name) for number, name in enumerate("abc")]

    def now(self) -> float:
        """Return the time, or raise where the storage is away."""
        if self._is_away:
            raise StorageUnavailableError("no answer")
        return 0.0


@pytest.mark.parametrize(
    ("is_away", "looked_at"),
    [
        pytest.param(False, ["a", "b", "c"], id="the study's own: the others are looked after"),
        pytest.param(True, ["a"], id="the storage is away: nothing more is tried in this pass"),
    ],
)
def test_an_error_of_one_study_is_its_own(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_away: bool, looked_at: list[str]
) -> None:
    """A query that takes too long, for instance: it is told, and tried again with the next pass."""
    seen: list[str] = []

    def reconcile(_storage: object, name: str, *_: object) -> None:
        seen.append(name)
        if name == "a":
            raise StorageError("it took too long")

    monkeypatch.setattr(loop, "reconcile", reconcile)
    stopping = threading.Event()
    storage: Any = FakeStorage(stopping, is_away=is_away)
    loop.coordinate(storage, stopping, period_s=0.0)
    assert seen == looked_at
    said = "no answer; trying again" if is_away else "study a: it took too long; trying again"
    assert said in caplog.text
