"""What this service writes itself into Optuna's tables and journal is what Optuna writes there."""

from __future__ import annotations

import warnings
from typing import Any

import optuna
import pytest
import redis
from optuna.storages._rdb.models import BaseModel
from optuna.storages.journal import JournalRedisBackend
from sqlalchemy import Enum, Table

from tuner_service.errors import StorageUnavailableError
from tuner_service.storage import tables as t
from tuner_service.storage.redis.journal import RedisJournal
from tuner_service.storage.url import StorageUrl

_OURS = [pytest.param(table, id=table.name) for table in t.optuna_metadata.sorted_tables]


def _theirs(table: Table) -> Any:
    return BaseModel.metadata.tables[table.name]


@pytest.mark.parametrize("table", _OURS)
def test_a_column_is_described_as_optuna_describes_it(table: Table) -> None:
    """Each table and column is Optuna's, of the same type, and the key is the same."""
    for column in table.columns:
        theirs = _theirs(table).columns[column.name]
        assert (repr(column.type), column.nullable) == (repr(theirs.type), theirs.nullable), column.name
    assert [one.name for one in table.primary_key] == [one.name for one in _theirs(table).primary_key]


@pytest.mark.parametrize(
    ("table", "column"),
    [
        pytest.param(table, column, id=f"{table.name}.{column.name}")
        for table in t.optuna_metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, Enum)
    ],
)
def test_an_enumeration_has_optunas_values(table: Table, column: Any) -> None:
    """In the same order, under the same name: PostgreSQL makes a type of it."""
    ours, theirs = column.type, _theirs(table).columns[column.name].type
    assert (ours.enums, ours.name) == (theirs.enums, theirs.name)


# Heartbeats are Optuna's own affair: this service deletes them, and writes none.
@pytest.mark.parametrize("table", [one for one in _OURS if one.id != t.trial_heartbeats.name])
def test_a_row_of_ours_has_all_that_optuna_needs(table: Table) -> None:
    """A column that must have a value and that this service does not know would make every insertion fail."""
    needed = {one.name for one in _theirs(table).columns if not (one.nullable or one.default or one.primary_key)}
    assert needed <= {one.name for one in table.columns}


@pytest.mark.parametrize(
    ("owner", "ours"),
    [
        pytest.param("trials.trial_id", t.OF_A_TRIAL, id="a trial"),
        pytest.param("studies.study_id", (*t.OF_A_STUDY, t.trials), id="a study"),
    ],
)
def test_deletion_knows_every_table_that_hangs_on(owner: str, ours: tuple[Table, ...]) -> None:
    """A table that Optuna adds would keep a study from being deleted."""
    theirs = {
        table.name
        for table in BaseModel.metadata.sorted_tables
        if any(key.target_fullname == owner for key in table.foreign_keys)
    }
    assert theirs == {table.name for table in ours}


@pytest.mark.parametrize("columns", [("trial_id", "key")], ids=["a trial's attribute"])
def test_what_an_upsert_relies_on_is_unique(columns: tuple[str, ...]) -> None:
    """PostgreSQL refuses ON CONFLICT without the constraint."""
    constraints = [
        tuple(one.name for one in constraint.columns) for constraint in _theirs(t.trial_user_attributes).constraints
    ]
    assert columns in constraints


class TestJournal:
    """The journal in Redis."""

    @pytest.fixture
    def ours(self, redis_url: str) -> RedisJournal:
        """Provide this service's journal."""
        return RedisJournal(redis.Redis.from_url(redis_url), StorageUrl.parse(redis_url))

    @pytest.fixture
    def theirs(self, redis_url: str) -> JournalRedisBackend:
        """Provide Optuna's journal in the same database."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return JournalRedisBackend(redis_url)

    def test_either_reads_what_the_other_wrote(self, ours: RedisJournal, theirs: JournalRedisBackend) -> None:
        """Entries have the same keys, numbers and content."""
        written = [{"op_code": 0, "text": f"entry {number} é"} for number in range(4)]
        ours.append_logs(written[:1])
        theirs.append_logs(written[1:2])
        ours.append_logs(written[2:])
        assert list(ours.read_logs(0)) == list(theirs.read_logs(0)) == written
        assert list(ours.read_logs(3)) == list(theirs.read_logs(3)) == written[3:]
        assert list(ours.read_logs(4)) == []

    def test_a_journal_is_read_across_its_pieces(self, ours: RedisJournal) -> None:
        """More entries than are read at once come in their order."""
        ours.append_logs([{"number": number} for number in range(2500)])
        assert [one["number"] for one in ours.read_logs(7)] == list(range(7, 2500))

    def test_a_study_is_the_same_for_both(self, ours: RedisJournal, theirs: JournalRedisBackend) -> None:
        """Optuna's storage over its own journal goes on with a study that was begun over this one."""
        study = optuna.create_study(storage=optuna.storages.JournalStorage(ours), study_name="digits")
        study.tell(study.ask({"x": optuna.distributions.FloatDistribution(0, 1)}), 0.5)
        again = optuna.load_study(storage=optuna.storages.JournalStorage(theirs), study_name="digits")
        assert again.best_params == study.best_params
        again.tell(again.ask(), 0.25)
        assert study.best_value == 0.25

    def test_an_entry_that_was_lost_is_not_waited_for(self, ours: RedisJournal, redis_url: str) -> None:
        """A server that forgot says so, in words; Optuna's own journal would wait for ever."""
        ours.append_logs([{"number": number} for number in range(3)])
        with redis.Redis.from_url(redis_url) as client:
            client.delete(":log:1")
            with pytest.raises(StorageUnavailableError, match="has lost entry 1 of its journal"):
                list(ours.read_logs(0))
            client.flushdb()
        with pytest.raises(StorageUnavailableError, match="has lost what was written to it: entry 2 was read before"):
            list(ours.read_logs(3))
