"""A slot: claims a trial, has a child train it, settles the outcome, and again."""

from __future__ import annotations

import logging
import socket
import threading
from dataclasses import dataclass
from pathlib import Path

from tuner_service.domain.outcome import Failure, Outcome, Reason
from tuner_service.domain.pruner import reported_epochs
from tuner_service.domain.study import StudyRecord
from tuner_service.errors import ArtifactError, StudyFileError, StudyNotFoundError, TrialLostError
from tuner_service.ledger.patience import patiently
from tuner_service.ledger.reconcile import reconcile
from tuner_service.ledger.running import RunningAttempt
from tuner_service.storage.artifacts import Artifacts, trial_folder
from tuner_service.storage.ledger_storage import Claim, LedgerStorage
from tuner_service.training.assignment import (
    CURVE_FILE,
    EVALUATION_FILE,
    LOG_FILE,
    MODEL_FILE,
    Assignment,
    Result,
)
from tuner_service.training.remote_trial import Answer
from tuner_service.worker.lease import LeaseKeeper
from tuner_service.worker.settings import WorkerSettings
from tuner_service.worker.training_process import TrainingProcess, describe_exit

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
    artifacts: Artifacts
    lease: LeaseKeeper
    settings: WorkerSettings
    device: str
    code: str  #: digest of the study file
    stopping: threading.Event

    def run(self) -> None:
        """Claim and train until the study has ended or the worker is to stop.

        Raises:
            StudyFileError: If the study's code cannot be loaded on this machine.
        """
        child = TrainingProcess(self.study_file)
        try:
            while self._is_ready(child):
                attempt = self._claim()
                if attempt is None:
                    return
                finished = child
                try:
                    outcome = self._train(attempt, finished)
                    # The next one gets ready while this one's outcome is on its way.
                    child = TrainingProcess(self.study_file)
                    self._settle(attempt, outcome, finished.scratch)
                except TrialLostError as error:
                    _log.warning("%s; what it still had to say is dropped", error)
                    child = TrainingProcess(self.study_file) if child is finished else child
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

    def _claim(self) -> RunningAttempt | None:
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
                attempt = RunningAttempt(self.storage, self.study, claim, self.settings.worker_id)
                self.lease.hold(attempt)
                return attempt
            self.stopping.wait(self.settings.idle_s)
        return None

    def _claim_row(self) -> Claim | None:
        return self.storage.claim(
            self.study.study_id, self.settings.worker_id, lease_s=self.settings.lease_s, code=self.code
        )

    def _train(self, attempt: RunningAttempt, child: TrainingProcess) -> Outcome:
        patience = 0.0
        child.assign(self._assignment(attempt))
        try:
            while True:
                if self.stopping.is_set():
                    return self._interrupted(attempt, "the worker was told to stop")
                if self.lease.is_lost(attempt):
                    raise TrialLostError(f"trial {attempt.claim.number} was given to another worker")
                try:
                    ask = child.wait(_LOOK_S)
                except EOFError:
                    return self._died(attempt, child.end(_GOODBYE_S))
                if ask is None:
                    continue
                if ask.op == "done":
                    (result,) = ask.arguments
                    patience = _GOODBYE_S
                    return self._outcome(attempt, result)
                answer = _answer(attempt, ask.op, ask.arguments)
                if isinstance(answer.error, TrialLostError):
                    raise answer.error
                if ask.wants_answer:
                    child.answer(answer)
                elif answer.error is not None:
                    return self._refused(attempt, answer.error)
        finally:
            child.end(patience)

    def _settle(self, attempt: RunningAttempt, outcome: Outcome, scratch: Path) -> None:
        self._keep_files(attempt, outcome, scratch)
        recorded = attempt.settle(outcome)
        _log.info("trial %d: %s%s", attempt.claim.number, recorded.reason, _shown(recorded))

    def _assignment(self, attempt: RunningAttempt) -> Assignment:
        spec = self.study.spec
        return Assignment(
            number=attempt.claim.number,
            started_at=attempt.claim.claimed_at,
            seed=attempt.training_seed,
            metric=spec.metric,
            direction=spec.better,
            max_epochs=spec.max_epochs,
            rungs=frozenset(attempt.rungs),
            reported=reported_epochs(spec.max_epochs, attempt.rungs),
            devices=self.device,
        )

    def _keep_files(self, attempt: RunningAttempt, outcome: Outcome, scratch: Path) -> None:
        """Store the attempt's files before its row says that it is complete."""
        wanted = [CURVE_FILE]
        if outcome.reason is Reason.FINISHED:
            wanted += [MODEL_FILE, EVALUATION_FILE]
        if outcome.failure is not None:
            wanted += [LOG_FILE]
        folder = trial_folder(attempt.claim.number)
        for name in wanted:
            if (scratch / name).is_file() and (scratch / name).stat().st_size:
                try:
                    self.artifacts.put(scratch / name, f"{folder}/{name}")
                except ArtifactError as error:
                    # The value is worth more than the file; an export says what is missing.
                    _log.error("%s", error)

    def _outcome(self, attempt: RunningAttempt, result: Result) -> Outcome:
        return Outcome(
            result.reason,
            result.value,
            result.epochs,
            result.best_epoch,
            result.failure,
            {**self._attributes(attempt), **result.attributes},
        )

    def _interrupted(self, attempt: RunningAttempt, why: str) -> Outcome:
        failure = Failure("Interrupted", why, host=socket.gethostname())
        epochs = attempt.progress_now.epoch
        return Outcome(Reason.INTERRUPTED, None, epochs, None, failure, self._attributes(attempt))

    def _died(self, attempt: RunningAttempt, exit_code: int | None) -> Outcome:
        how = describe_exit(exit_code)
        failure = Failure("ProcessDied", f"the process that trained it {how}", host=socket.gethostname())
        epochs = attempt.progress_now.epoch
        return Outcome(Reason.CRASHED, None, epochs, None, failure, self._attributes(attempt))

    def _refused(self, attempt: RunningAttempt, error: Exception) -> Outcome:
        failure = Failure(type(error).__name__, str(error), host=socket.gethostname())
        return Outcome(Reason.ERROR, None, attempt.progress_now.epoch, None, failure, self._attributes(attempt))

    def _attributes(self, attempt: RunningAttempt) -> dict[str, object]:
        """What optuna-dashboard shows beside a trial."""
        return {
            "configuration": attempt.claim.configuration,
            "attempt": attempt.claim.attempt,
            "worker": self.settings.worker_id,
        }


def _answer(attempt: RunningAttempt, op: str, arguments: tuple[object, ...]) -> Answer:
    operations = {
        "suggest": attempt.suggest,
        "report": attempt.report,
        "progress": attempt.progress,
        "should_prune": attempt.should_prune,
        "set_user_attr": attempt.set_user_attr,
        "set_constraint": attempt.set_constraint,
        "keep_model": attempt.keep_model,
    }
    try:
        return Answer(operations[op](*arguments))  # type: ignore[operator]  # each with its own arguments
    except Exception as error:
        return Answer(error=error)


def _shown(outcome: Outcome) -> str:
    if outcome.value is not None:
        return f", {outcome.value:.6g} after {outcome.epochs} epochs"
    return f", {outcome.failure.fingerprint}" if outcome.failure is not None else ""
