"""That users were told is noted once, on every backend, whoever reconciles."""

from __future__ import annotations

from tests.receiver import receiving
from tests.records import make_new_study
from tuner_service.domain.attempt import NewAttempt
from tuner_service.domain.outcome import Outcome, Reason
from tuner_service.domain.study import Ending
from tuner_service.ledger.notices import Notifier, Webhook
from tuner_service.ledger.reconcile import reconcile
from tuner_service.storage.ledger_storage import LedgerStorage


def test_a_notice_is_noted_once(storage: LedgerStorage) -> None:
    """For each study; a study that takes a deleted one's place begins anew."""
    first, second = (storage.create_study(make_new_study(name=name)) for name in ("first", "second"))
    notices = [(first, "best 1"), (first, "best 1"), (first, "best 2"), (second, "best 1")]
    assert [storage.note_told(study.study_id, notice) for study, notice in notices] == [True, False, True, True]
    storage.delete_study(second.study_id)
    again = storage.create_study(make_new_study(name="second"))
    assert storage.note_told(again.study_id, "best 1")


def test_the_end_of_a_study_is_told_once_by_those_who_reconcile(storage: LedgerStorage) -> None:
    """Who ends it tells it; another who looks later has nothing to add; after a resumption its next end is another."""
    study = storage.create_study(make_new_study(trials=1))
    with receiving() as receiver:
        notifiers = [Notifier(storage, Webhook(receiver.url)) for _ in range(2)]
        storage.insert_attempts(study.study_id, [NewAttempt(0, 0)])
        claim = storage.claim(study.study_id, "w1", lease_s=60.0, code="c0de")
        assert claim is not None
        storage.settle(claim.trial_id, "w1", Outcome(Reason.FINISHED, 0.5))
        for notifier in notifiers:
            assert reconcile(storage, study.name, notifier=notifier).ending is Ending.FINISHED
        storage.extend_study(study.study_id, 2)
        storage.end_study(study.study_id, Ending.STOPPED)
        for notifier in notifiers:
            reconcile(storage, study.name, notifier=notifier)
            notifier.close()
        told = [sent["event"] for _, sent in receiver.received]
    assert sorted(told) == ["best", "finished", "stopped"]
    assert all(notifier.has_told_end(storage.study(study.name), storage.now()) for notifier in notifiers)
