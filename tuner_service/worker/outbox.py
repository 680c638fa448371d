"""Outcomes that wait on this machine's disk until the storage has acknowledged them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import tempfile
from pathlib import Path

from tuner_service.domain.outcome import Failure, Outcome, Reason
from tuner_service.domain.study import StudyRecord
from tuner_service.errors import ArtifactError, StorageError, TrialLostError
from tuner_service.ledger.patience import Patience
from tuner_service.ledger.running import RunningAttempt
from tuner_service.storage.ledger_storage import Claim, LedgerStorage
from tuner_service.worker.scratch import is_in_use

_log = logging.getLogger(__name__)

#: A storage that is away is not waited for: its outcomes wait here.
_BRIEFLY = Patience(timeout_s=0.1)


class Outbox:
    """One study's folder of outcomes, shared by the workers of this machine.

    Args:
        folder: Where it is made, only for this user.
        study: The study's probe: no other study has it, in no other storage.
        scratch: The worker's own folder, which tells the others that it lives.
    """

    def __init__(self, folder: Path, study: str, scratch: Path) -> None:
        self._scratch = scratch
        self._mine = set[int]()
        self._folder = folder / hashlib.blake2b(study.encode(), digest_size=8).hexdigest()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise ArtifactError(f"the folder {folder}, where outcomes wait, belongs to another user; remove it")
        self._folder.mkdir(mode=0o700, exist_ok=True)

    def put(self, claim: Claim, worker_id: str, outcome: Outcome) -> None:
        """Keep an outcome, where the disk lets us; its file is whole or not there."""
        fields = {
            "claim": dataclasses.asdict(claim),
            "worker_id": worker_id,
            "scratch": str(self._scratch),
            "outcome": dataclasses.asdict(outcome),
        }
        path = self._path(claim.trial_id)
        draft = path.with_suffix(".draft")
        try:
            draft.write_text(json.dumps(fields))
            draft.replace(path)
            self._mine.add(claim.trial_id)
        except OSError as error:
            # The outcome may still be recorded; this is for a worker that ends before it is.
            _log.warning("%s cannot be written, so that it is lost if this worker ends now: %s", draft, error.strerror)

    def remove(self, trial_id: int) -> None:
        """Forget an outcome that was acknowledged, or that nobody wants any more."""
        self._path(trial_id).unlink(missing_ok=True)
        self._mine.discard(trial_id)

    @property
    def waits(self) -> bool:
        """Whether an outcome of this worker waits."""
        return bool(self._mine)

    def deliver(self, storage: LedgerStorage, study: StudyRecord) -> int:
        """Record what this worker or an earlier one could not, as it would have; return how many outcomes were wanted.

        Those of other workers that live are left to them: they may know more of an outcome than its file says.
        """
        delivered = 0
        for path in sorted(self._folder.glob("*.json")):
            try:
                fields = json.loads(path.read_text())
                scratch = Path(fields["scratch"])
                if scratch != self._scratch and is_in_use(scratch):
                    continue
                claim, outcome = Claim(**fields["claim"]), _outcome(fields["outcome"])
                attempt = RunningAttempt(storage, study, claim, str(fields["worker_id"]), _BRIEFLY)
            except (OSError, ValueError, KeyError, TypeError):
                # Another worker has just delivered it, or it is not one of ours.
                continue
            try:
                attempt.settle(outcome)
                delivered += 1
                _log.info("delivered the outcome of trial %d, which had waited here", claim.number)
            except TrialLostError as error:
                _log.info("%s; its outcome is dropped", error)
            except StorageError:
                return delivered
            except Exception:
                # One outcome that no database takes must not end each worker that comes across it.
                _log.exception("the outcome of trial %d cannot be recorded, and stays in %s", claim.number, path)
                continue
            self.remove(claim.trial_id)
        return delivered

    def _path(self, trial_id: int) -> Path:
        return self._folder / f"{trial_id}.json"


def default_folder() -> Path:
    """Return where outcomes wait: a folder of this user's below the system's folder for temporary files."""
    return Path(tempfile.gettempdir()) / f"tuner-outbox-{os.getuid()}"


def _outcome(fields: dict[str, object]) -> Outcome:
    failure, others = fields.pop("failure"), fields.pop("others")
    return Outcome(
        **{
            **fields,  # type: ignore[arg-type]  # what put() wrote
            "reason": Reason(str(fields["reason"])),
            "failure": Failure(**failure) if isinstance(failure, dict) else None,
            "others": tuple(others) if isinstance(others, list) else (),
        }
    )
