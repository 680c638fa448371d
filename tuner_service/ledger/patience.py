"""Waiting for a storage that is away: an infrastructure fault is no reason to give up a trial."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import stamina

from tuner_service.errors import StorageUnavailableError

T = TypeVar("T")

#: How long a storage may be away before a worker gives up on it, and how often it is tried meanwhile, in seconds.
PATIENCE_S = 120.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 5.0


def patiently(call: Callable[[], T]) -> T:
    """Return what a call returns, repeating it while the storage does not answer; the call must be safe to repeat.

    Raises:
        StorageUnavailableError: If the storage was away for longer than ``PATIENCE_S``.
    """
    for attempt in stamina.retry_context(
        on=StorageUnavailableError,
        attempts=None,
        timeout=PATIENCE_S,
        wait_initial=_FIRST_WAIT_S,
        wait_max=_LONGEST_WAIT_S,
        wait_jitter=0.5,
    ):
        with attempt:
            return call()
    raise AssertionError("stamina returns or raises")
