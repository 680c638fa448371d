"""Live metrics in Redis: a bounded stream a study."""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tuner_service.storage.live import LiveEpoch
from tuner_service.storage.url import StorageUrl

_log = logging.getLogger(__name__)

#: Epochs that a stream keeps, roughly, and how long nobody may write to it before it goes, in seconds.
_KEPT, _KEPT_S = 10_000, 7 * 86_400
#: Longest answer of the server, and pause after it gave none, in seconds.
_TIMEOUT_S, _PAUSE_S = 1.0, 5.0
#: Epochs that wait to be sent; more are dropped.
_WAITING = 1_000
#: Epochs of one reading.
_PIECE = 1_000


class RedisLive:
    """See ``LiveMetrics``. What is published is sent by a thread of its own, which starts with the first epoch."""

    def __init__(self, url: StorageUrl) -> None:
        self._url = url
        self._client = redis.Redis.from_url(
            url.secret_text,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        self._waiting: queue.Queue[tuple[str, LiveEpoch] | None] = queue.Queue(_WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_away = False

    def publish(self, stream: str, epoch: LiveEpoch) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._send_all, name="live", daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait((stream, epoch))
        except queue.Full:
            return  # the server is slow: whoever watches sees the next ones

    def read(self, stream: str, after: str) -> list[tuple[str, LiveEpoch]] | None:
        try:
            entries = cast(Any, self._client.xrange(_key(stream), f"({after}", count=_PIECE))
        except redis.RedisError as error:
            self._away(error)
            return None
        self._is_away = False
        return [(number, _epoch(fields)) for number, fields in entries]

    def close(self) -> None:
        if self._thread is not None:
            try:
                self._waiting.put_nowait(None)
                self._thread.join(_TIMEOUT_S)
            except queue.Full:
                _log.debug("it is away, and does not get what waits")
        self._client.close()

    def _send_all(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            stream, epoch = waiting
            fields = {
                "trial": epoch.trial,
                "epoch": epoch.epoch,
                "run": epoch.run,
                "metrics": json.dumps(dict(epoch.metrics)),
            }
            try:
                with self._client.pipeline(transaction=False) as pipe:
                    pipe.xadd(_key(stream), cast(Any, fields), maxlen=_KEPT, approximate=True)
                    pipe.expire(_key(stream), _KEPT_S)
                    pipe.execute()
                self._is_away = False
            except redis.RedisError as error:
                self._away(error)
                time.sleep(_PAUSE_S)

    def _away(self, error: redis.RedisError) -> None:
        """Say once that it is away."""
        if not self._is_away:
            self._is_away = True
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            _log.warning("live metrics in %s are left out until it answers: %s", self._url, reason)


def _key(stream: str) -> str:
    return f"tuner:live:{stream}"


def _epoch(fields: dict[str, str]) -> LiveEpoch:
    return LiveEpoch(int(fields["trial"]), int(fields["epoch"]), int(fields["run"]), json.loads(fields["metrics"]))
