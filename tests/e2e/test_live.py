"""What those hear who do not ask: every epoch as it ends, and notices."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.e2e.tuner import Tuner
from tests.receiver import receiving
from tuner_service.bootstrap import open_storage
from tuner_service.storage.redis.live import RedisLive
from tuner_service.storage.url import StorageUrl


def test_epochs_and_notices_reach_those_who_want_them(
    tuner: Tuner, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two workers' trials every epoch with its metrics is in the stream, and the end is told once."""
    study = tuner.add_study("digits")
    monkeypatch.setenv("TUNER_LIVE", redis_url)
    with receiving() as receiver:
        monkeypatch.setenv("TUNER_WEBHOOK", receiver.url)
        tuner("run", study, "--workers", "2", "--slots", "1", "--set", "trials=4")
    told = [sent["event"] for _, sent in receiver.received]
    assert told.count("finished") == 1
    assert receiver.received[-1][1]["best"] is not None
    with closing(open_storage(tuner.storage)) as storage:
        (record,) = storage.studies()
        trained = {(one.number, one.epoch) for one in storage.attempts(record.study_id)}
    with closing(RedisLive(StorageUrl.parse(redis_url))) as live:
        epochs = [epoch for _, epoch in live.read(record.probe, "0") or []]
    assert {(number, max(one.epoch for one in epochs if one.trial == number)) for number, _ in trained} == trained
    assert all({"loss", "val_loss"} <= epoch.metrics.keys() for epoch in epochs)
