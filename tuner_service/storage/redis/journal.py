"""Optuna's journal in Redis, in Optuna's own format, read in pieces and never unpickled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import redis
from optuna.storages.journal import BaseJournalBackend

from tuner_service.errors import StorageUnavailableError
from tuner_service.storage.url import StorageUrl

# The keys of Optuna's JournalRedisBackend with its default prefix, so that optuna-dashboard opens the same database.
_COUNT = ":log_number"
_ENTRY = ":log:"
_PIECE = 1000

#: An entry gets its number and its content in one step, so that no reader finds a gap.
_APPEND = f"""
for _, entry in ipairs(ARGV) do
    if redis.call('exists', '{_COUNT}') == 0 then redis.call('set', '{_COUNT}', -1) end
    redis.call('set', '{_ENTRY}' .. redis.call('incr', '{_COUNT}'), entry)
end
"""


class RedisJournal(BaseJournalBackend):
    """A journal without snapshots.

    Optuna's own backend unpickles what the server sends, which runs whatever somebody has put there, and waits for
    ever where an entry is missing.
    """

    def __init__(self, client: redis.Redis, url: StorageUrl) -> None:
        self._client = client
        self._url = url

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        with unavailable(self._url):
            count = cast(bytes | None, self._client.get(_COUNT))
            last = -1 if count is None else int(count)
            if last + 1 < log_number_from:
                raise StorageUnavailableError(
                    f"the storage {self._url} has lost what was written to it: entry {log_number_from - 1} was read "
                    f"before, and {last} is the last now. Restore it from its append-only file, or begin anew"
                )
            for start in range(log_number_from, last + 1, _PIECE):
                numbers = range(start, min(start + _PIECE, last + 1))
                entries = cast(list[bytes | None], self._client.mget([f"{_ENTRY}{number}" for number in numbers]))
                for number, entry in zip(numbers, entries, strict=True):
                    if entry is None:
                        raise StorageUnavailableError(f"the storage {self._url} has lost entry {number} of its journal")
                    yield json.loads(entry)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        with unavailable(self._url):
            self._client.eval(_APPEND, 0, *[json.dumps(log) for log in logs])


@contextmanager
def unavailable(url: StorageUrl) -> Iterator[None]:
    """Tell the client's errors in this service's words.

    Raises:
        StorageUnavailableError: If the server does not answer, or refuses.
    """
    try:
        yield
    except redis.RedisError as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise StorageUnavailableError(
            f"the storage {url} cannot be used: {reason}. Check that it runs and that the URL is right"
        ) from error
