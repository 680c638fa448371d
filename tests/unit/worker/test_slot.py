"""What a slot does for its children, which are a test's."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tuner_service.errors import StudyFileError
from tuner_service.training.remote_trial import Ask
from tuner_service.worker import slot as slots
from tuner_service.worker.slot import Slot

_READY = Ask("ready", ("", None), wants_answer=False)
_TOLD = Ask("ready", ("", StudyFileError("load_data failed")), wants_answer=False)


class FakeChild:
    """Gets ready, dies with an exit code, or says nothing."""

    def __init__(self, comes_to: Ask | int | None) -> None:
        self._comes_to = comes_to

    def wait(self, _timeout_s: float) -> Ask | None:
        """Say so."""
        if isinstance(self._comes_to, int):
            raise EOFError
        return self._comes_to

    def end(self, _patience_s: float = 0.0) -> int | None:
        """End."""
        return self._comes_to if isinstance(self._comes_to, int) else 0


@pytest.fixture
def gets_ready(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """Provide whether a slot gets ready with children that come to this, one after the other."""

    def ready(*children: Ask | int | None, give_up: Callable[[], bool] | None = None) -> bool:
        given = iter(children)
        monkeypatch.setattr(slots, "TrainingProcess", lambda *_: FakeChild(next(given)))
        monkeypatch.setattr(slots, "_LOADS_AGAIN_AFTER_S", (0.0, 0.0, 0.0))
        nothing: Any = None
        slot = Slot(
            storage=nothing, study=nothing, study_file=Path("lab.py"), scratch=Path(), artifacts=nothing, lease=nothing,
            settings=nothing, device="-1", gate=nothing, code="", stopping=threading.Event(), outbox=nothing,
            histories=nothing, live=None,
        )  # fmt: skip
        slot._child = slot._new_child()
        is_ready = slot._is_ready(give_up)
        assert next(given, None) is None
        return is_ready

    return ready


def test_a_child_that_is_killed_while_it_loads_is_followed_by_another(gets_ready: Callable[..., bool]) -> None:
    """The kernel does so where memory is short, and the study's code can do nothing for it."""
    assert gets_ready(-signal.SIGKILL, -signal.SIGKILL, -signal.SIGKILL, _READY)


def test_a_study_whose_children_are_killed_again_and_again_is_given_up(gets_ready: Callable[..., bool]) -> None:
    """It would be the same on and on; the signal is told."""
    with pytest.raises(StudyFileError, match=r"loads lab\.py was killed by SIGKILL"):
        gets_ready(*[-signal.SIGKILL] * 4)


def test_a_child_that_does_not_get_ready_is_not_waited_for_where_its_trial_is_over(
    gets_ready: Callable[..., bool],
) -> None:
    """The trial was cancelled, or lost, or its worker is to stop, while a fresh child loads the study for it."""
    looks = iter([False, False, True])
    assert not gets_ready(None, give_up=lambda: next(looks))


@pytest.mark.parametrize(
    ("child", "said"),
    [
        pytest.param(_TOLD, "load_data failed", id="an error that is told"),
        pytest.param(3, "ended with exit code 3", id="an end of its own"),
    ],
)
def test_a_study_that_does_not_load_is_not_tried_again(
    gets_ready: Callable[..., bool], child: Ask | int, said: str
) -> None:
    """It is the study's code, which is the same the next time."""
    with pytest.raises(StudyFileError, match=said):
        gets_ready(child)
