"""What users want of a study while it runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tuner_service.domain.attempt import NewAttempt, Param, by_configuration, is_undrawn, settlements
from tuner_service.domain.ending import reached
from tuner_service.domain.outcome import State
from tuner_service.domain.sampler import is_exhaustive
from tuner_service.domain.study import Control, Ending, StudyRecord
from tuner_service.errors import NotInStudyError, SpecError, StoppedByRuleError
from tuner_service.ledger.reconcile import reconcile
from tuner_service.search.space import check_point
from tuner_service.storage.artifacts import Artifacts
from tuner_service.storage.ledger_storage import LedgerStorage


def pause(storage: LedgerStorage, name: str) -> StudyRecord:
    """Let no further trial be claimed; running ones go on to their end."""
    return _set(storage, name, Control.PAUSE)


def resume(storage: LedgerStorage, name: str) -> StudyRecord:
    """Let a study go on that was paused or stopped, or that ended by its errors, its time or for want of progress.

    Raises:
        StoppedByRuleError: If a stopping rule would end it again at once.
    """
    check_may_go_on(storage, storage.study(name))
    return _set(storage, name, Control.RUN)


def stop(storage: LedgerStorage, name: str) -> StudyRecord:
    """End a study once its running trials have finished."""
    return _set(storage, name, Control.STOP)


def cancel(storage: LedgerStorage, name: str) -> StudyRecord:
    """End a study and its running trials now; ``resume`` tries those again."""
    return _set(storage, name, Control.CANCEL)


def retry(storage: LedgerStorage, name: str, numbers: Collection[int] | None = None) -> list[int]:
    """Try configurations again that have failed for good, and return their trials' numbers.

    Args:
        storage: Where the study is.
        name: Its name.
        numbers: Trials of these configurations; all that failed, without them.

    Raises:
        NotInStudyError: If a trial is not there, or its configuration has not failed.
        StoppedByRuleError: If a stopping rule lets nothing start any more.
    """
    study = storage.study(name)
    attempts = storage.attempts(study.study_id)
    grouped = by_configuration(attempts)
    settled = settlements(attempts, study.spec.max_attempts)
    failed = {configuration: last for configuration, last in settled.items() if last.state is State.FAIL}
    configurations = {one.number: configuration for configuration, mine in grouped.items() for one in mine}
    wrong = [one for one in numbers or [] if configurations.get(one) not in failed]
    if wrong:
        raise NotInStudyError(
            f"trial {wrong[0]} of {name!r} has not failed for good, so there is nothing to retry; failed trials: "
            f"{', '.join(str(one.number) for one in failed.values()) or 'none'}"
        )
    if failed:
        check_may_go_on(storage, study)
    wanted = sorted(failed) if numbers is None else sorted({configurations[one] for one in numbers})
    new = [
        NewAttempt(one, grouped[one][-1].attempt + 1, params_of=grouped[one][-1].trial_id, forced=True)
        for one in wanted
    ]
    storage.insert_attempts(study.study_id, new)
    if new and (study.control is not Control.PAUSE or study.ending is not None):
        # One that had ended goes on; one that is paused stays so.
        storage.set_control(study.study_id, Control.RUN)
    return [failed[one].number for one in wanted]


def enqueue(storage: LedgerStorage, name: str, params: Mapping[str, Param]) -> int:
    """Have a point that the user names tried next, and return its configuration; it counts like any other.

    Raises:
        SpecError: If the study has no such parameter, the value is outside its range, or it is a grid.
        NotInStudyError: If the budget is used up, or the study has ended before.
    """
    study = storage.study(name)
    if is_exhaustive(study.spec.sampler):
        raise SpecError(
            f"{name!r} tries every cell of its search space anyway; give points=[...] to have some go first"
        )
    unknown = params.keys() - study.space.keys()
    # A trial may have come across more than the draws that were looked at first.
    others = bool(unknown) and unknown <= {known for one in storage.trials(study.study_id) for known in one.params}
    check_point(study.space, params, others=others)
    attempts = storage.attempts(study.study_id)
    taken = {one.configuration for one in attempts}
    # One whose budget is used up is told so below.
    ended = study.ending is not None and (study.ending is not Ending.FINISHED or len(taken) < study.budget)
    if ended or study.control in (Control.STOP, Control.CANCEL):
        raise NotInStudyError(
            f"{name!r} has ended, or is about to, so that nothing is tried there any more; let it go on first: "
            f"`tuner resume {name}`"
        )
    new = [
        NewAttempt(one, 0, params=params, forced=True) for one in range(study.points, study.budget) if one not in taken
    ]
    new = new[:1]
    for configuration, mine in by_configuration(attempts).items():
        # A row that waits for the sampler makes room; one with a point of its own stays.
        undrawn = configuration >= study.points and is_undrawn(mine)
        if not new and undrawn and storage.withdraw([mine[-1].trial_id]):
            new = [NewAttempt(configuration, mine[-1].attempt + 1, params=params, forced=True)]
    if not new:
        raise NotInStudyError(
            f"all {study.budget} trials of {name!r} are drawn already; make room with `tuner extend {name} --trials "
            f"{study.budget + 1}`"
        )
    if not storage.insert_attempts(study.study_id, new):
        # Somebody took that configuration in the meantime.
        return enqueue(storage, name, params)
    return new[0].configuration


def check_may_go_on(storage: LedgerStorage, study: StudyRecord) -> None:
    """Raise ``StoppedByRuleError`` if a study that has ended would end again at once, by one of its stopping rules."""
    if study.ending is None or not study.spec.stop.has_rules:
        return
    now = storage.now()
    rule = reached(study.spec, storage.attempts(study.study_id), now=now, since=now)
    if rule is not None:
        raise StoppedByRuleError.for_rule(study.name, rule.rule, rule.message)


def delete(storage: LedgerStorage, name: str) -> None:
    """Remove a study with its trials, curves and models. A worker that still trains it drops its work."""
    study = storage.study(name)
    storage.delete_study(study.study_id)
    Artifacts(study.artifacts, study.name).remove_all()


def _set(storage: LedgerStorage, name: str, control: Control) -> StudyRecord:
    storage.set_control(storage.study(name).study_id, control)
    return reconcile(storage, name)
