"""What users want of a study while it runs, on every backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tests.records import make_new_study
from tuner_service.coordinator.collect import Collected, collect
from tuner_service.coordinator.control import cancel, enqueue, pause, resume, retry, stop
from tuner_service.coordinator.studies import extend
from tuner_service.domain.attempt import Attempt, NewAttempt, Param
from tuner_service.domain.outcome import Failure, Outcome, Reason, State
from tuner_service.domain.study import Control, Ending, StudyRecord
from tuner_service.domain.worker import Progress, WorkerInfo
from tuner_service.errors import NotInStudyError, SpecError, StudyExistsError
from tuner_service.ledger.reconcile import reconcile
from tuner_service.ledger.running import RunningAttempt
from tuner_service.search.space import merge
from tuner_service.storage.artifacts import Artifacts, trial_folder
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.training.assignment import CURVE_FILE, EVALUATION_FILE, LOG_FILE, MODEL_FILE, checkpoint_file

_UNITS, _RATE = IntDistribution(1, 100), FloatDistribution(1e-4, 1e-1, log=True)
_KIND = CategoricalDistribution(["relu", "tanh", None])
_SPACE = merge({}, {"units": _UNITS, "rate": _RATE, "kind": _KIND})
_ERROR = Failure("ValueError", "no")


@pytest.fixture
def study(storage: LedgerStorage, tmp_path: Path) -> StudyRecord:
    """Provide a study of four configurations that may each fail once, with the rows that wait first."""
    new = make_new_study(sampler="random", max_attempts=1, trials=4)
    storage.create_study(replace(new, space=_SPACE, artifacts=str(tmp_path / "artifacts")))
    return reconcile(storage, "digits")


def _run(storage: LedgerStorage, study: StudyRecord) -> RunningAttempt:
    """Claim the next row, as a worker does."""
    reconcile(storage, study.name)
    claim = storage.claim(study.study_id, "w1", lease_s=60.0, code="c0de")
    assert claim is not None
    return RunningAttempt(storage, study, claim, "w1")


def _end(storage: LedgerStorage, study: StudyRecord, reason: Reason, value: float | None = None) -> Attempt:
    """Claim the next row, draw a parameter, and end it for a reason."""
    attempt = _run(storage, study)
    attempt.suggest("units", _UNITS)
    failure = _ERROR if value is None else None
    attempt.settle(Outcome(reason, value, failure=failure))
    return _row(storage, study, attempt)


def _row(storage: LedgerStorage, study: StudyRecord, attempt: RunningAttempt) -> Attempt:
    return next(one for one in storage.attempts(study.study_id) if one.trial_id == attempt.claim.trial_id)


def _beat(storage: LedgerStorage, study: StudyRecord, worker_id: str) -> None:
    storage.beat(WorkerInfo(worker_id, study.study_id, "host", 7, 1, 0.0, 0.0, lease_s=60.0), [])


def _waiting(storage: LedgerStorage, study: StudyRecord) -> list[tuple[int, int]]:
    rows = storage.attempts(study.study_id)
    return [(one.configuration, one.attempt) for one in rows if one.state is State.WAITING]


def _params(storage: LedgerStorage, study: StudyRecord, number: int) -> dict[str, Param]:
    (trial,) = storage.trials(study.study_id, numbers=[number])
    return dict(trial.params)


class TestRetry:
    """Configurations that failed for good."""

    def test_all_that_failed_are_tried_again_with_their_parameters(
        self, storage: LedgerStorage, study: StudyRecord
    ) -> None:
        """First in the queue; a study that had finished goes on, and finishes when they are settled anew."""
        ends = ((Reason.ERROR, None), (Reason.FINISHED, 0.5), (Reason.TIMEOUT, None), (Reason.PRUNED, 0.5))
        rows = [_end(storage, study, reason, value) for reason, value in ends]
        assert reconcile(storage, study.name).ending is Ending.FINISHED
        assert retry(storage, study.name) == [rows[0].number, rows[2].number]
        assert storage.study(study.name).ending is None
        assert _waiting(storage, study) == [(0, 1), (2, 1)]
        assert reconcile(storage, study.name).ending is None

        again = _run(storage, study)
        assert (again.claim.configuration, again.claim.attempt) == (0, 1)
        drawn = _params(storage, study, rows[0].number)["units"]
        assert again.claim.params == {"units": drawn}, "it is given, not drawn once more"
        assert again.suggest("units", _UNITS) == drawn
        again.settle(Outcome(Reason.FINISHED, 0.7))
        assert _end(storage, study, Reason.ERROR).configuration == 2
        assert reconcile(storage, study.name).ending is Ending.FINISHED
        assert [row for row in storage.attempts(study.study_id) if row.number < 4] == rows, "a row that ended changed"

        assert retry(storage, study.name) == [5], "what failed again can be tried again"
        assert _waiting(storage, study) == [(2, 2)]

    def test_only_what_is_named_is_tried_again(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Once, although it is named twice."""
        _, second = (_end(storage, study, Reason.ERROR) for _ in range(2))
        assert retry(storage, study.name, [second.number, second.number]) == [second.number]
        rows = [(one.configuration, one.attempt) for one in storage.attempts(study.study_id) if one.forced]
        assert rows == [(second.configuration, 1)]
        with pytest.raises(NotInStudyError):
            retry(storage, study.name, [second.number])  # it waits: nothing has failed since

    def test_what_has_not_failed_for_good_is_refused(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """The error names those that have, and nothing is inserted, not even for those."""
        failed, finished = _end(storage, study, Reason.ERROR), _end(storage, study, Reason.FINISHED, 0.5)
        before = storage.attempts(study.study_id)
        for number in (finished.number, 99):
            with pytest.raises(NotInStudyError) as error:
                retry(storage, study.name, [failed.number, number])
            assert str(error.value) == (
                f"trial {number} of 'digits' has not failed for good, so there is nothing to retry; failed trials: "
                f"{failed.number}"
            )
        assert storage.attempts(study.study_id) == before

    def test_a_paused_study_stays_paused(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """The retry waits; once the study goes on it is claimed first."""
        failed = _end(storage, study, Reason.ERROR)
        pause(storage, study.name)
        assert retry(storage, study.name) == [failed.number]
        assert storage.study(study.name).control is Control.PAUSE
        assert storage.claim(study.study_id, "w1", lease_s=60.0, code="c0de") is None
        resume(storage, study.name)
        assert _run(storage, study).claim.attempt == 1

    def test_where_nothing_failed_nothing_happens(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """The study stays as it is, also if it is paused."""
        _end(storage, study, Reason.FINISHED, 0.5)
        pause(storage, study.name)
        before = storage.attempts(study.study_id)
        assert retry(storage, study.name) == []
        assert storage.attempts(study.study_id) == before
        assert storage.study(study.name).control is Control.PAUSE
        with pytest.raises(NotInStudyError, match="failed trials: none"):
            retry(storage, study.name, [0])


class TestEnqueue:
    """Points that a user names."""

    def test_the_next_free_configuration_has_the_parameters(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """What is given is given, the rest is drawn, and it counts like any other."""
        taken = len(storage.attempts(study.study_id))
        assert enqueue(storage, study.name, {"units": 77, "kind": None}) == taken
        for _ in range(taken):
            _end(storage, study, Reason.FINISHED, 0.5)
        attempt = _run(storage, study)
        assert (attempt.claim.configuration, attempt.claim.attempt) == (taken, 0)
        assert attempt.suggest("units", _UNITS) == 77
        assert attempt.suggest("kind", _KIND) is None
        rate = attempt.suggest("rate", _RATE)
        assert 1e-4 <= rate <= 1e-1
        attempt.settle(Outcome(Reason.INTERRUPTED))
        retried = _run(storage, study)
        assert (retried.suggest("units", _UNITS), retried.suggest("rate", _RATE)) == (77, rate)
        retried.settle(Outcome(Reason.FINISHED, 0.5))
        for _ in range(4 - taken - 1):
            _end(storage, study, Reason.FINISHED, 0.5)
        assert reconcile(storage, study.name).ending is Ending.FINISHED

    def test_what_only_a_trial_came_across_may_be_named(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """In a rare branch, or in a `fit` of its own: a copy of what a trial has had is no mistake."""
        with pytest.raises(SpecError, match="has no parameter 'late'"):
            enqueue(storage, study.name, {"late": 5})
        attempt = _run(storage, study)
        attempt.suggest("late", _UNITS)
        assert attempt.drawn(repeats=True)
        enqueue(storage, study.name, {"late": 5})

    def test_a_point_outside_the_space_is_refused(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """The nearest name is told, or the range, and no row is made of it."""
        before = storage.attempts(study.study_id)
        with pytest.raises(SpecError, match=r"has no parameter 'unit', .* Did you mean 'units'\?"):
            enqueue(storage, study.name, {"unit": 3})
        with pytest.raises(SpecError, match="kind='elu' is not in Categorical"):
            enqueue(storage, study.name, {"units": 3, "kind": "elu"})
        assert storage.attempts(study.study_id) == before

    @pytest.mark.parametrize("end", [stop, cancel])
    def test_a_study_that_was_stopped_is_resumed_first(
        self, storage: LedgerStorage, study: StudyRecord, end: Callable[[LedgerStorage, str], StudyRecord]
    ) -> None:
        """Also while its running trials finish; the error says how."""
        running = _run(storage, study)
        for _ in range(2):
            end(storage, study.name)
            with pytest.raises(NotInStudyError, match="`tuner resume digits`"):
                enqueue(storage, study.name, {"units": 77})
            if running is not None:
                running.settle(Outcome(Reason.FINISHED, 0.5))
                running = None
                reconcile(storage, study.name)
        assert storage.study(study.name).ending is Ending.STOPPED
        resume(storage, study.name)
        enqueue(storage, study.name, {"units": 77})

    def test_a_used_up_budget_is_extended_first(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Rows that wait for the sampler make room first; those with a point of their own stay. The error says how."""
        waiting = len(storage.attempts(study.study_id))
        points = [enqueue(storage, study.name, {"units": 1}) for _ in range(4)]
        assert points == [*range(waiting, 4), *range(waiting)]
        with pytest.raises(NotInStudyError, match=r"all 4 trials .* `tuner extend digits --trials 5`"):
            enqueue(storage, study.name, {"units": 1})
        storage.extend_study(study.study_id, 5)
        assert enqueue(storage, study.name, {"units": 1}) == 4

    def test_a_row_that_waits_makes_room(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Where each configuration has a row, the first that nobody has claimed takes the point; the budget is kept."""
        _run(storage, study)
        while len(storage.attempts(study.study_id)) < 4:
            enqueue(storage, study.name, {"units": 1})
        waiting = [one for one in storage.attempts(study.study_id) if one.state is State.WAITING and not one.forced]
        assert enqueue(storage, study.name, {"units": 77}) == waiting[0].configuration
        attempt = _run(storage, study)
        assert (attempt.claim.configuration, attempt.claim.attempt) == (waiting[0].configuration, 1)
        assert attempt.claim.params == {"units": 77}
        assert {one.configuration for one in storage.attempts(study.study_id)} == set(range(4))


class TestCancel:
    """A study that is ended with all that runs."""

    def test_running_trials_are_ended_and_tried_again_later(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Workers hear of it with a beat; once nothing runs the study has been stopped, until it is resumed."""
        attempt = _run(storage, study)
        units = attempt.suggest("units", _UNITS)
        assert cancel(storage, study.name).ending is None
        assert _waiting(storage, study) == []
        worker = WorkerInfo("w1", study.study_id, "h", 7, 1, started_at=0.0, beat_at=0.0, lease_s=60.0)
        heard = storage.beat(worker, [Progress(attempt.claim.trial_id, 1, 0.5)])
        assert (heard.control, heard.held) == (Control.CANCEL, {attempt.claim.trial_id})
        assert storage.claim(study.study_id, "w1", lease_s=60.0, code="c0de") is None

        attempt.settle(Outcome(Reason.CANCELLED, failure=_ERROR))
        assert reconcile(storage, study.name).ending is Ending.STOPPED
        assert resume(storage, study.name).ending is None
        again = _run(storage, study)
        assert (again.claim.configuration, again.claim.attempt) == (attempt.claim.configuration, 1)
        assert again.claim.params == {"units": units}

    def test_a_study_whose_budget_is_settled_has_finished(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """There is nothing left to cancel or to stop."""
        for _ in range(3):
            _end(storage, study, Reason.FINISHED, 0.5)
        last = _run(storage, study)
        cancel(storage, study.name)
        last.settle(Outcome(Reason.FINISHED, 0.5))
        assert reconcile(storage, study.name).ending is Ending.FINISHED
        assert stop(storage, study.name).ending is Ending.FINISHED


class TestCollect:
    """Files that nobody needs any more."""

    @staticmethod
    def _artifacts(study: StudyRecord) -> Artifacts:
        return Artifacts(study.artifacts, study.name)

    def _leave(self, study: StudyRecord, number: int, *names: str) -> None:
        for name in (CURVE_FILE, LOG_FILE, *names):
            self._artifacts(study).put_text("x", f"{trial_folder(number)}/{name}")

    def _names(self, study: StudyRecord, number: int) -> set[str]:
        return set(self._artifacts(study).names(trial_folder(number))) - {CURVE_FILE, LOG_FILE}

    def test_the_best_model_and_what_trials_go_on_from_stay(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Beaten models and the checkpoints of settled configurations go; curves and logs stay, as do other files."""
        model, saved = {MODEL_FILE, EVALUATION_FILE}, checkpoint_file(3)
        beaten, best, interrupted = (
            _end(storage, study, reason, value)
            for reason, value in ((Reason.FINISHED, 0.5), (Reason.FINISHED, 0.9), (Reason.INTERRUPTED, None))
        )
        for row in (beaten, best):
            self._leave(study, row.number, *model, saved)
        self._leave(study, interrupted.number, saved)
        running = _run(storage, study).claim
        assert (running.configuration, running.attempt) == (interrupted.configuration, 1)
        self._leave(study, running.number, *model, saved)

        assert collect(storage, study.name) == Collected(models=1, checkpoints=2)
        assert self._names(study, beaten.number) == set()
        assert self._names(study, best.number) == model
        assert self._names(study, interrupted.number) == {saved}
        assert self._names(study, running.number) == {*model, saved}
        for row in (beaten, best, interrupted):
            assert {CURVE_FILE, LOG_FILE} <= set(self._artifacts(study).names(trial_folder(row.number)))
        assert collect(storage, study.name) == Collected(models=0, checkpoints=0)

    def test_what_was_never_whole_goes(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """But not what a running trial is writing now."""
        ended = _end(storage, study, Reason.INTERRUPTED)
        running = _run(storage, study).claim
        for number in (ended.number, running.number):
            self._leave(study, number, f"{MODEL_FILE}.0123.draft")
        assert collect(storage, study.name) == Collected(models=0, checkpoints=0, drafts=1)
        assert self._artifacts(study).drafts(trial_folder(ended.number)) == []
        assert self._artifacts(study).drafts(trial_folder(running.number)) == [f"{MODEL_FILE}.0123.draft"]

    def test_a_study_that_was_stopped_keeps_its_checkpoints(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """Whoever resumes it wants them."""
        interrupted = _end(storage, study, Reason.INTERRUPTED)
        self._leave(study, interrupted.number, checkpoint_file(3))
        assert collect(storage, study.name) == Collected(models=0, checkpoints=0)  # it goes on from there
        assert stop(storage, study.name).ending is Ending.STOPPED
        assert collect(storage, study.name) == Collected(models=0, checkpoints=0)  # so it does once it is resumed

    def test_what_a_retry_can_go_on_from_stays(self, storage: LedgerStorage, study: StudyRecord) -> None:
        """A user wants it tried again, so it is not settled any more."""
        failed = _end(storage, study, Reason.TIMEOUT)
        self._leave(study, failed.number, checkpoint_file(3))
        retry(storage, study.name)
        assert collect(storage, study.name) == Collected(models=0, checkpoints=0)
        assert self._names(study, failed.number) == {checkpoint_file(3)}


def test_rows_that_were_withdrawn_and_wait_again_make_room_too(storage: LedgerStorage, study: StudyRecord) -> None:
    """Nobody has drawn them, although they are no first attempts."""
    _beat(storage, study, "w1")
    storage.insert_attempts(study.study_id, [NewAttempt(one, 0) for one in range(4)])
    stop(storage, study.name)
    resume(storage, study.name)
    assert _waiting(storage, study) == [(one, 1) for one in range(4)]
    assert enqueue(storage, study.name, {"units": 7}) == 0
    claim = storage.claim(study.study_id, "w1", lease_s=60.0, code="c0de")
    assert claim is not None
    assert (claim.configuration, claim.params) == (0, {"units": 7})


def test_nothing_is_inserted_into_a_study_that_was_deleted(storage: LedgerStorage, study: StudyRecord) -> None:
    """Whoever reconciled it in that moment goes on."""
    storage.delete_study(study.study_id)
    assert storage.insert_attempts(study.study_id, [NewAttempt(3, 0)]) == 0
    assert storage.insert_attempts(study.study_id, [NewAttempt(0, 1, params_of=1)]) == 0


def test_limits_of_a_study_that_runs_may_change(storage: LedgerStorage, study: StudyRecord) -> None:
    """A worker reads them with its next claim; what a trial means may not change."""
    extend(storage, study.name, changes={"limits": {"stalled_s": 3600.0}})
    changed = storage.study(study.name)
    assert changed.spec.limits == study.spec.limits.model_copy(update={"stalled_s": 3600.0})
    assert changed.budget == study.budget
    with pytest.raises(StudyExistsError, match="seed: recorded 0, received 1"):
        extend(storage, study.name, changes={"limits": {"stalled_s": 60.0}, "seed": 1})
    assert storage.study(study.name) == changed
