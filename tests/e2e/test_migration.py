"""Tables that are migrated by a newer program while a study runs."""

from __future__ import annotations

from contextlib import closing

import pytest
from sqlalchemy import text

from tests.e2e.tuner import Tuner, until
from tuner_service.bootstrap import open_storage
from tuner_service.storage import tables
from tuner_service.storage.sql.migration import STEPS


def test_a_study_stops_where_its_tables_become_newer(tuner: Tuner, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs is recorded; then worker and coordinator end with what to do, since starting them again is no use."""
    # While one slot finds out, the other trains.
    tuner.add_study(
        "hill", change=lambda text: text.replace("time.sleep(0.3)", "time.sleep(2.0 if units > 64 else 0.3)")
    )
    tuner("create", "studies/hill.py")
    with (
        tuner.start("coordinator", "--period", "0.2") as coordinator,
        tuner.start("worker", "hill", "--slots", "2", "--beat", "1") as worker,
    ):
        until("a trial has ended", lambda: any(state == "COMPLETE" for _, _, state, _, _ in tuner.attempts()))
        with monkeypatch.context() as newer, closing(open_storage(tuner.storage)) as storage:
            newer.setattr(tables, "SCHEMA_VERSION", 5)
            newer.setitem(STEPS, 4, lambda connection: connection.execute(text("CREATE TABLE tuner_new (id INTEGER)")))
            assert storage.migrate_tables() == 4
        stopped = {"worker": worker.wait(), "coordinator": coordinator.wait()}
    assert {name: result.code for name, result in stopped.items()} == {"worker": 78, "coordinator": 2}
    for result in stopped.values():
        assert "has tables of version 5, this program works with version 4; a newer tuner-service" in result.err
    assert {reason for _, _, _, reason, owner in tuner.attempts() if owner is not None} == {"finished"}
    assert "has tables of version 5" in tuner("create", "studies/hill.py", code=2).err
