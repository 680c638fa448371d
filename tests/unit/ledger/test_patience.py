"""Waiting for a storage that is away."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tuner_service.errors import StorageError, StorageUnavailableError, TrialLostError
from tuner_service.ledger import patience
from tuner_service.ledger.patience import Patience


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again after next to no time."""
    monkeypatch.setattr(patience, "_FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(patience, "_LONGEST_WAIT_S", 0.001)


def _failing(*errors: Exception, then: Callable[[], object] = lambda: None) -> tuple[Callable[[], str], list[int]]:
    """Return a call that raises these errors one after the other, then returns, and the list of its calls."""
    left, calls = list(errors), []

    def call() -> str:
        calls.append(len(calls))
        then()
        if left:
            raise left.pop(0)
        return "answer"

    return call, calls


def test_a_call_is_repeated_until_the_storage_answers() -> None:
    """However often it was away."""
    call, calls = _failing(*[StorageUnavailableError("away")] * 20)
    assert Patience()(call) == "answer"
    assert len(calls) == 21


@pytest.mark.parametrize("error", [TrialLostError("gone"), StorageError("not a URL"), ValueError("no")])
def test_what_waiting_does_not_mend_is_raised_at_once(error: Exception) -> None:
    """Only a storage that does not answer is waited for."""
    call, calls = _failing(error)
    with pytest.raises(type(error)):
        Patience()(call)
    assert len(calls) == 1


def test_patience_has_an_end_where_it_was_given_one() -> None:
    """A command's user does not wait for ever."""
    call, calls = _failing(*[StorageUnavailableError("away")] * 100_000)
    with pytest.raises(StorageUnavailableError, match="away"):
        Patience(timeout_s=0.1)(call)
    assert len(calls) > 1


def test_a_worker_that_is_to_stop_waits_no_more() -> None:
    """The call is made all the same, once: the storage may be there."""
    stopping = threading.Event()
    call, calls = _failing(
        *[StorageUnavailableError("away")] * 100, then=lambda: stopping.set() if len(calls) == 3 else None
    )
    with pytest.raises(StorageUnavailableError):
        Patience(stopping=stopping)(call)
    assert len(calls) == 3
    answers, once = _failing()
    assert Patience(stopping=stopping)(answers) == "answer"
    assert len(once) == 1


def test_a_storage_that_is_away_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """What is away and since when, and that it is back, however often and by however many threads it was tried."""
    together = threading.Barrier(3)
    with caplog.at_level(logging.INFO, logger="tuner_service"), ThreadPoolExecutor(3) as threads:
        for _ in range(3):
            # Nobody is refused again before all were once, and nobody gets an answer while one is still refused.
            tries = iter((lambda: None, together.wait, together.wait))
            call, _ = _failing(*[StorageUnavailableError("no answer from X")] * 2, then=lambda left=tries: next(left)())
            threads.submit(Patience(), call)
    first, last = [one.getMessage() for one in caplog.records if one.name.startswith("tuner_service")]
    assert re.fullmatch(r"away since \d\d:\d\d:\d\d, and waited for: no answer from X", first)
    assert last == "the storage answers again, after 0 s"
