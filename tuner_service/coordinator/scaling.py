"""How many workers a study can use, and giving it as many where somebody can: on a cluster."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tuner_service.domain.attempt import Attempt, settlements
from tuner_service.domain.outcome import State
from tuner_service.domain.study import Control, StudyRecord
from tuner_service.errors import ClusterError, StudyNotFoundError
from tuner_service.storage.ledger_storage import LedgerStorage

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ElasticPool:
    """The workers of a study where their number may change; they are called NAME-0-..., NAME-1-... and so on."""

    study: str
    name: str
    workers: int  #: how many there are, or are on their way
    slots: int  #: of each, of which a trial takes as many as it takes GPUs
    minimum: int
    maximum: int

    def busy(self, owners: Iterable[str | None]) -> set[int]:
        """Return the numbers of those workers that are among the owners of trials.

        >>> sorted(ElasticPool("bowl", "tuner-bowl", 9, 1, 1, 9).busy(["tuner-bowl-3-x7k2p", "tuner-bowl-7-0-b", "me"]))
        [3, 7]
        """
        found = (re.match(rf"{re.escape(self.name)}-(\d+)-", owner or "") for owner in owners)
        return {int(one[1]) for one in found if one is not None}


class Scaler(Protocol):
    """Whoever can start workers and end them, those with the highest numbers first."""

    def pools(self) -> Sequence[ElasticPool]:
        """Return the pools whose size is for this service to choose, or raise ``ClusterError``."""

    def resize(self, pool: ElasticPool, workers: int) -> None:
        """Make it so many, or raise ``ClusterError``."""


def desired_workers(slots: int, pool: ElasticPool, busy: Collection[int]) -> int:
    """Return how many workers have together so many slots, within the pool's limits.

    A worker that trains is not ended for it, nor is one with a lower number, since the highest go first.

    >>> desired_workers(5, ElasticPool("bowl", "tuner-bowl", 8, slots=2, minimum=1, maximum=8), busy={0, 4})
    5
    """
    wanted = -(-slots // pool.slots)
    return max(min(max(wanted, pool.minimum), pool.maximum), *(number + 1 for number in busy), 0)


def open_trials(study: StudyRecord, attempts: Sequence[Attempt]) -> int:
    """Return how many configurations could be trained at once: those that are not settled.

    Where nothing new may start, as in a study that is paused, they are those that run. Where a stopping rule ends the
    study earlier, the workers end with it.
    """
    running = sum(one.state is State.RUNNING for one in attempts)
    if study.ending is not None or study.control is not Control.RUN:
        return running
    return max(study.budget - len(settlements(attempts, study.spec.max_attempts)), running)


def scale(storage: LedgerStorage, scaler: Scaler) -> None:
    """Look once at all elastic pools, and give each study as many workers as it can use.

    One whose study has ended is left alone: its workers end by themselves. One that the cluster refuses to change
    stands in no other's way.

    Raises:
        StorageError: If the storage does not answer.
    """
    try:
        pools = scaler.pools()
    except ClusterError as error:
        _log.warning("%s; trying again", error)
        return
    for pool in pools:
        try:
            study = storage.study(pool.study)
            if study.ending is None:
                _scale(storage, scaler, pool, study)
        except StudyNotFoundError:
            continue
        except ClusterError as error:
            _log.warning("%s; trying again", error)


def _scale(storage: LedgerStorage, scaler: Scaler, pool: ElasticPool, study: StudyRecord) -> None:
    attempts = storage.attempts(study.study_id)
    busy = pool.busy(one.owner for one in attempts if one.state is State.RUNNING)
    wanted = desired_workers(open_trials(study, attempts) * study.spec.devices_per_trial, pool, busy)
    if wanted != pool.workers:
        _log.info("study %s: %d workers instead of %d", study.name, wanted, pool.workers)
        scaler.resize(pool, wanted)
