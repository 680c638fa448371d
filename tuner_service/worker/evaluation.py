"""The evaluation of one attempt: its child is served, watched and ended, and what became of it is an outcome."""

from __future__ import annotations

import dataclasses
import functools
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tuner_service.domain.outcome import Failure, Outcome, Reason
from tuner_service.domain.plural import count
from tuner_service.domain.provenance import changed_packages
from tuner_service.domain.pruner import Wilcoxon, reported_epochs
from tuner_service.domain.seeds import hash_seed
from tuner_service.domain.study import StudyRecord
from tuner_service.errors import StorageUnavailableError, StudyFileError, TrialLostError
from tuner_service.ledger.running import RunningAttempt
from tuner_service.training.assignment import Assignment, Result
from tuner_service.training.provenance import versions
from tuner_service.training.remote_trial import Answer
from tuner_service.worker.lease import LeaseKeeper
from tuner_service.worker.settings import WorkerSettings
from tuner_service.worker.training_process import TrainingProcess, describe_exit
from tuner_service.worker.trial_files import TrialFiles
from tuner_service.worker.watchdog import Watchdog

_log = logging.getLogger(__name__)

#: How often the child is looked at while it is silent, in seconds.
_LOOK_S = 0.5
#: How long a child that has said how it went may take to end, in seconds.
GOODBYE_S = 5.0


class Evaluation:
    """One attempt in one child; ``child_goes_on`` says, once it is over, whether the child gets ready for another."""

    def __init__(
        self,
        study: StudyRecord,
        attempt: RunningAttempt,
        child: TrainingProcess,
        files: TrialFiles,
        settings: WorkerSettings,
        device: str,
    ) -> None:
        self._study = study
        self._attempt = attempt
        self._child = child
        self._files = files
        self._settings = settings
        self._device = device
        self.child_goes_on = False
        self._watchdog = Watchdog(study.spec.limits, started_at=time.monotonic())
        self._operations: Mapping[str, Callable[..., Any]] = {
            "suggest": attempt.suggest,
            "drawn": lambda repeats: attempt.drawn(repeats=repeats),
            "report": attempt.report,
            "alive": lambda: None,
            "progress": attempt.progress,
            "resumed": attempt.resumed,
            "checkpoint": self._keep_checkpoint,
            "should_prune": attempt.should_prune,
            "should_stop_after": attempt.should_stop_after,
            "set_user_attr": attempt.set_user_attr,
            "set_constraint": attempt.set_constraint,
            "keep_model": attempt.keep_model,
        }

    def run(self, stopping: threading.Event, lease: LeaseKeeper) -> Outcome:
        """Have the child train the attempt, and return how that ended; a child that did not say so itself is ended.

        Raises:
            TrialLostError: If the trial is another worker's now, or the study is gone.
        """
        ended_itself = False
        give_up_at: float | None = None
        self._child.assign(self._assignment())
        # Its time begins here, not while it waited for its turn on the device.
        self._watchdog = Watchdog(self._study.spec.limits, started_at=time.monotonic())
        try:
            while True:
                if stopping.is_set() and give_up_at is None:
                    # It saves its state after the epoch that it is in, if that ends in time.
                    self._child.interrupt()
                    give_up_at = time.monotonic() + self._settings.grace_s
                if give_up_at is not None and time.monotonic() > give_up_at:
                    return self._outcome(Reason.INTERRUPTED, "Interrupted", "the worker was told to stop")
                if lease.is_cancelled(self._attempt):
                    return self._outcome(
                        Reason.CANCELLED, "Cancelled", "the running trials of the study were cancelled"
                    )
                if lease.is_lost(self._attempt):
                    raise TrialLostError(f"trial {self._attempt.claim.number} was given to another worker")
                verdict = self._watchdog.verdict(time.monotonic(), self._child.pid)
                if verdict is not None:
                    return self._outcome(verdict.reason, verdict.type, verdict.message)
                try:
                    ask = self._child.wait(_LOOK_S)
                except EOFError:
                    if give_up_at is not None:
                        return self._outcome(Reason.INTERRUPTED, "Interrupted", "the worker was told to stop")
                    return self._died(self._child.end(GOODBYE_S))
                except StudyFileError as error:
                    return self._outcome(Reason.ERROR, type(error).__name__, str(error))
                if ask is None or ask.op == "ready":
                    # It may have got ready after all, once the worker was told to stop.
                    continue
                if ask.op == "done":
                    result, self.child_goes_on = ask.arguments
                    ended_itself = True
                    return self._finished(result)
                epochs, asked_at = self._attempt.progress_now.epoch, time.monotonic()
                answer = self._answer(ask.op, ask.arguments)
                # What it waited for a storage that was away is not the child's time.
                self._watchdog.leave_out(time.monotonic() - asked_at)
                if ask.op == "resumed":
                    self._watchdog.resumed(time.monotonic())
                elif self._attempt.progress_now.epoch > epochs:
                    self._watchdog.epoch_ended(time.monotonic())
                elif ask.op in ("report", "alive"):
                    # Of a script that goes through the same steps again, fold by fold for instance.
                    self._watchdog.reported(time.monotonic())
                if isinstance(answer.error, TrialLostError):
                    raise answer.error
                if isinstance(answer.error, StorageUnavailableError):
                    # The worker is to stop, so that nobody waits for the storage any more.
                    if ask.wants_answer:
                        return self._outcome(Reason.INTERRUPTED, "Interrupted", "the worker was told to stop")
                elif ask.wants_answer:
                    self._child.answer(answer)
                elif answer.error is not None:
                    return self._outcome(Reason.ERROR, type(answer.error).__name__, str(answer.error))
        finally:
            if not ended_itself:
                self._child.end()

    def _assignment(self) -> Assignment:
        claim = self._attempt.claim
        checkpoints = self._files.fetch_checkpoints(self._attempt.predecessors()) if claim.attempt else []
        task = assignment_of(
            self._study, claim.number, claim.configuration, claim.claimed_at, self._files.scratch, self._device
        )
        return dataclasses.replace(task, checkpoints=checkpoints)

    def _keep_checkpoint(self, epoch: int, name: str) -> None:
        if self._files.keep_checkpoint(name):
            self._attempt.saved(epoch)

    def _answer(self, op: str, arguments: tuple[object, ...]) -> Answer:
        try:
            return Answer(self._operations[op](*arguments))
        except Exception as error:
            # It is the study's, a range that changed for instance: raised where it was asked.
            return Answer(error=error)

    def _finished(self, result: Result) -> Outcome:
        if result.reason is Reason.INTERRUPTED:
            saved = f"the worker was told to stop; saved after epoch {self._attempt.progress_now.checkpoint}"
            return self._outcome(Reason.INTERRUPTED, "Interrupted", saved)
        return Outcome(
            reason=result.reason,
            value=result.value,
            others=result.others,
            epochs=result.epochs,
            best_epoch=result.best_epoch,
            failure=result.failure,
            attributes={**self._attributes(), **result.attributes},
            environment=environment_of(self._study, result.environment),
            resumed_from=self._attempt.progress_now.resumed_from,
            checkpoint=self._attempt.progress_now.checkpoint,
        )

    def _died(self, exit_code: int | None) -> Outcome:
        how = f"the process that trained it {describe_exit(exit_code)}"
        if self._watchdog.kernel_ran_out_of_memory(exit_code):
            return self._outcome(Reason.OOM, "OutOfMemory", f"{how}, because the machine ran out of memory")
        return self._outcome(Reason.CRASHED, "ProcessDied", how)

    def _outcome(self, reason: Reason, kind: str, message: str) -> Outcome:
        now = self._attempt.progress_now
        failure = Failure(kind, message, host=socket.gethostname())
        return Outcome(
            reason=reason,
            epochs=now.epoch,
            failure=failure,
            attributes=self._attributes(),
            environment=environment_of(self._study, {}),
            resumed_from=now.resumed_from,
            checkpoint=now.checkpoint,
        )

    def _attributes(self) -> dict[str, object]:
        """What optuna-dashboard shows beside a trial."""
        return {
            "configuration": self._attempt.claim.configuration,
            "attempt": self._attempt.claim.attempt,
            "worker": self._settings.worker_id,
        }


def assignment_of(
    study: StudyRecord, number: int, configuration: int, started_at: float, folder: Path, device: str
) -> Assignment:
    """Return what a child is told to train for an attempt at a configuration, from its beginning."""
    spec = study.spec
    rungs = spec.pruner.rungs(spec.pruner.bracket_of(configuration, spec.max_epochs, spec.seed), spec.max_epochs)
    return Assignment(
        number=number,
        started_at=started_at,
        seed=hash_seed(spec.seed, configuration, "training"),
        metrics=spec.metrics,
        metric=spec.watched,
        direction=spec.direction_of(spec.watched),
        judged=spec.judged,
        judged_direction=spec.direction_of(spec.judged),
        max_epochs=spec.max_epochs,
        rungs=frozenset(rungs),
        reported=reported_epochs(spec.max_epochs, rungs),
        folder=str(folder),
        devices=device,
        engine=spec.engine,
        computing=spec.computing,
        checkpoint_s=spec.limits.checkpoint_s,
        value=spec.value,
        executions=spec.executions,
        folds=spec.seeded_folds,
        judges_runs=isinstance(spec.pruner, Wilcoxon),
        trials_per_process=spec.limits.trials_per_process,
    )


def environment_of(study: StudyRecord, told: Mapping[str, str]) -> dict[str, str]:
    """Return what trained an attempt, as its child told it, with this host, and the packages where they are others.

    What is not as the study was created is warned of, once a process.
    """
    recorded = study.provenance
    others = _other_packages(tuple(recorded.packages.items()))
    if others:
        _warn_once(f"packages are not those that the study was created with: {others}")
    if recorded.data is not None and told.get("data", recorded.data) != recorded.data:
        _warn_once(
            "load_data returned other data than when the study was created, so that its trials cannot be compared "
            f"(digest {recorded.data}, here {told['data']}). Does it give the same rows each time? Trials record it"
        )
    found = {"host": socket.gethostname(), **told}
    return {**found, "packages": others} if others else found


@functools.cache
def _other_packages(recorded: tuple[tuple[str, str], ...]) -> str:
    """Return the packages that are others in this process; looked up once, since it takes some milliseconds."""
    return listed(changed_packages(dict(recorded), versions(dict(recorded))))


@functools.cache
def _warn_once(message: str) -> None:
    _log.warning("%s", message)


def listed(others: Mapping[str, str]) -> str:
    """Return packages with their changes in one line."""
    return ", ".join(f"{name} {change}" for name, change in others.items())


def shown(outcome: Outcome) -> str:
    """Return what a log says of an outcome, beside its reason."""
    if outcome.value is not None:
        values = " ".join(f"{value:.6g}" for value in outcome.values)
        return f", {values} after {count(outcome.epochs, 'epoch')}"
    return f", {outcome.failure.fingerprint}" if outcome.failure is not None else ""
