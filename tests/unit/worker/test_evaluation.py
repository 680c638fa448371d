"""How an attempt is served and watched, its child and the clock being a test's."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.records import make_study
from tuner_service.domain.outcome import Outcome, Reason
from tuner_service.errors import StorageUnavailableError, StudyFileError
from tuner_service.ledger import running
from tuner_service.ledger.patience import Patience
from tuner_service.ledger.running import RunningAttempt
from tuner_service.storage.artifacts import Artifacts
from tuner_service.storage.ledger_storage import Claim
from tuner_service.training.assignment import Result
from tuner_service.training.remote_trial import Answer, Ask
from tuner_service.worker import evaluation, watchdog
from tuner_service.worker.evaluation import Evaluation
from tuner_service.worker.settings import WorkerSettings
from tuner_service.worker.trial_files import TrialFiles


class FakeStorage:
    """Takes reports; is away for everything else."""

    def record_reports(self, *_: object) -> None:
        """Take note of nothing."""

    def __getattr__(self, name: str) -> Any:
        def away(*_: object, **__: object) -> None:
            raise StorageUnavailableError(f"{name}: away")

        return away


class FakeChild:
    """Says what it is told to say, after so many seconds of silence each."""

    def __init__(self, *says: tuple[float, str, Sequence[object]]) -> None:
        self.now = 1000.0
        self.pid = os.getpid()
        self.answers: list[Answer] = []
        self.interrupted = self.ended = False
        self._says = list(says)

    def wait(self, timeout_s: float) -> Ask | None:
        """Say the next thing once its time has come."""
        self.now += timeout_s
        silence, op, arguments = self._says[0]
        if silence > timeout_s:
            self._says[0] = (silence - timeout_s, op, arguments)
            return None
        del self._says[0]
        return Ask(op, tuple(arguments), wants_answer=op in ("keep_model", "should_prune"))

    def answer(self, answer: Answer) -> None:
        """Hear an answer."""
        self.answers.append(answer)

    def assign(self, _task: object) -> None:
        """Begin."""

    def interrupt(self) -> None:
        """Hear that it is to end."""
        self.interrupted = True

    def end(self, _patience_s: float = 0.0) -> int:
        """End."""
        self.ended = True
        return 0


@pytest.fixture(autouse=True)
def _busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no child look idle."""
    seconds = iter(range(1_000_000))
    monkeypatch.setattr(watchdog, "_processor_s", lambda _pid: next(seconds))


def _run(
    child: FakeChild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, stopping: bool = False, epochs: int = 0
) -> Outcome:
    monkeypatch.setattr(evaluation, "time", SimpleNamespace(monotonic=lambda: child.now))
    storage: Any = FakeStorage()
    told: Any = SimpleNamespace(is_cancelled=lambda _: False, is_lost=lambda _: False)
    trains: Any = child
    event = threading.Event()
    if stopping:
        event.set()
    study = make_study()
    claim = Claim(1, number=1, configuration=1, attempt=0, claimed_at=0.0, params={})
    attempt = RunningAttempt(storage, study, claim, "w1", Patience(stopping=event))
    files = TrialFiles(Artifacts(str(tmp_path), "digits"), 1, tmp_path)
    settings = WorkerSettings("digits", tmp_path, ["-1"], worker_id="w1")
    outcome = Evaluation(study, attempt, trains, files, settings, "-1").run(event, told)
    assert attempt.progress_now.epoch == epochs
    return outcome


def test_a_resumed_trial_may_take_as_long_for_an_epoch_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an earlier attempt trained is told again in no time, which says nothing of how long an epoch takes."""
    again = [(0.0, "report", (epoch, epoch, 0.5)) for epoch in range(1, 5)]
    child = FakeChild(
        *again,
        (0.0, "resumed", (5, 0)),
        (900.0, "progress", (6, 0.5, 0, {})),
        (900.0, "progress", (7, 0.5, 0, {})),
        (1.0, "done", (Result(Reason.FINISHED, 0.5, epochs=7), False)),
    )
    outcome = _run(child, tmp_path, monkeypatch, epochs=7)
    assert (outcome.reason, outcome.resumed_from) == (Reason.FINISHED, 5)


def test_a_script_that_reports_its_steps_again_is_not_stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fold by fold for instance: each report is a sign of life, the first of a step and the others."""
    folds = [(0.0, "report", (0, 1, 0.5)), *[(500.0, "alive", ())] * 4, (500.0, "report", (1, 2, 0.4))]
    child = FakeChild(*folds, (1.0, "done", (Result(Reason.FINISHED, 0.5, epochs=2), False)))
    assert _run(child, tmp_path, monkeypatch, epochs=2).reason is Reason.FINISHED


def test_a_child_that_gets_ready_when_its_worker_is_to_stop_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waited for it any longer; its trial is interrupted, at nobody's expense."""
    child = FakeChild((0.0, "ready", ("", None)), (1e9, "done", ()))
    assert _run(child, tmp_path, monkeypatch, stopping=True).reason is Reason.INTERRUPTED
    assert child.interrupted


def test_a_trial_that_has_trained_its_last_epoch_is_finished_while_the_storage_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the worker is told to stop: its model is kept, since nobody says that it need not be."""
    monkeypatch.setattr(running, "_BRIEFLY", Patience(timeout_s=0.1))
    child = FakeChild(
        (0.0, "progress", (9, 0.5, 0, {})),
        (0.0, "keep_model", ((0.5,),)),
        (0.0, "done", (Result(Reason.FINISHED, 0.5, epochs=9), False)),
    )
    outcome = _run(child, tmp_path, monkeypatch, stopping=True, epochs=9)
    assert (outcome.reason, outcome.value) == (Reason.FINISHED, 0.5)
    assert child.answers == [Answer(value=True)]


def test_a_child_that_sends_what_it_may_not_costs_its_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial fails with an error that names it, the child is ended, and the worker goes on."""
    child = FakeChild()

    def wait(_timeout_s: float) -> Ask:
        raise StudyFileError("the study's code handed over a lab.Kind")

    monkeypatch.setattr(child, "wait", wait)
    outcome = _run(child, tmp_path, monkeypatch)
    assert outcome.failure is not None
    assert (outcome.reason, outcome.failure.message) == (Reason.ERROR, "the study's code handed over a lab.Kind")
    assert child.ended


@pytest.mark.parametrize(("epochs", "said"), [(1, ", 0.5 after 1 epoch"), (3, ", 0.5 after 3 epochs")])
def test_a_log_says_an_epoch_of_one(epochs: int, said: str) -> None:
    """One epoch, and several epochs."""
    assert evaluation.shown(Outcome(Reason.PRUNED, 0.5, epochs=epochs)) == said
