"""The files of one attempt: what its child leaves goes to the study's artifacts, and comes back from there."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from tuner_service.domain.attempt import Attempt
from tuner_service.domain.outcome import Outcome, Reason
from tuner_service.errors import ArtifactError
from tuner_service.storage.artifacts import Artifacts, trial_folder
from tuner_service.training.assignment import CHECKPOINT_PREFIX, CURVE_FILE, EVALUATION_FILE, LOG_FILE, MODEL_FILE

_log = logging.getLogger(__name__)

#: Checkpoints that a successor is given: the newest, and one more should that be torn.
_MOST_CHECKPOINTS = 2


class TrialFiles:
    """Moves files between a trial's scratch folder, where its child leaves them, and the study's artifacts.

    A file that cannot be moved is told in the log and costs no trial: its value is worth more.
    """

    def __init__(self, artifacts: Artifacts, number: int, scratch: Path) -> None:
        self._artifacts = artifacts
        self._folder = trial_folder(number)
        self.scratch = scratch
        self._checkpoint: str | None = None

    def fetch_checkpoints(self, predecessors: Sequence[Attempt]) -> list[str]:
        """Copy the newest checkpoints of earlier attempts here, and return their names, the newest first."""
        folders = [trial_folder(one.number) for one in predecessors]
        found = [(name, folder) for folder in folders for name in self._checkpoints(folder)]
        fetched = []
        for name, folder in sorted(found, reverse=True)[:_MOST_CHECKPOINTS]:
            try:
                self._artifacts.get(f"{folder}/{name}", self.scratch / name)
                fetched.append(name)
            except ArtifactError as error:
                _log.warning("%s; the trial goes on from an earlier state", error)
        return fetched

    def keep_checkpoint(self, name: str) -> bool:
        """Store a checkpoint, then remove the one before it; return whether it is stored.

        One that cannot be is removed here all the same: the next one is newer, and many would fill the disk.
        """
        is_stored = self._put(name)
        (self.scratch / name).unlink(missing_ok=True)
        if not is_stored:
            return False
        if self._checkpoint is not None:
            self._remove(self._checkpoint)
        self._checkpoint = name
        return True

    def keep(self, outcome: Outcome) -> None:
        """Store what belongs to an outcome, before its row says that it is so."""
        wanted = [CURVE_FILE]
        if outcome.reason is Reason.FINISHED:
            wanted += [MODEL_FILE, EVALUATION_FILE]
        if outcome.failure is not None:
            wanted += [LOG_FILE]
        for name in wanted:
            if (self.scratch / name).is_file() and (self.scratch / name).stat().st_size:
                self._put(name)

    def forget_checkpoints(self, predecessors: Sequence[Attempt]) -> None:
        """Remove the checkpoints of a configuration that is settled."""
        for folder in (self._folder, *(trial_folder(one.number) for one in predecessors)):
            for name in self._checkpoints(folder):
                self._remove(name, folder)

    def forget_models(self, beaten: Sequence[Attempt]) -> None:
        """Remove the models of trials that others have beaten."""
        for one in beaten:
            for name in (MODEL_FILE, EVALUATION_FILE):
                self._remove(name, trial_folder(one.number))

    def _checkpoints(self, folder: str) -> list[str]:
        try:
            return [name for name in self._artifacts.names(folder) if name.startswith(CHECKPOINT_PREFIX)]
        except ArtifactError as error:
            _log.warning("%s", error)
            return []

    def _put(self, name: str) -> bool:
        try:
            self._artifacts.put(self.scratch / name, f"{self._folder}/{name}")
        except ArtifactError as error:
            _log.error("%s", error)
            return False
        return True

    def _remove(self, name: str, folder: str | None = None) -> None:
        try:
            self._artifacts.remove(f"{folder or self._folder}/{name}")
        except ArtifactError as error:
            _log.warning("%s", error)
