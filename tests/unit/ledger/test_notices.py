"""Notices: what there is to tell, that it is told once, and that a receiver who fails costs nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.receiver import Receiver, receiving
from tests.records import make_attempt, make_spec, make_study
from tuner_service.domain.outcome import Reason
from tuner_service.domain.study import Ending
from tuner_service.errors import StorageError
from tuner_service.ledger import notices as module
from tuner_service.ledger.notices import Notifier, Webhook, notices

_NOW = 10_000.0


def _texts(*, spec: Any = None, **study: Any) -> list[tuple[str, object]]:
    attempts = [make_attempt(0, reason=Reason.FINISHED, value=0.5), make_attempt(1, reason=Reason.FINISHED, value=0.75)]
    found = notices(make_study(spec=spec, **study), attempts, _NOW)
    return [(str(one.content["event"]), one.content["text"]) for one in found]


@pytest.mark.parametrize(
    ("study", "told"),
    [
        pytest.param({}, [("best", "digits: new best val_accuracy 0.75 in trial 1")], id="goes on"),
        pytest.param(
            {"ending": Ending.FINISHED, "ended_at": _NOW - 9},
            [
                ("best", "digits: new best val_accuracy 0.75 in trial 1"),
                ("finished", "digits: finished; best val_accuracy 0.75 in trial 1"),
            ],
            id="finished",
        ),
        pytest.param(
            {"spec": make_spec(metric=["val_accuracy", "parameters"]), "ending": Ending.FAILED, "ended_at": _NOW,
             "ending_message": "the same error 5 times in a row: E"},
            [("failed", "digits: failed, the same error 5 times in a row: E")],
            id="stopped by failures; a front has no best",
        ),
        pytest.param({"ending": Ending.FINISHED, "ended_at": _NOW - 7200}, [], id="long ago"),
    ],
)  # fmt: skip
def test_what_there_is_to_tell(study: dict[str, Any], told: list[tuple[str, object]]) -> None:
    """The best so far, and the end, with why."""
    assert _texts(**study) == told


class _Noted:
    """The part of a storage that notes what was told, for several who tell."""

    def __init__(self) -> None:
        self.noted: set[tuple[int, str]] = set()

    def note_told(self, study_id: int, notice: str) -> bool:
        """Note it."""
        is_new = (study_id, notice) not in self.noted
        self.noted.add((study_id, notice))
        return is_new


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Provide a receiver, and senders that do not wait for it to recover."""
    monkeypatch.setattr(module, "_PAUSES_S", (0.0, 0.0))
    with receiving() as server:
        yield server


def test_each_notice_is_sent_once_whoever_looks(receiver: Receiver) -> None:
    """Two processes look again and again, one begins anew; a better trial is told once more."""
    storage: Any = _Noted()
    study = make_study()
    first = [make_attempt(0, reason=Reason.FINISHED, value=0.5)]
    better = [*first, make_attempt(1, reason=Reason.FINISHED, value=0.75)]
    for attempts in (first, first, better):
        for _ in range(2):
            notifier = Notifier(storage, Webhook(receiver.url))
            notifier.look(study, attempts, _NOW)
            notifier.look(study, attempts, _NOW)
            notifier.close()
    assert [(path, sent["event"], sent["best"]) for path, sent in receiver.received] == [
        ("/c4n4ry", "best", {"trial": 0, "value": 0.5}),
        ("/c4n4ry", "best", {"trial": 1, "value": 0.75}),
    ]


@pytest.mark.parametrize(
    ("statuses", "tries", "said"),
    [
        pytest.param([500, 503], 3, [], id="recovers"),
        pytest.param([500, 500, 404], 3, ["the notice 'x' could not be delivered: it answers 404"], id="never does"),
    ],
)
def test_a_receiver_that_fails_is_tried_again_and_given_up(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, statuses: list[int], tries: int, said: list[str]
) -> None:
    """Three times; the log says so, without the address, which may be a secret."""
    receiver.statuses = statuses
    with caplog.at_level(logging.DEBUG):
        webhook = Webhook(receiver.url)
        webhook.send({"text": "x"})
        webhook.close(30.0)
    assert len(receiver.received) == tries
    assert caplog.messages == said


def test_nobody_there_is_told_without_the_address(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Only what kind of error it was."""
    monkeypatch.setattr(module, "_PAUSES_S", (0.0,))
    webhook = Webhook("http://127.0.0.1:1/c4n4ry")
    webhook.send({"text": "x"})
    webhook.close(30.0)
    assert caplog.messages == ["the notice 'x' could not be delivered: ConnectionRefusedError"]


@pytest.mark.parametrize(
    "url", ["c4n4ry", "file:///c4n4ry", "https://c4n4ry/a b", "https://c4n4ry/\n", "ftp://c4n4ry/"]
)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    """When the process starts, and without saying what it was."""
    with pytest.raises(StorageError, match="TUNER_WEBHOOK is no web address") as caught:
        Webhook(url)
    assert "c4n4ry" not in str(caught.value)
