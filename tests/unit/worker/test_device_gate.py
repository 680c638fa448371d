"""How trials share a device."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tuner_service.worker.device_gate import DeviceGate


class _Trials:
    """Threads that hold a place on one device until they are let go, and what happened in which order."""

    def __init__(self) -> None:
        self.gate = DeviceGate()
        self.stopping = threading.Event()
        self.given_up: set[str] = set()
        self.events: list[str] = []
        self._leave: dict[str, threading.Event] = {}
        self._threads: list[threading.Thread] = []

    def begin(self, name: str, *, alone: bool = False) -> None:
        self._leave[name] = threading.Event()
        thread = threading.Thread(target=self._train, args=(name, alone), name=name)
        self._threads.append(thread)
        thread.start()

    def leave(self, *names: str) -> None:
        for name in names:
            self._leave[name].set()

    def end(self) -> None:
        self.leave(*self._leave)
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    def is_inside(self, name: str) -> bool:
        return any(one.name == name and one.is_alive() for one in self._threads)

    def _train(self, name: str, alone: bool) -> None:
        place = self.gate.enter(alone=alone, give_up=lambda: self.stopping.is_set() or name in self.given_up)
        self.events.append(name)
        self._leave[name].wait(5)
        place.leave()


def _until(seen: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_trials_share_a_device() -> None:
    """As many as there are slots."""
    trials = _Trials()
    trials.begin("one")
    trials.begin("two")
    _until(lambda: sorted(trials.events) == ["one", "two"])
    trials.end()


def test_one_that_ran_out_of_memory_waits_for_the_others_and_none_begins_before_it() -> None:
    """It is alone on the device: the memory is all its own, and it does not wait for ever."""
    trials = _Trials()
    trials.begin("one")
    _until(lambda: trials.events == ["one"])
    assert not trials.gate.is_closed
    trials.begin("alone", alone=True)
    _until(lambda: trials.gate.is_closed)
    trials.begin("late")
    time.sleep(0.2)
    assert trials.events == ["one"]
    trials.leave("one")
    _until(lambda: trials.events == ["one", "alone"])
    time.sleep(0.2)
    assert trials.events == ["one", "alone"]
    trials.leave("alone")
    _until(lambda: trials.events == ["one", "alone", "late"])
    trials.end()


def test_nobody_waits_once_the_worker_is_to_stop() -> None:
    """What waits for its turn is handed back with the rest."""
    trials = _Trials()
    trials.begin("one")
    _until(lambda: trials.events == ["one"])
    trials.begin("alone", alone=True)
    time.sleep(0.1)
    trials.stopping.set()
    _until(lambda: trials.events == ["one", "alone"])
    trials.end()


def test_whoever_gives_up_does_not_open_the_way_for_others() -> None:
    """Its trial was cancelled while it waited: the one that is alone on the device stays so."""
    trials = _Trials()
    trials.begin("alone", alone=True)
    _until(lambda: trials.events == ["alone"])
    trials.begin("cancelled", alone=True)
    trials.given_up.add("cancelled")
    _until(lambda: trials.events == ["alone", "cancelled"])
    trials.leave("cancelled")
    _until(lambda: not trials.is_inside("cancelled"))
    assert trials.gate.is_closed
    trials.leave("alone")
    _until(lambda: not trials.gate.is_closed)
    trials.end()
