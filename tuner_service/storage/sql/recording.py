"""What a running attempt records: its parameters, reports and values at rungs. Each function is one transaction."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Select, Table, func, select, update

from tuner_service.domain.outcome import State
from tuner_service.errors import TrialLostError
from tuner_service.storage import tables as t
from tuner_service.storage.ledger_storage import Draw
from tuner_service.storage.param import check_compatible
from tuner_service.storage.sql.engine import insert

_ours, _theirs = t.tuner_attempts, t.trials


def record_draw(
    connection: Connection,
    trial_id: int,
    worker_id: str,
    draw: Draw,
    seen: dict[tuple[int, str], str],
    *,
    unless_repeated: bool,
) -> bool:
    """Write parameters; whether another configuration has the same is looked at under the lock of the study's row.

    Args:
        connection: In its transaction.
        trial_id: The running attempt.
        worker_id: Whose it must be.
        draw: What is written.
        seen: Distributions that were found in the database before, by study and parameter; those found now are added.
        unless_repeated: Write nothing where another configuration has the same.
    """
    study_id = connection.execute(select(_theirs.c.study_id).where(_theirs.c.trial_id == trial_id)).scalar_one_or_none()
    if study_id is None:
        raise TrialLostError(f"trial (deleted) is not {worker_id}'s any more")
    if unless_repeated:
        connection.execute(select(t.studies.c.study_id).where(t.studies.c.study_id == study_id).with_for_update())
    _check_mine(connection, trial_id, worker_id)
    if unless_repeated:
        mine = select(_ours.c.configuration).where(_ours.c.trial_id == trial_id).scalar_subquery()
        same = select(_ours.c.trial_id).where(
            _ours.c.study_id == study_id, _ours.c.draw == draw.digest, _ours.c.configuration != mine
        )
        if connection.execute(same.limit(1)).first() is not None:
            return False
    _check_distributions(connection, study_id, draw, seen)
    if draw.params:
        rows = [
            {"trial_id": trial_id, "param_name": name, "param_value": value, "distribution_json": distribution}
            for name, (value, distribution) in draw.params.items()
        ]
        connection.execute(insert(connection, t.trial_params).on_conflict_do_nothing(), rows)
    set_attributes(connection, t.trial_system_attributes, trial_id, draw.notes)
    set_attributes(connection, t.trial_user_attributes, trial_id, draw.attributes)
    if draw.digest is not None:
        connection.execute(update(_ours).where(_ours.c.trial_id == trial_id).values(draw=draw.digest))
    return True


def _check_mine(connection: Connection, trial_id: int, worker_id: str) -> None:
    """Lock a row, and raise ``TrialLostError`` unless it runs and is this worker's."""
    row = connection.execute(locked(trial_id)).one_or_none()
    if row is None or row.owner != worker_id or row.state != State.RUNNING:
        raise TrialLostError(f"trial {'(deleted)' if row is None else row.number} is not {worker_id}'s any more")


def _check_distributions(connection: Connection, study_id: int, draw: Draw, seen: dict[tuple[int, str], str]) -> None:
    """Raise ``StudyFileError`` where a parameter came with a distribution before that cannot stand beside this one."""
    theirs = t.trial_params
    for name, (_, distribution) in draw.params.items():
        if (study_id, name) not in seen:
            before = connection.execute(
                select(theirs.c.distribution_json)
                .join(_theirs, _theirs.c.trial_id == theirs.c.trial_id)
                .where(_theirs.c.study_id == study_id, theirs.c.param_name == name)
                .limit(1)
            ).scalar_one_or_none()
            if before is None:
                continue
            seen[study_id, name] = before
        if seen[study_id, name] != distribution:
            check_compatible(name, seen[study_id, name], distribution)


def record_reports(connection: Connection, trial_id: int, worker_id: str, values: Mapping[int, float]) -> None:
    """Write reported values; one that is there already stays."""
    _check_mine(connection, trial_id, worker_id)
    rows = [
        {
            "trial_id": trial_id,
            "step": step,
            "intermediate_value": finite(value),
            "intermediate_value_type": _type_of(value),
        }
        for step, value in values.items()
    ]
    connection.execute(insert(connection, t.trial_intermediate_values).on_conflict_do_nothing(), rows)


def _type_of(value: float) -> str:
    """Return what Optuna calls such a number; a column holds only finite ones everywhere."""
    if math.isnan(value):
        return "NAN"
    if math.isinf(value):
        return "INF_POS" if value > 0 else "INF_NEG"
    return "FINITE"


def record_rung(
    connection: Connection, study_id: int, bracket: int, epoch: int, configuration: int, value: float
) -> Mapping[int, float]:
    """Record a value at a rung unless the configuration has one there, and return all values of that rung."""
    rungs = t.tuner_rungs
    new = insert(connection, rungs).values(
        study_id=study_id, bracket=bracket, epoch=epoch, configuration=configuration, value=value
    )
    connection.execute(new.on_conflict_do_nothing())
    at_it = (rungs.c.study_id == study_id, rungs.c.bracket == bracket, rungs.c.epoch == epoch)
    if connection.dialect.name == "postgresql":
        # Two arrays take a fifth of the time that thousands of rows take.
        arrays = select(func.array_agg(rungs.c.configuration), func.array_agg(rungs.c.value)).where(*at_it)
        return dict(zip(*connection.execute(arrays).one(), strict=True))
    return {row.configuration: row.value for row in connection.execute(select(rungs).where(*at_it))}


def finite(value: float | None) -> float | None:
    """Return a value that a database column holds, ``None`` for what is not a number or endless."""
    return value if value is not None and math.isfinite(value) else None


def set_attributes(connection: Connection, table: Table, trial_id: int, attributes: Mapping[str, object]) -> None:
    """Write attributes of a trial, in the place of those of the same name."""
    if attributes:
        new = insert(connection, table)
        connection.execute(
            new.on_conflict_do_update(index_elements=["trial_id", "key"], set_={"value_json": new.excluded.value_json}),
            [{"trial_id": trial_id, "key": key, "value_json": json.dumps(one)} for key, one in attributes.items()],
        )


def locked(trial_id: int) -> Select[Any]:
    """Return the statement that locks a row and reads what an end of it depends on."""
    return (
        select(_theirs.c.number, _theirs.c.state, _ours.c.study_id, _ours.c.owner, _ours.c.reason, _ours.c.lease_until)
        .join(_ours, _ours.c.trial_id == _theirs.c.trial_id)
        .where(_theirs.c.trial_id == trial_id)
        .with_for_update()
    )
