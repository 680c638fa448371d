"""A slot: claims a trial, has a child train it, settles the outcome, and again."""

from __future__ import annotations

import functools
import logging
import threading
from dataclasses import dataclass
from pathlib import Path

from tuner_service.domain.outcome import RULES, Counts, Reason
from tuner_service.domain.study import Control, StudyRecord
from tuner_service.errors import StudyFileError, StudyNotFoundError, TrialLostError
from tuner_service.ledger.patience import Patience
from tuner_service.ledger.reconcile import reconcile
from tuner_service.ledger.running import RunningAttempt
from tuner_service.storage.artifacts import Artifacts
from tuner_service.storage.ledger_storage import Claim, LedgerStorage
from tuner_service.worker.device_gate import DeviceGate
from tuner_service.worker.evaluation import Evaluation, shown
from tuner_service.worker.lease import LeaseKeeper
from tuner_service.worker.outbox import Outbox
from tuner_service.worker.settings import WorkerSettings
from tuner_service.worker.training_process import TrainingProcess, describe_exit
from tuner_service.worker.trial_files import TrialFiles

_log = logging.getLogger(__name__)

#: How often a slot looks whether it is to stop while its child is silent, in seconds.
_LOOK_S = 0.5
#: How long a child that has said how it went may take to end.
_GOODBYE_S = 5.0


@dataclass
class Slot:
    """What one slot works with; ``run`` is its whole life."""

    storage: LedgerStorage
    study: StudyRecord
    study_file: Path
    scratch: Path  #: folder for the files of its children
    artifacts: Artifacts
    lease: LeaseKeeper
    settings: WorkerSettings
    device: str
    gate: DeviceGate  #: of that device
    code: str  #: digest of the study file
    stopping: threading.Event
    outbox: Outbox

    def run(self) -> None:
        """Claim and train until the study has ended or the worker is to stop.

        Raises:
            StudyFileError: If the study's code cannot be loaded on this machine.
        """
        patiently = Patience(stopping=self.stopping)
        child = TrainingProcess(self.study_file, self.scratch)
        try:
            while self._is_ready(child):
                attempt = self._claim(patiently)
                if attempt is None:
                    return
                finished = child
                try:
                    files = TrialFiles(self.artifacts, attempt.claim.number, finished.scratch)
                    evaluation = Evaluation(self.study, attempt, finished, files, self.settings, self.device)
                    alone = attempt.ran_out_of_memory_before()
                    with self.gate.enter(alone=alone, give_up=functools.partial(self._is_over, attempt)):
                        outcome = evaluation.run(self.stopping, self.lease)
                    self.outbox.put(attempt.claim.trial_id, self.settings.worker_id, outcome)
                    # The next one gets ready while this one's outcome is on its way.
                    child = TrainingProcess(self.study_file, self.scratch)
                    files.keep(outcome)
                    recorded = attempt.settle(outcome)
                    self.outbox.remove(attempt.claim.trial_id)
                    _log.info("trial %d: %s%s", attempt.claim.number, recorded.reason, shown(recorded))
                    if recorded.reason in (Reason.ERROR, Reason.EXHAUSTED):
                        # An error that repeats itself ends the study before more trials run into it, and so does a
                        # search space without anything new.
                        patiently(lambda: reconcile(self.storage, self.study.name))
                    if RULES[recorded.reason].counts is Counts.ALWAYS:
                        files.forget_checkpoints(attempt.predecessors() if attempt.claim.attempt else [])
                except TrialLostError as error:
                    self.outbox.remove(attempt.claim.trial_id)
                    _log.warning("%s; what it still had to say is dropped", error)
                    child = TrainingProcess(self.study_file, self.scratch) if child is finished else child
                finally:
                    self.lease.let_go(attempt)
                    finished.remove_files()
        finally:
            child.end()
            child.remove_files()

    def _is_ready(self, child: TrainingProcess) -> bool:
        """Wait until a child has loaded the study, and return whether there is something to do for it."""
        while not self.stopping.is_set():
            try:
                ready = child.wait(_LOOK_S)
            except EOFError:
                if self.stopping.is_set():
                    return False
                raise StudyFileError(
                    f"the process that loads {self.study_file.name} {describe_exit(child.end(_GOODBYE_S))}"
                ) from None
            if ready is not None:
                cold_because, error = ready.arguments
                if error is not None:
                    raise error
                if cold_because:
                    _log.warning("trials start slowly: %s", cold_because)
                return True
        return False

    def _claim(self, patiently: Patience) -> RunningAttempt | None:
        """Return a trial that is this worker's now, waiting for one; ``None`` where the study has ended."""
        while not self.stopping.is_set():
            try:
                claim = patiently(self._claim_row)
                if claim is None:
                    # Nothing waits: see whether something is missing. Whoever finds the budget settled ends the study.
                    if patiently(lambda: reconcile(self.storage, self.study.name)).ending is not None:
                        return None
                    claim = patiently(self._claim_row)
            except StudyNotFoundError:
                _log.warning("study %s was deleted", self.study.name)
                return None
            if claim is not None:
                attempt = RunningAttempt(self.storage, self.study, claim, self.settings.worker_id, patiently)
                self.lease.hold(attempt)
                return attempt
            self.stopping.wait(self.settings.idle_s)
        return None

    def _is_over(self, attempt: RunningAttempt) -> bool:
        return self.stopping.is_set() or self.lease.control is Control.CANCEL or self.lease.is_lost(attempt)

    def _claim_row(self) -> Claim | None:
        # Its limits may be others by now.
        self.study = self.storage.study(self.study.name)
        return self.storage.claim(
            self.study.study_id, self.settings.worker_id, lease_s=self.settings.lease_s, code=self.code
        )
