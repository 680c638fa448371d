"""Outcomes that wait on disk."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.records import make_study
from tuner_service.domain.outcome import Failure, Outcome, Reason
from tuner_service.errors import StorageUnavailableError, TrialLostError
from tuner_service.storage.ledger_storage import Claim
from tuner_service.worker.outbox import Outbox, default_folder
from tuner_service.worker.scratch import Scratch

_GONE = Path("/nonexistent/scratch")
_FINISHED = Outcome(
    Reason.FINISHED, 0.1 + 0.2, 9, 4, attributes={"worker": "w1", "note": [1, "é"]}, resumed_from=3, others=(7.0,)
)
_FAILED = Outcome(Reason.ERROR, failure=Failure("ValueError", "no\nway", "Traceback", "host"))


def _claim(trial_id: int) -> Claim:
    return Claim(trial_id, number=trial_id, configuration=trial_id, attempt=0, claimed_at=0.0, params={"units": 64})


class FakeStorage:
    """Records what is settled; raises instead for trials that it is told to."""

    def __init__(self, errors: Mapping[int, Exception] | None = None) -> None:
        self.errors = errors or {}
        self.settled: list[tuple[int, str, Outcome]] = []

    def settle(self, trial_id: int, worker_id: str, outcome: Outcome) -> None:
        """Record an outcome."""
        if trial_id in self.errors:
            raise self.errors[trial_id]
        self.settled.append((trial_id, worker_id, outcome))


def _deliver(outbox: Outbox, errors: Mapping[int, Exception] | None = None) -> list[tuple[int, str, Outcome]]:
    storage: Any = FakeStorage(errors)
    assert outbox.deliver(storage, make_study()) == len(storage.settled)
    return list(storage.settled)


@pytest.mark.parametrize("outcome", [_FINISHED, _FAILED], ids=["finished", "failed"])
def test_an_outcome_is_delivered_once_as_it_was(tmp_path: Path, outcome: Outcome) -> None:
    """By another process too, in the name of the worker that trained it."""
    Outbox(tmp_path, "probe", _GONE).put(_claim(7), "w1", outcome)
    assert _deliver(Outbox(tmp_path, "probe", _GONE)) == [(7, "w1", outcome)]
    assert _deliver(Outbox(tmp_path, "probe", _GONE)) == []


def test_a_value_that_is_no_number_is_delivered_too(tmp_path: Path) -> None:
    """A pruned trial's last value may be one."""
    outbox = Outbox(tmp_path, "probe", _GONE)
    outbox.put(_claim(7), "w1", Outcome(Reason.DIVERGED, math.nan))
    ((_, _, outcome),) = _deliver(outbox)
    assert outcome.reason is Reason.DIVERGED
    assert math.isnan(outcome.value or 0.0)


def test_a_later_outcome_of_a_trial_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    """There is one file for each trial."""
    outbox = Outbox(tmp_path, "probe", _GONE)
    outbox.put(_claim(7), "w1", _FAILED)
    outbox.put(_claim(7), "w1", _FINISHED)
    assert _deliver(outbox) == [(7, "w1", _FINISHED)]


def test_what_was_acknowledged_is_not_delivered(tmp_path: Path) -> None:
    """And removing it twice is no error."""
    outbox = Outbox(tmp_path, "probe", _GONE)
    outbox.put(_claim(7), "w1", _FINISHED)
    outbox.put(_claim(8), "w1", _FAILED)
    outbox.remove(7)
    outbox.remove(7)
    assert _deliver(outbox) == [(8, "w1", _FAILED)]


def test_an_outcome_that_nobody_wants_any_more_is_dropped(tmp_path: Path) -> None:
    """Its trial went to another worker; those beside it are delivered."""
    outbox = Outbox(tmp_path, "probe", _GONE)
    for trial_id in (7, 8):
        outbox.put(_claim(trial_id), "w1", _FINISHED)
    assert _deliver(outbox, {7: TrialLostError("gone")}) == [(8, "w1", _FINISHED)]
    assert _deliver(outbox) == []


def test_an_outcome_that_no_database_takes_is_in_nobodys_way(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The others are delivered, and it stays to be looked at."""
    outbox = Outbox(tmp_path, "probe", _GONE)
    for trial_id in (7, 8):
        outbox.put(_claim(trial_id), "w1", _FINISHED)
    assert _deliver(outbox, {7: OverflowError("integer out of range")}) == [(8, "w1", _FINISHED)]
    assert "the outcome of trial 7 cannot be recorded" in caplog.text
    assert [trial_id for trial_id, _, _ in _deliver(outbox)] == [7]


def test_outcomes_stay_while_the_storage_is_away(tmp_path: Path) -> None:
    """They are delivered when it is back."""
    outbox = Outbox(tmp_path, "probe", _GONE)
    for trial_id in (7, 8):
        outbox.put(_claim(trial_id), "w1", _FINISHED)
    assert _deliver(outbox, {7: StorageUnavailableError("away")}) == []
    assert [trial_id for trial_id, _, _ in _deliver(outbox)] == [7, 8]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("7.draft", '{"trial_id": 7, "wor', id="a draft of a worker that was killed"),
        pytest.param("7.json", '{"trial_id": 7, "wor', id="half an outcome"),
        pytest.param("7.json", "", id="an empty file"),
        pytest.param("7.json", "{}", id="another program's file"),
        pytest.param("7.json", "[7]", id="a list"),
    ],
)
def test_what_is_no_outcome_is_passed_over(tmp_path: Path, name: str, content: str) -> None:
    """The others are delivered."""
    outbox = Outbox(tmp_path, "probe", _GONE)
    outbox.put(_claim(8), "w1", _FINISHED)
    (folder,) = tmp_path.iterdir()
    (folder / name).write_text(content)
    assert _deliver(outbox) == [(8, "w1", _FINISHED)]


def test_studies_do_not_see_each_others_outcomes(tmp_path: Path) -> None:
    """Trial ids are those of one storage, and one machine's workers may work for several."""
    Outbox(tmp_path, "probe", _GONE).put(_claim(7), "w1", _FINISHED)
    assert _deliver(Outbox(tmp_path, "another/../probe", _GONE)) == []


def test_outcomes_are_their_users_alone(tmp_path: Path) -> None:
    """Others on the machine read and leave nothing there."""
    Outbox(tmp_path / "made" / "by it", "probe", _GONE)
    (folder,) = (tmp_path / "made" / "by it").iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert default_folder().name.endswith(f"-{os.getuid()}")


def test_a_worker_delivers_its_own_before_it_ends(tmp_path: Path) -> None:
    """Where the storage has come back since; while one waits, it must not give its trial away."""
    with Scratch(tmp_path) as scratch:
        outbox = Outbox(tmp_path / "outbox", "probe", scratch.folder)
        outbox.put(_claim(7), "w1", _FINISHED)
        assert _deliver(outbox, {7: StorageUnavailableError("away")}) == []
        assert outbox.waits
        assert _deliver(outbox) == [(7, "w1", _FINISHED)]
        assert not outbox.waits


def test_outcomes_of_a_worker_that_lives_are_left_to_it(tmp_path: Path) -> None:
    """It knows that running out of memory was the second time, for instance; once it is gone, they are delivered."""
    with Scratch(tmp_path) as scratch:
        Outbox(tmp_path / "outbox", "probe", scratch.folder).put(_claim(7), "w1", Outcome(Reason.OOM))
        another = Outbox(tmp_path / "outbox", "probe", _GONE)
        assert _deliver(another) == []
    assert [trial_id for trial_id, _, _ in _deliver(another)] == [7]
