"""Who trains on a device now: several trials side by side, or one alone that ran out of memory before."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: How often a slot that waits looks whether it is of use, in seconds.
_LOOK_S = 0.5


class DeviceGate:
    """The way to one device, shared by the slots that train on it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._closed = False

    @contextmanager
    def enter(self, *, alone: bool, give_up: Callable[[], bool]) -> Iterator[None]:
        """Hold a place on the device for the block, waiting for one.

        Args:
            alone: Wait until no other trial is on the device, and let none follow meanwhile.
            give_up: Whether there is no use in waiting any more, because the trial is to end in any case.
        """
        with self._changed:
            self._wait(lambda: not self._closed, give_up)
            if alone:
                # The others finish, and none begins.
                self._closed = True
                self._wait(lambda: not self._inside, give_up)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                if alone:
                    self._closed = False
                self._changed.notify_all()

    def _wait(self, until: Callable[[], bool], give_up: Callable[[], bool]) -> None:
        while not until() and not give_up():
            self._changed.wait(_LOOK_S)
