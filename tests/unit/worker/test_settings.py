"""What a worker may be told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuner_service.errors import SpecError
from tuner_service.worker.settings import WorkerSettings


def test_a_lease_outlives_two_beats() -> None:
    """A worker that lives keeps what it trains; the error says which option to change."""
    WorkerSettings("digits", Path(), ["-1"], beat_s=1.0, lease_s=2.0)
    with pytest.raises(SpecError, match=r"a lease of 5 s is shorter than two beats of 10 s.*lengthen --lease"):
        WorkerSettings("digits", Path(), ["-1"], lease_s=5.0)


def test_an_id_that_no_storage_has_room_for_is_refused() -> None:
    """PostgreSQL would refuse it at the first beat."""
    WorkerSettings("digits", Path(), ["-1"], worker_id="w" * 200)
    with pytest.raises(SpecError, match=r"may have 200 characters, got 201; shorten --id"):
        WorkerSettings("digits", Path(), ["-1"], worker_id="w" * 201)
