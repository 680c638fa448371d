"""What a worker is told when it starts."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tuner_service.errors import SpecError
from tuner_service.worker.outbox import default_folder

#: Characters of an id that the storage has room for.
_LONGEST_ID = 200


def new_worker_id() -> str:
    """Return an id that no other worker has: the host, the process and a random part."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"


def check_lease(lease_s: float, beat_s: float) -> None:
    """Raise ``SpecError`` unless a lease outlives two beats."""
    if lease_s < 2 * beat_s:
        raise SpecError(
            f"a lease of {lease_s:g} s is shorter than two beats of {beat_s:g} s, so that the trials of workers that "
            "live would be given away; lengthen --lease, or shorten --beat"
        )


@dataclass(frozen=True)
class WorkerSettings:
    """Settings of one worker process."""

    study: str  #: name of the study; of a worker that loads a file before there is one, what it reads from its input
    studies: Path  #: folder in which the study file lies
    devices: Sequence[str]  #: CUDA_VISIBLE_DEVICES of each slot
    worker_id: str = field(default_factory=new_worker_id)
    beat_s: float = 10.0  #: from one sign of life to the next
    lease_s: float = 60.0  #: how long a trial is this worker's without one
    grace_s: float = 15.0  #: how long a child may take to save its state once the worker is to stop
    idle_s: float = 1.0  #: pause of a slot that found nothing to do
    wait_s: float = 60.0  #: how long to wait for the tables and the study to be made
    file: Path | None = None  #: study file to load before the study is known, as the workers of ``tuner run`` do
    outbox: Path = field(default_factory=default_folder)  #: where outcomes wait while the storage is away

    def __post_init__(self) -> None:
        check_lease(self.lease_s, self.beat_s)
        if len(self.worker_id) > _LONGEST_ID:
            raise SpecError(f"a worker's id may have {_LONGEST_ID} characters, got {len(self.worker_id)}; shorten --id")

    @property
    def slots(self) -> int:
        """How many trials it trains at a time."""
        return len(self.devices)
