"""The four roles on PostgreSQL, and the rights of each: what it does not need to do, the database refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum

from sqlalchemy import Connection, Table, text

from tuner_service.errors import StorageError
from tuner_service.storage import tables as t
from tuner_service.storage.sql.fence import fence_owned_by, fence_sql

#: What a worker may do beside reading: reconcile, claim, settle, and what samplers keep with studies and trials.
#: Columns are named wherever the others decide what a trial or a study is. No row can be deleted.
_WORKER: Mapping[Table, tuple[str, ...]] = {
    # Only to lock the row while trial numbers are given out. Changing the id fails: the study's directions refer to it.
    t.studies: ("UPDATE (study_id)",),
    t.study_user_attributes: ("INSERT", "UPDATE (value_json)"),
    t.study_system_attributes: ("INSERT", "UPDATE (value_json)"),
    t.trials: ("INSERT", "UPDATE (state, datetime_start, datetime_complete)"),
    t.trial_params: ("INSERT",),
    t.trial_values: ("INSERT",),
    t.trial_intermediate_values: ("INSERT", "UPDATE (intermediate_value, intermediate_value_type)"),
    t.trial_user_attributes: ("INSERT", "UPDATE (value_json)"),
    t.trial_system_attributes: ("INSERT", "UPDATE (value_json)"),
    # The fence lets it set no other control than that a stopping rule cancels what runs.
    t.tuner_studies: ("UPDATE (seen_at, judge_from, reconciled_at, ending, ending_message, ended_at, control)",),
    t.tuner_attempts: (
        "INSERT",
        "UPDATE (owner, lease_until, claimed_at, code, ended_at, reason, epoch, run, resumed_from, checkpoint, "
        "last_value, best_epoch, error, failure, environment, draw)",
    ),
    t.tuner_rungs: ("INSERT",),
    t.tuner_notices: ("INSERT",),
    t.tuner_workers: ("INSERT", "UPDATE (beat_at, slots, lease_s, beat_s, stopped)"),
}

#: What whoever creates and steers studies may do beside a worker.
_COORDINATOR: Mapping[Table, tuple[str, ...]] = {
    t.studies: ("INSERT",),
    t.study_directions: ("INSERT",),
    t.tuner_studies: ("INSERT", "UPDATE (budget, code, resumed_at, spec)"),
    t.tuner_points: ("INSERT",),
    t.tuner_scores: ("INSERT",),
}

#: Optuna's notes on its tables' version, which it reads when it is opened.
_VERSIONS = ("version_info", "alembic_version")


class Role(StrEnum):
    """Who connects to the database."""

    OWNER = "owner"  #: makes the tables and deletes studies
    COORDINATOR = "coordinator"  #: creates and steers studies
    WORKER = "worker"  #: trains their trials
    READER = "reader"  #: looks


def check_prefix(prefix: str) -> None:
    """Raise ``StorageError`` unless it can begin the names of roles.

    >>> check_prefix("tuner")
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", prefix):
        raise StorageError(
            f"the prefix of the roles may have small letters, digits and _ and at most 41 of them, got {prefix!r}"
        )


def roles_sql(prefix: str) -> list[str]:
    """Return the statements that make the roles, named ``PREFIX_owner`` and so on, and give each its rights.

    Saying them again is safe, and takes away rights that were given before and are not needed any more. They make
    groups that cannot log in: users are added to them, so no password appears here. They need the tables, and a user
    who may create roles and change the tables' owner.
    """
    names = {role: f'"{prefix}_{role}"' for role in Role}
    everyone = ", ".join(names.values())
    others = ", ".join(name for role, name in names.items() if role is not Role.OWNER)
    statements = [_create_role(f"{prefix}_{role}") for role in Role]
    statements += [
        *fence_sql("public"),
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        "DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {others}",
        f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {others}",
        f"GRANT USAGE ON SCHEMA public TO {everyone}",
        f"GRANT CREATE ON SCHEMA public TO {names[Role.OWNER]}",
        *(f"ALTER TABLE {name} OWNER TO {names[Role.OWNER]}" for name in _table_names()),
        *fence_owned_by(names[Role.OWNER], "public"),
        *(f"GRANT SELECT ON {name} TO {others}" for name in _table_names()),
    ]
    for role in (Role.WORKER, Role.COORDINATOR):
        statements += _grants(_WORKER, names[role])
    statements += _grants(_COORDINATOR, names[Role.COORDINATOR])
    return statements


def apply_roles(connection: Connection, prefix: str) -> None:
    """Make the roles in a database that has the tables."""
    for statement in roles_sql(prefix):
        connection.execute(text(statement))


def _create_role(name: str) -> str:
    # CREATE ROLE knows no IF NOT EXISTS, and a server has its roles in common for all its databases.
    return f'DO $$ BEGIN CREATE ROLE "{name}" NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$'


def _table_names() -> list[str]:
    return [*t.optuna_metadata.tables, *_VERSIONS, *t.metadata.tables]


def _grants(rights: Mapping[Table, tuple[str, ...]], role: str) -> Iterator[str]:
    for table, privileges in rights.items():
        yield f"GRANT {', '.join(privileges)} ON {table.name} TO {role}"
        key, *others = table.primary_key.columns
        if "INSERT" in privileges and not others and key.autoincrement is not False and key.type.python_type is int:
            yield f"GRANT USAGE ON SEQUENCE {table.name}_{key.name}_seq TO {role}"
