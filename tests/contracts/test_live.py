"""Live metrics in Redis: whole while it is there, worth nothing once it is not."""

from __future__ import annotations

import logging
import math
import time
from contextlib import closing

import pytest
import redis

from tests.e2e.tuner import until
from tests.servers import RedisServer, free_port
from tuner_service.storage.live import LiveEpoch
from tuner_service.storage.redis import live as module
from tuner_service.storage.redis.live import RedisLive
from tuner_service.storage.url import StorageUrl


def _epoch(number: int) -> LiveEpoch:
    return LiveEpoch(trial=3, epoch=number, run=0, metrics={"loss": 1.0 / (number + 1), "val_loss": math.inf})


def test_what_is_published_is_read_once(redis_url: str) -> None:
    """In its order, by another process too; who has read goes on after that; each study has its own."""
    with (
        closing(RedisLive(StorageUrl.parse(redis_url))) as worker,
        closing(RedisLive(StorageUrl.parse(redis_url))) as server,
    ):
        for number in range(5):
            worker.publish("study", _epoch(number))
        found = until("all are there", lambda: [one for one in [server.read("study", "0")] if one and len(one) == 5])[0]
        assert [epoch for _, epoch in found] == [_epoch(number) for number in range(5)]
        assert server.read("study", found[3][0]) == found[4:]
        assert server.read("study", found[4][0]) == []
        assert server.read("another", "0") == []


def test_a_stream_is_bounded(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its length, roughly, and in how long it outlives its study."""
    monkeypatch.setattr(module, "_KEPT", 100)
    with closing(RedisLive(StorageUrl.parse(redis_url))) as worker, redis.Redis.from_url(redis_url) as server:
        for number in range(900):
            worker.publish("study", _epoch(number))
        until(
            "the last is there",
            lambda: worker.read("study", "0") and (worker.read("study", "0") or [])[-1][1].epoch == 899,
        )
        assert 100 <= server.xlen("tuner:live:study") < 400
        assert 0 < server.ttl("tuner:live:study") <= 7 * 86_400


def test_a_server_that_is_away_costs_nothing_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Publishing returns at once, however much there is; reading says that it is away; the password is not told."""
    url = StorageUrl.parse(f"redis://:c4n4ry@127.0.0.1:{free_port()}/0")
    with caplog.at_level(logging.DEBUG, "tuner_service"), closing(RedisLive(url)) as live:
        for number in range(5 * module._WAITING):
            live.publish("study", _epoch(number))
        assert live.read("study", "0") is None
        assert live.read("study", "0") is None
    (said,) = [message for message in caplog.messages if "left out" in message]
    assert "redis://:***@127.0.0.1" in said
    assert "c4n4ry" not in caplog.text


def test_a_server_that_comes_back_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was trained meanwhile is not missed by anybody."""
    monkeypatch.setattr(module, "_PAUSE_S", 0.05)
    port = free_port()
    with closing(RedisLive(StorageUrl.parse(f"redis://127.0.0.1:{port}/0"))) as live:
        live.publish("study", _epoch(0))
        with RedisServer(port=port):
            until("it is back", lambda: live.read("study", "0") is not None)
            time.sleep(0.1)
            live.publish("study", _epoch(1))
            until("it is used", lambda: live.read("study", "0"))
