"""A supervisor and its assignments for tests that train in their own process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tuner_service.training.assignment import Assignment
from tuner_service.training.remote_trial import Pipe
from tuner_service.training.study_file import StudyFile

MAX_EPOCHS = 6


class FakePipe(Pipe):
    """Records what training asks and tells; answers with what it was given, else that a draw is kept, and ``False``."""

    def __init__(self, **answers: Callable[..., Any]) -> None:
        self._answers = {"drawn": lambda *_: True, **answers}
        self.asked: list[tuple[Any, ...]] = []
        self.told: list[tuple[Any, ...]] = []
        #: Called after each note, with the note.
        self.when_told: Callable[..., object] = lambda *_: None

    def ask(self, op: str, *arguments: Any) -> Any:
        """Answer at once."""
        self.asked.append((op, *arguments))
        return self._answers.get(op, lambda *_: False)(*arguments)

    def tell(self, op: str, *arguments: object) -> None:
        """Take note."""
        self.told.append((op, *arguments))
        self.when_told(op, *arguments)

    def of(self, op: str) -> list[tuple[Any, ...]]:
        """Return the arguments of all that was asked or told under this name."""
        return [arguments for name, *arguments in (*self.asked, *self.told) if name == op]  # type: ignore[misc]


def make_task(**fields: Any) -> Assignment:
    """Return an assignment of six epochs that are all reported."""
    given: Mapping[str, Any] = {
        "number": 0,
        "started_at": 0.0,
        "seed": 7,
        "metric": "val_loss",
        "metrics": (fields.get("metric", "val_loss"),),
        "judged": fields.get("metric", "val_loss"),
        "judged_direction": fields.get("direction", "minimize"),
        "direction": "minimize",
        "max_epochs": MAX_EPOCHS,
        "rungs": frozenset(),
        "reported": frozenset(range(1, MAX_EPOCHS + 1)),
        "folder": ".",
        "devices": "-1",
        "checkpoint_s": 0.0,
        **fields,
    }
    return Assignment(**given)


def make_study_file(**functions: Any) -> StudyFile:
    """Return a study file that defines these functions."""
    given = {"objective": None, "build_model": None, "load_data": None, "fit_options": None, "fit": None, **functions}
    return StudyFile(path=Path("study.py"), spec=None, **given)
