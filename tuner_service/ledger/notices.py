"""Notices to a web address: a new best, and that a study has ended.

What there is to tell is worked out from the rows each time, by whoever reconciles. Who tells it notes so in the storage
first, so that nobody else does; a receiver that is away for longer than three tries misses it.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from tuner_service.domain.attempt import Attempt, best_attempt
from tuner_service.domain.study import StudyRecord
from tuner_service.errors import StorageError
from tuner_service.storage.ledger_storage import LedgerStorage

_log = logging.getLogger(__name__)

#: An end that was longer ago, in seconds, is no news: nobody told of it because nobody was asked to.
NEWS_S = 3600.0
_TIMEOUT_S = 5.0
#: Pauses before the second and the third try, in seconds.
_PAUSES_S = (1.0, 5.0)


@dataclass(frozen=True)
class Notice:
    """Something that users want to hear of once."""

    key: str  #: what it is called in the storage, once for each study
    content: Mapping[str, object]  #: JSON


def notices(study: StudyRecord, attempts: Sequence[Attempt], now: float) -> list[Notice]:
    """Return what there is to tell of a study, whether it was told or not."""
    ended_at = study.ended_at or 0.0
    if study.ending is not None and now - ended_at > NEWS_S:
        return []
    found = []
    best = best_attempt(attempts, study.spec.better) if len(study.spec.metrics) == 1 else None
    reached = {} if best is None else {"trial": best.number, "value": best.value}
    words = "" if best is None else f"{study.spec.metrics[0]} {best.value:.5g} in trial {best.number}"
    if best is not None:
        text = f"{study.name}: new best {words}"
        found.append(Notice(f"best {best.number}", _content("best", study, text, reached)))
    if study.ending is not None:
        why = f", {study.ending_message}" if study.ending_message else ""
        text = f"{study.name}: {study.ending}{why}" + (f"; best {words}" if words else "")
        found.append(Notice(f"ended {ended_at}", _content(study.ending, study, text, reached)))
    return found


def _content(event: str, study: StudyRecord, text: str, best: Mapping[str, object]) -> Mapping[str, object]:
    return {"version": 1, "event": str(event), "study": study.name, "text": text, "best": best or None}


class Webhook:
    """Sends to a web address from a thread of its own. The address may be a secret: nothing here ever says it.

    Raises:
        StorageError: If it is no web address.
    """

    def __init__(self, url: str) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not url.isascii() or not url.isprintable() or " " in url:
            raise StorageError("TUNER_WEBHOOK is no web address; it begins with https:// or http://")
        self._url = url
        self._waiting: queue.SimpleQueue[Mapping[str, object] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def send(self, content: Mapping[str, object]) -> None:
        """Send a notice as soon as may be; nobody waits for it."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._send_all, name="webhook", daemon=True)
            self._thread.start()
        self._waiting.put(content)

    def close(self, timeout_s: float) -> None:
        """Wait until all is sent, for as long as this."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(timeout_s)

    def _send_all(self) -> None:
        while (content := self._waiting.get()) is not None:
            for pause in (*_PAUSES_S, None):
                reason = self._try(content)
                if reason is None:
                    break
                if pause is None:
                    _log.warning("the notice %r could not be delivered: %s", content["text"], reason)
                else:
                    time.sleep(pause)

    def _try(self, content: Mapping[str, object]) -> str | None:
        """Deliver, and return why that was not possible, without what the error may say of the address."""
        request = urllib.request.Request(  # noqa: S310 - checked above
            self._url, json.dumps(content).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310
                return None
        except urllib.error.HTTPError as error:
            error.close()
            return f"it answers {error.code}"
        except Exception as error:
            # Whatever comes of somebody else's server; the messages of some errors hold the address.
            return type(getattr(error, "reason", None) or error).__name__


class Notifier:
    """Tells what has not been told of studies."""

    def __init__(self, storage: LedgerStorage, webhook: Webhook) -> None:
        self._storage = storage
        self._webhook = webhook
        self._told: set[tuple[int, str]] = set()

    def look(self, study: StudyRecord, attempts: Sequence[Attempt], now: float) -> None:
        """Tell what is new, unless somebody else does."""
        for notice in notices(study, attempts, now):
            known = (study.study_id, notice.key)
            if known not in self._told:
                if self._storage.note_told(study.study_id, notice.key):
                    self._webhook.send(notice.content)
                self._told.add(known)

    def has_told_end(self, study: StudyRecord, now: float) -> bool:
        """Return whether there is nothing more to tell of a study that has ended."""
        ended_at = study.ended_at or 0.0
        return now - ended_at > NEWS_S or (study.study_id, f"ended {ended_at}") in self._told

    def close(self) -> None:
        """Wait until all is sent, but not for ever."""
        self._webhook.close(_TIMEOUT_S)
