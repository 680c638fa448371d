"""Looking for mistakes in a study file before a study is made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tuner_service.training import isolated
from tuner_service.training.check import Checked
from tuner_service.training.check import check as try_file


def check(path: Path, changes: Sequence[Mapping[str, object]] = ()) -> Checked:
    """Return what is found wrong with a study file; its code runs in a child process, and nothing is made.

    Args:
        path: The study file.
        changes: Fields that replace those of its specification, later ones last.

    Raises:
        StudyFileError: If the file cannot be read, or its code ended the process.
    """
    return isolated.call(try_file, path.resolve(), list(changes))
