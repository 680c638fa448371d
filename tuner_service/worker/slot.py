"""A slot: claims a trial, has a child train it, settles the outcome, and again."""

from __future__ import annotations

import contextlib
import functools
import logging
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tuner_service.domain.outcome import RULES, Counts, Reason
from tuner_service.domain.study import StudyRecord
from tuner_service.errors import StudyFileError, StudyNotFoundError, TrialLostError
from tuner_service.ledger.history import Histories
from tuner_service.ledger.patience import Patience
from tuner_service.ledger.reconcile import reconcile
from tuner_service.ledger.running import RunningAttempt
from tuner_service.storage.artifacts import Artifacts
from tuner_service.storage.ledger_storage import Claim, LedgerStorage
from tuner_service.storage.live import LiveMetrics
from tuner_service.worker.device_gate import DeviceGate, Place
from tuner_service.worker.evaluation import GOODBYE_S, Evaluation, shown
from tuner_service.worker.lease import LeaseKeeper
from tuner_service.worker.outbox import Outbox
from tuner_service.worker.settings import WorkerSettings
from tuner_service.worker.training_process import TrainingProcess, describe_exit
from tuner_service.worker.trial_files import TrialFiles

_log = logging.getLogger(__name__)

#: How often a slot looks whether it is to stop while its child is silent, in seconds.
_LOOK_S = 0.5
#: Pauses, in seconds, before another child is started in place of one that a signal killed while it loaded the study,
#: as the kernel does where memory is short; after the last one the study is given up.
_LOADS_AGAIN_AFTER_S = (1.0, 5.0, 20.0)


@dataclass
class Slot:
    """What one slot works with; ``run`` is its whole life."""

    storage: LedgerStorage
    study: StudyRecord
    study_file: Path
    scratch: Path  #: folder for the files of its trials and children
    artifacts: Artifacts
    lease: LeaseKeeper
    settings: WorkerSettings
    device: str
    gate: DeviceGate  #: of that device
    code: str  #: digest of the study file
    stopping: threading.Event
    outbox: Outbox
    histories: Histories  #: what the worker has read of the study's rows
    live: LiveMetrics | None  #: whom every epoch is told, beside the storage
    _child: TrainingProcess = field(init=False)
    _place: Place | None = None  #: the child's, once it has begun a trial

    def run(self) -> None:
        """Claim and train until the study has ended or the worker is to stop.

        Raises:
            StudyFileError: If the study's code cannot be loaded on this machine.
        """
        patiently = Patience(stopping=self.stopping)
        self._child = self._new_child()
        try:
            while self._is_ready():
                attempt = self._claim(patiently)
                if attempt is None:
                    return
                try:
                    with tempfile.TemporaryDirectory(dir=self.scratch, ignore_cleanup_errors=True) as folder:
                        self._train(attempt, TrialFiles(self.artifacts, attempt.claim.number, Path(folder)), patiently)
                except TrialLostError as error:
                    self.outbox.remove(attempt.claim.trial_id)
                    _log.warning("%s; what it still had to say is dropped", error)
                finally:
                    self.lease.let_go(attempt)
        finally:
            self._end_child()

    def _train(self, attempt: RunningAttempt, files: TrialFiles, patiently: Patience) -> None:
        """Have a child train an attempt, and settle what came of it while a child gets ready for the next one."""
        alone = attempt.ran_out_of_memory_before
        self._take_place(attempt, alone=alone)
        evaluation = Evaluation(self.study, attempt, self._child, files, self.settings, self.device)
        try:
            outcome = attempt.concluded(evaluation.run(self.stopping, self.lease))
            self.outbox.put(attempt.claim, self.settings.worker_id, outcome)
        finally:
            if not evaluation.child_goes_on:
                self._replace_child(GOODBYE_S)
            elif alone or self.gate.is_closed:
                self._replace_child()
        files.keep(outcome)
        attempt.settle(outcome)
        self.outbox.remove(attempt.claim.trial_id)
        _log.info("trial %d: %s%s", attempt.claim.number, outcome.reason, shown(outcome))
        if outcome.reason in (Reason.ERROR, Reason.EXHAUSTED):
            # An error that repeats itself ends the study before more trials run into it, and so does a search space
            # without anything new.
            with contextlib.suppress(StudyNotFoundError):  # the next claim tells that it was deleted
                patiently(lambda: reconcile(self.storage, self.study.name, self.histories))
        if RULES[outcome.reason].counts is Counts.ALWAYS:
            files.forget_checkpoints(attempt.predecessors() if attempt.claim.attempt else [])
        files.forget_models(attempt.displaced())

    def _new_child(self) -> TrainingProcess:
        return TrainingProcess(self.study_file, self.scratch, self.device)

    def _end_child(self, patience_s: float = 0.0) -> None:
        self._child.end(patience_s)
        if self._place is not None:
            self._place.leave()
            self._place = None

    def _replace_child(self, patience_s: float = 0.0) -> None:
        """End the child, which may take so long to end by itself; the next one gets ready meanwhile."""
        following = self._new_child()
        self._end_child(patience_s)
        self._child = following

    def _take_place(self, attempt: RunningAttempt, *, alone: bool) -> None:
        """Have a child with a place on the device, one that has trained nothing yet where it is to be alone there."""
        if self._place is not None and (alone or self.gate.is_closed):
            self._replace_child()
            self._is_ready(functools.partial(self._is_over, attempt))
        if self._place is None:
            self._place = self.gate.enter(alone=alone, give_up=functools.partial(self._is_over, attempt))

    def _is_ready(self, give_up: Callable[[], bool] | None = None) -> bool:
        """Wait until the child has loaded the study, and return whether there is something to do for it.

        Args:
            give_up: Whether there is no use in waiting any more; by default where the worker is to stop.
        """
        give_up = give_up or self.stopping.is_set
        pauses = list(_LOADS_AGAIN_AFTER_S)
        while not give_up():
            try:
                ready = self._child.wait(_LOOK_S)
            except EOFError:
                if self.stopping.is_set():
                    return False
                exit_code = self._child.end(GOODBYE_S)
                how = f"the process that loads {self.study_file.name} {describe_exit(exit_code)}"
                if exit_code is None or exit_code >= 0 or not pauses:
                    raise StudyFileError(how) from None
                _log.warning("%s; another one is started in %.0f s", how, pauses[0])
                self.stopping.wait(pauses.pop(0))
                self._replace_child()
                continue
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
                    if patiently(lambda: reconcile(self.storage, self.study.name, self.histories)).ending is not None:
                        return None
                    claim = patiently(self._claim_row)
            except StudyNotFoundError:
                _log.warning("study %s was deleted", self.study.name)
                return None
            if claim is not None:
                attempt = RunningAttempt(
                    self.storage, self.study, claim, self.settings.worker_id, patiently, self.histories, self.live
                )
                self.lease.hold(attempt)
                return attempt
            if self._place is not None:
                # Whoever wants the device to itself must not wait for a child that has nothing to do.
                self._replace_child()
                if not self._is_ready():
                    return None
            self.stopping.wait(self.settings.idle_s)
        return None

    def _is_over(self, attempt: RunningAttempt) -> bool:
        return self.stopping.is_set() or self.lease.is_cancelled(attempt) or self.lease.is_lost(attempt)

    def _claim_row(self) -> Claim | None:
        # Its limits may be others by now.
        self.study = self.storage.study(self.study.name)
        return self.storage.claim(
            self.study.study_id, self.settings.worker_id, lease_s=self.settings.lease_s, code=self.code
        )
