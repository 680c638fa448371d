"""What the contract tests do from several processes at once."""

from __future__ import annotations

import time
from multiprocessing.synchronize import Barrier

from tuner_service.bootstrap import open_storage
from tuner_service.storage.ledger_storage import Draw

_barrier: Barrier | None = None


def enter(barrier: Barrier) -> None:
    """Keep the point at which all processes meet before they begin."""
    global _barrier  # noqa: PLW0603 - a process gets it once
    _barrier = barrier


def _meet() -> None:
    assert _barrier is not None
    _barrier.wait(timeout=60)


def make_tables(url: str) -> None:
    """Make the tables of a storage, and look at them."""
    storage = open_storage(url)
    _meet()
    storage.create_tables()
    storage.check_tables()
    storage.close()


def claim_all(url: str, study_name: str, worker_id: str) -> list[tuple[int, int]]:
    """Claim until nothing waits, and return what was claimed: configurations and attempts."""
    storage = open_storage(url)
    study = storage.study(study_name)
    claimed = []
    _meet()
    while (claim := storage.claim(study.study_id, worker_id, lease_s=60.0, code="c0de")) is not None:
        claimed.append((claim.configuration, claim.attempt))
        # As in a worker: between two claims others have their turn.
        time.sleep(0.001)
    storage.close()
    return claimed


def insert_all(url: str, study_name: str, configurations: int) -> int:
    """Insert a first attempt of each configuration, and return how many were inserted here."""
    from tuner_service.domain.attempt import NewAttempt

    storage = open_storage(url)
    study = storage.study(study_name)
    _meet()
    inserted = storage.insert_attempts(study.study_id, [NewAttempt(one, 0) for one in range(configurations)])
    storage.close()
    return inserted


def draw_the_same(url: str, trial_id: int, distribution: str) -> bool:
    """Write the parameters that all others write too, and return whether they were written."""
    storage = open_storage(url)
    _meet()
    written = storage.record_draw(
        trial_id, "w1", Draw({"units": (3.0, distribution)}, {}, {}, "digest"), unless_repeated=True
    )
    storage.close()
    return written
