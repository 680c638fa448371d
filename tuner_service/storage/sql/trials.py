"""Trials as people read them, straight from the tables."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, and_, select

from tuner_service.domain.outcome import Failure
from tuner_service.domain.trial import Trial
from tuner_service.storage import tables as t
from tuner_service.storage.param import CONSTRAINT
from tuner_service.storage.sql.attempts import further_values, read_params, to_attempt
from tuner_service.storage.sql.engine import from_naive_utc

_NUMBERS = {"NAN": math.nan, "INF_POS": math.inf, "INF_NEG": -math.inf}


def read(connection: Connection, study_id: int, numbers: Collection[int] | None, *, curves: bool) -> list[Trial]:
    """Return trials in the order of their numbers."""
    wanted = select(t.trials.c.trial_id).where(t.trials.c.study_id == study_id)
    if numbers is not None:
        wanted = wanted.where(t.trials.c.number.in_(numbers))
    rows = list(connection.execute(_rows(wanted)))
    ids = [row.trial_id for row in rows]
    params = read_params(connection, ids)
    others = further_values(connection, wanted)
    attributes: dict[int, dict[str, object]] = {}
    for row in _of(connection, t.trial_user_attributes, wanted):
        attributes.setdefault(row.trial_id, {})[row.key] = json.loads(row.value_json)
    constraints: dict[int, dict[str, float]] = {}
    for row in _of(connection, t.trial_system_attributes, wanted):
        if row.key.startswith(CONSTRAINT):
            constraints.setdefault(row.trial_id, {})[row.key.removeprefix(CONSTRAINT)] = json.loads(row.value_json)
    reported: dict[int, dict[int, float]] = {}
    if curves:
        for row in _of(connection, t.trial_intermediate_values, wanted):
            number = _NUMBERS.get(row.intermediate_value_type, row.intermediate_value)
            reported.setdefault(row.trial_id, {})[row.step] = number
    return [
        _trial(
            row,
            others.get(row.trial_id, ()),
            params.get(row.trial_id, {}),
            attributes.get(row.trial_id, {}),
            constraints.get(row.trial_id, {}),
            reported.get(row.trial_id, {}),
        )
        for row in rows
    ]


def _rows(wanted: Select[tuple[int]]) -> Select[Any]:
    values = t.trial_values
    return (
        select(t.tuner_attempts, t.trials.c.number, t.trials.c.state, t.trials.c.datetime_start, values.c.value)
        .join(t.trials, t.trials.c.trial_id == t.tuner_attempts.c.trial_id)
        .outerjoin(values, and_(values.c.trial_id == t.trials.c.trial_id, values.c.objective == 0))
        .where(t.trials.c.trial_id.in_(wanted))
        .order_by(t.trials.c.number)
    )


def _of(connection: Connection, table: Table, wanted: Select[tuple[int]]) -> Iterator[Row[Any]]:
    yield from connection.execute(
        select(table).where(table.c.trial_id.in_(wanted)).order_by(table.primary_key.columns[0])
    )


def _trial(
    row: Row[Any],
    others: tuple[float, ...],
    params: Mapping[str, Any],
    attributes: Mapping[str, object],
    constraints: Mapping[str, float],
    reported: Mapping[int, float],
) -> Trial:
    return Trial(
        attempt=to_attempt(row, others, feasible=all(value <= 0 for value in constraints.values())),
        constraints=constraints,
        params=params,
        best_epoch=row.best_epoch,
        reported=dict(sorted(reported.items())),
        attributes=attributes,
        failure=None if row.failure is None else Failure(**json.loads(row.failure)),
        started_at=row.claimed_at or from_naive_utc(row.datetime_start),
        code=row.code,
        environment={} if row.environment is None else json.loads(row.environment),
    )
