"""Who trains on a device now: several trials side by side, or one alone that ran out of memory before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

#: How often a slot that waits looks whether it is of use, in seconds.
_LOOK_S = 0.5


class DeviceGate:
    """The way to one device, shared by the slots that train on it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether a trial wants the device to itself: a child that waits for work there is to leave it."""
        return self._closed

    def enter(self, *, alone: bool, give_up: Callable[[], bool]) -> Place:
        """Return a place on the device, waiting for one.

        Args:
            alone: Wait until nobody else has one, and let none follow meanwhile.
            give_up: Whether there is no use in waiting any more, because the trial is to end in any case.
        """
        with self._changed:
            self._wait(lambda: not self._closed, give_up)
            # Whoever has given up leaves the way to the one for whom it is closed.
            alone = alone and not self._closed
            if alone:
                # The others finish, and none begins.
                self._closed = True
                self._wait(lambda: not self._inside, give_up)
            self._inside += 1
        return Place(self, alone)

    def leave(self, *, alone: bool) -> None:
        """Give a place back."""
        with self._changed:
            self._inside -= 1
            if alone:
                self._closed = False
            self._changed.notify_all()

    def _wait(self, until: Callable[[], bool], give_up: Callable[[], bool]) -> None:
        while not until() and not give_up():
            self._changed.wait(_LOOK_S)


@dataclass(frozen=True)
class Place:
    """Where a child holds a device's memory, from its first trial to its end."""

    gate: DeviceGate
    alone: bool

    def leave(self) -> None:
        """Give it back, the child having ended."""
        self.gate.leave(alone=self.alone)
