"""Workers in the database: announced by their beats."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select, update

from tuner_service.domain.study import Control
from tuner_service.domain.worker import Progress, WorkerInfo
from tuner_service.storage import tables as t
from tuner_service.storage.ledger_storage import Heard
from tuner_service.storage.sql import attempts
from tuner_service.storage.sql.engine import clock, insert
from tuner_service.storage.sql.studies import see

_ours = t.tuner_workers


def beat(connection: Connection, worker: WorkerInfo, progress: Sequence[Progress]) -> Heard:
    """Announce a worker, renew what it holds, and return what it has to know."""
    study = connection.execute(
        select(t.tuner_studies.c.control, t.tuner_studies.c.ending).where(t.tuner_studies.c.study_id == worker.study_id)
    ).one_or_none()
    if study is None:
        return Heard(frozenset(), Control.STOP, ended=True)
    now = clock(connection)
    changing = {
        "beat_at": now,
        "slots": worker.slots,
        "lease_s": worker.lease_s,
        "beat_s": worker.beat_s,
        "stopped": worker.stopped,
    }
    new = insert(connection, _ours).values(
        worker_id=worker.worker_id,
        study_id=worker.study_id,
        host=worker.host,
        pid=worker.pid,
        started_at=now,
        **changing,
    )
    connection.execute(new.on_conflict_do_update(index_elements=["worker_id"], set_=changing))
    held = attempts.renew(connection, worker.worker_id, worker.lease_s, progress)
    # At last: all workers beat into this one row, and one that is frozen while it holds the row keeps them from it.
    see(connection, worker.study_id)
    return Heard(held, Control(study.control), ended=study.ending is not None)


def mark_stopped(connection: Connection, worker_id: str) -> None:
    """Record that a worker is gone."""
    connection.execute(update(_ours).where(_ours.c.worker_id == worker_id).values(stopped=True))


def read(connection: Connection, study_id: int) -> list[WorkerInfo]:
    """Return a study's workers, the oldest first."""
    rows = connection.execute(select(_ours).where(_ours.c.study_id == study_id).order_by(_ours.c.started_at))
    return [WorkerInfo(**row._mapping) for row in rows]
