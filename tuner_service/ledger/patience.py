"""Waiting for a storage that is away: an infrastructure fault is no reason to give up a trial."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import stamina

from tuner_service.errors import StorageUnavailableError

T = TypeVar("T")

#: How often a storage that is away is tried, in seconds: soon at first, later less often.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 5.0


class Patience:
    """Repeats a call while the storage does not answer.

    Args:
        timeout_s: For how long; without one as long as it takes.
        stopping: Set once there is no more time to wait.
    """

    def __init__(self, *, timeout_s: float | None = None, stopping: threading.Event | None = None) -> None:
        self._timeout_s = timeout_s
        self._stopping = stopping

    def __call__(self, call: Callable[[], T]) -> T:
        """Return what a call returns; it must be safe to repeat.

        Raises:
            StorageUnavailableError: If the storage was away for too long.
        """
        for attempt in stamina.retry_context(
            on=self._is_worth_waiting,
            attempts=None,
            timeout=self._timeout_s,
            wait_initial=_FIRST_WAIT_S,
            wait_max=_LONGEST_WAIT_S,
            wait_jitter=0.5,
        ):
            with attempt:
                return call()
        raise AssertionError("stamina returns or raises")

    def _is_worth_waiting(self, error: Exception) -> bool:
        return isinstance(error, StorageUnavailableError) and not (self._stopping and self._stopping.is_set())


#: For commands, whose user waits.
patiently = Patience(timeout_s=120.0)
