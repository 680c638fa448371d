"""Waiting for a storage that is away: an infrastructure fault is no reason to give up a trial."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import stamina

from tuner_service.errors import StorageUnavailableError

T = TypeVar("T")

_log = logging.getLogger(__name__)

#: How often a storage that is away is tried, in seconds: soon at first, later less often.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 5.0


class Absence:
    """Says once that the storage is away and once that it is back, however many threads wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began: float | None = None

    def begins(self, error: StorageUnavailableError) -> None:
        """Take note that the storage does not answer."""
        with self._lock:
            if self._began is None:
                self._began = time.monotonic()
                _log.warning("away since %s, and waited for: %s", time.strftime("%H:%M:%S"), error)

    def ends(self) -> None:
        """Take note that it answers."""
        with self._lock:
            if self._began is not None:
                _log.info("the storage answers again, after %.0f s", time.monotonic() - self._began)
                self._began = None


#: A process works with one storage.
absence = Absence()


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
                try:
                    answer = call()
                except StorageUnavailableError as error:
                    absence.begins(error)
                    raise
                absence.ends()
                return answer
        raise AssertionError("stamina returns or raises")

    def _is_worth_waiting(self, error: Exception) -> bool:
        return isinstance(error, StorageUnavailableError) and not (self._stopping and self._stopping.is_set())


#: For commands, whose user waits.
patiently = Patience(timeout_s=120.0)
