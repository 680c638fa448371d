"""Workers of a study on Redis: their beats, the leases of their trials, and from when on these may be judged."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import cast

from optuna.trial import TrialState

from tuner_service.domain.study import Control
from tuner_service.domain.worker import Progress, WorkerInfo
from tuner_service.storage.ledger_storage import Heard
from tuner_service.storage.redis import rows
from tuner_service.storage.redis.journal import unavailable
from tuner_service.storage.redis.studies import RedisStudies, study_key

#: What a worker's beat is taken to be where none is known, in seconds.
_BEAT_S = 10.0
#: A beat and an expiry of one trial exclude each other: either may take a lease that has run out, and only its own one
#: that has not. Returns whether it is the caller's now.
_LEASE = """
local owner = redis.call('get', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
return 1
"""


def lease_key(trial_id: int) -> str:
    """Return the key of whose a running trial is; it is gone once the lease has run out."""
    return f"tuner:lease:{trial_id}"


def progress_key(study_id: int) -> str:
    """Return the key of the hash of how far running trials are."""
    return f"tuner:progress:{study_id}"


def seen_key(study_id: int) -> str:
    """Return the key of the hash of when the server was last seen by whom looks after a study."""
    return f"tuner:seen:{study_id}"


def workers_key(study_id: int) -> str:
    """Return the key of the hash of a study's workers, by their ids."""
    return f"tuner:workers:{study_id}"


class RedisWorkers(RedisStudies):
    """The part of ``LedgerStorage`` that is about workers."""

    def beat(self, worker: WorkerInfo, progress: Sequence[Progress]) -> Heard:
        self.see(worker.study_id)
        now = self.now()
        with unavailable(self._url):
            text = cast(bytes | None, self._client.get(study_key(worker.study_id)))
            if text is None:
                return Heard(frozenset(), Control.STOP, ended=True)
            key = workers_key(worker.study_id)
            known = cast(bytes | None, self._client.hget(key, worker.worker_id))
            started_at = now if known is None else json.loads(known)["started_at"]
            announced = dataclasses.replace(worker, started_at=started_at, beat_at=now)
            self._client.hset(key, worker.worker_id, json.dumps(dataclasses.asdict(announced)))
            mine = self._held(worker.study_id, worker.worker_id) & {one.trial_id for one in progress}
            held = frozenset(one for one in mine if self._take_lease(one, worker.worker_id, worker.lease_s))
            for one in progress:
                if one.trial_id in held:
                    fields = {**dataclasses.asdict(one), "value": rows.finite(one.value)}
                    self._client.hset(progress_key(worker.study_id), str(one.trial_id), json.dumps(fields))
        study = rows.study_from_json(text)
        return Heard(held, study.control, ended=study.ending is not None)

    def _take_lease(self, trial_id: int, owner: str, lease_s: float) -> bool:
        """Take or renew the lease of a trial, unless it is another's, and return whether it is this owner's now."""
        with unavailable(self._url):
            return bool(self._client.eval(_LEASE, 1, lease_key(trial_id), owner, str(max(round(lease_s * 1000), 1))))

    def release(self, worker_id: str) -> None:
        for study in self.studies():
            held = self._held(study.study_id, worker_id)
            with unavailable(self._url):
                if held:
                    self._client.delete(*[lease_key(trial_id) for trial_id in held])
                key = workers_key(study.study_id)
                known = cast(bytes | None, self._client.hget(key, worker_id))
                if known is not None:
                    self._client.hset(key, worker_id, json.dumps({**json.loads(known), "stopped": True}))

    def see(self, study_id: int) -> float:
        judge_from, now = self._judge_from(study_id)
        with unavailable(self._url):
            if judge_from > now:
                self._client.hset(seen_key(study_id), "judge_from", repr(judge_from))
            self._client.hset(seen_key(study_id), "seen_at", repr(now))
        return judge_from

    def _judge_from(self, study_id: int) -> tuple[float, float]:
        """Return the time from which on leases may be judged, as it is after a look now, and that time."""
        workers = self.workers(study_id)
        with unavailable(self._url):
            seen, judge_from = cast(
                list[bytes | None], self._client.hmget(seen_key(study_id), ["seen_at", "judge_from"])
            )
        now = self.now()
        seen_at = now if seen is None else float(seen)
        # Those that lived when the server was last seen: by now none has given a sign of life, if it was away.
        lived = [one for one in workers if not one.stopped and one.beat_at + one.lease_s >= seen_at]
        patience = 2 * max((one.beat_s for one in lived), default=_BEAT_S)
        # An outage in which a lease ran out is one, however seldom others beat.
        if now - seen_at > min([patience, *(one.lease_s for one in lived)]):
            return now + patience, now
        return float(judge_from or 0.0), now

    def workers(self, study_id: int) -> list[WorkerInfo]:
        with unavailable(self._url):
            texts = cast(list[bytes], self._client.hvals(workers_key(study_id)))
        return sorted((WorkerInfo(**json.loads(text)) for text in texts), key=lambda one: one.started_at)

    def _held(self, study_id: int, worker_id: str) -> frozenset[int]:
        running = [one for one in self._trials(study_id) if one.state is TrialState.RUNNING]
        return frozenset(
            one._trial_id for one in running if one.system_attrs.get(rows.CLAIM, {}).get("owner") == worker_id
        )
