"""The thin part that acts: reads a study's rows, plans, and does what the plan says.

Any number of processes may do so at once and die anywhere: each action looks again, in its own transaction, whether it
still applies, and the next pass works out afresh what is missing.
"""

from __future__ import annotations

import logging

from tuner_service.domain.outcome import Reason
from tuner_service.domain.study import Control, StudyRecord
from tuner_service.ledger.history import Histories
from tuner_service.ledger.notices import Notifier
from tuner_service.ledger.plan import Action, CancelRunning, End, Enqueue, Expire, Withdraw, plan
from tuner_service.storage.ledger_storage import LedgerStorage

_log = logging.getLogger(__name__)

#: Passes after which a study is left to the next call: expire, enqueue, end.
_MAX_PASSES = 4


def reconcile(
    storage: LedgerStorage, name: str, histories: Histories | None = None, notifier: Notifier | None = None
) -> StudyRecord:
    """Bring a study's rows to what its budget asks for, and return its record.

    Args:
        storage: Where the study is.
        name: Its name.
        histories: What this process has read before; without it everything is read.
        notifier: Sees the rows too, and tells what is new.
    """
    histories = histories or Histories(storage)
    for _ in range(_MAX_PASSES):
        study = storage.study(name)
        actions = _plan(storage, study, histories, notifier)
        if any(isinstance(action, End) for action in actions):
            # What ends a study is worked out from all its rows.
            actions = _plan(storage, study, histories, anew=True)
        if not actions:
            return study
        _act(storage, study, actions)
        if all(isinstance(action, Enqueue) for action in actions):
            return study
    return storage.study(name)


def _plan(
    storage: LedgerStorage,
    study: StudyRecord,
    histories: Histories,
    notifier: Notifier | None = None,
    *,
    anew: bool = False,
) -> list[Action]:
    judge_from = storage.see(study.study_id)
    now = storage.now()
    slots = sum(worker.slots for worker in storage.workers(study.study_id) if worker.alive(now))
    with histories.current(study, anew=anew) as history:
        actions = plan(study, history, slots=slots, now=now, judge_from=judge_from)
        attempts = history.attempts if notifier is not None else []
    if notifier is not None:
        notifier.look(study, attempts, now)
    return actions


def _act(storage: LedgerStorage, study: StudyRecord, actions: list[Action]) -> None:
    storage.insert_attempts(study.study_id, [action.new for action in actions if isinstance(action, Enqueue)])
    storage.withdraw([action.trial_id for action in actions if isinstance(action, Withdraw)])
    for action in actions:
        match action:
            case Expire(trial_id, reason):
                if storage.expire(trial_id, reason):
                    becomes = "given up" if reason is Reason.LOST else "run again"
                    _log.warning("a worker of %s was lost; its trial is %s", study.name, becomes)
            case CancelRunning(message):
                storage.set_control(study.study_id, Control.CANCEL, message, seen=study)
            case End(ending, message) if storage.end_study(study.study_id, ending, message, seen=study):
                _log.info("study %s: %s%s", study.name, ending, f", {message}" if message else "")
