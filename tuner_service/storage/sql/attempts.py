"""Attempts in the database: inserted once, claimed by one, settled by their owner. Each function is one transaction."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, Update, and_, delete, func, or_, select, update

from tuner_service.domain.attempt import Attempt, NewAttempt, Param
from tuner_service.domain.ending import may_start
from tuner_service.domain.outcome import Failure, Outcome, Reason, State
from tuner_service.domain.spec import parsed_spec
from tuner_service.domain.study import Control
from tuner_service.domain.worker import Progress
from tuner_service.errors import CodeChangedError, TrialLostError
from tuner_service.storage import tables as t
from tuner_service.storage.ledger_storage import Claim
from tuner_service.storage.param import CONSTRAINT, FIXED_PARAMS, SOURCE, decode, is_sampler_note
from tuner_service.storage.sql.engine import clock, insert, naive_utc, new_key
from tuner_service.storage.sql.recording import finite, locked, set_attributes
from tuner_service.storage.sql.studies import may_judge

_ours, _theirs = t.tuner_attempts, t.trials


def read(connection: Connection, study_id: int, *, after: int = -1, among: Collection[int] = ()) -> list[Attempt]:
    """Return attempts in the order of their trial numbers: all, or those after a trial id or among some."""
    wanted = _ours.c.study_id == study_id
    if after >= 0:
        # An `IN` without values is slow to find nothing.
        later = _ours.c.trial_id > after
        wanted = and_(wanted, or_(later, _ours.c.trial_id.in_(among)) if among else later)
    values, notes = t.trial_values, t.trial_system_attributes
    statement = (
        select(_ours, _theirs.c.number, _theirs.c.state, values.c.value)
        .join(_theirs, _theirs.c.trial_id == _ours.c.trial_id)
        .outerjoin(values, and_(values.c.trial_id == _ours.c.trial_id, values.c.objective == 0))
        .where(wanted)
        .order_by(_theirs.c.number)
    )
    rows = list(connection.execute(statement))
    if after >= 0 and not any(State(row.state).final for row in rows):
        # Nothing has come to a value.
        return [to_attempt(row, (), feasible=True) for row in rows]
    constraints = (
        select(notes.c.trial_id, notes.c.value_json)
        .join(_ours, _ours.c.trial_id == notes.c.trial_id)
        .where(wanted, notes.c.key.startswith(CONSTRAINT))
    )
    violated = {row.trial_id for row in connection.execute(constraints) if json.loads(row.value_json) > 0}
    others = further_values(connection, select(_ours.c.trial_id).where(wanted))
    return [to_attempt(row, others.get(row.trial_id, ()), feasible=row.trial_id not in violated) for row in rows]


def further_values(connection: Connection, trials: Select[tuple[int]]) -> dict[int, tuple[float, ...]]:
    """Return the values of trials' second and further objectives, by trial id."""
    values = t.trial_values
    found: dict[int, tuple[float, ...]] = {}
    statement = select(values).where(values.c.objective > 0, values.c.trial_id.in_(trials)).order_by(values.c.objective)
    for row in connection.execute(statement):
        found[row.trial_id] = (*found.get(row.trial_id, ()), row.value)
    return found


def to_attempt(row: Row[Any], others: tuple[float, ...], *, feasible: bool) -> Attempt:
    """Return the attempt that a row of the joined tables holds, with the values of further objectives."""
    return Attempt(
        trial_id=row.trial_id,
        number=row.number,
        configuration=row.configuration,
        attempt=row.attempt,
        state=State(row.state),
        owner=row.owner,
        lease_until=row.lease_until,
        claimed_at=row.claimed_at,
        reason=None if row.reason is None else Reason(row.reason),
        error=row.error,
        ended_at=row.ended_at,
        forced=row.forced,
        epoch=row.epoch,
        run=row.run,
        resumed_from=row.resumed_from,
        checkpoint=row.checkpoint,
        last_value=row.last_value,
        value=row.value,
        others=others,
        feasible=feasible,
    )


def insert_waiting(connection: Connection, study_id: int, new: Sequence[NewAttempt]) -> int:
    """Insert waiting rows, leaving out those that are there already."""
    # As Optuna does: the study's row is locked while trial numbers are given out.
    locked = select(t.studies.c.study_id).where(t.studies.c.study_id == study_id).with_for_update()
    if connection.execute(locked).one_or_none() is None:
        # It was deleted in the meantime.
        return 0
    statement = select(_ours.c.configuration, _ours.c.attempt).where(
        _ours.c.study_id == study_id, _ours.c.configuration.in_([one.configuration for one in new])
    )
    there = {(row.configuration, row.attempt) for row in connection.execute(statement)}
    number = connection.execute(select(func.count()).where(_theirs.c.study_id == study_id)).scalar_one()
    inserted = 0
    for one in new:
        if (one.configuration, one.attempt) in there:
            continue
        row = insert(connection, _theirs).values(study_id=study_id, number=number + inserted, state=State.WAITING)
        trial_id = new_key(connection.execute(row))
        if connection.dialect.name == "sqlite":
            # It gives the ids of deleted trials away again; another program that deletes them leaves our rows of them.
            connection.execute(delete(_ours).where(_ours.c.trial_id == trial_id))
        # A second row of one attempt would fail here, by the unique index, and take its trial with it.
        connection.execute(
            insert(connection, _ours).values(
                trial_id=trial_id,
                study_id=study_id,
                configuration=one.configuration,
                attempt=one.attempt,
                forced=one.forced,
                epoch=0,
            )
        )
        _give(connection, study_id, trial_id, one)
        inserted += 1
    return inserted


def _give(connection: Connection, study_id: int, trial_id: int, new: NewAttempt) -> None:
    """Write the parameters that a row begins with: a user's, those of an earlier attempt, or of its point."""
    notes: dict[str, Any] = {}
    params: Mapping[str, Param] = new.params
    if new.params_of is not None:
        params = _given_params(connection, new.params_of)
        of_it = select(t.trial_system_attributes).where(t.trial_system_attributes.c.trial_id == new.params_of)
        notes = {row.key: json.loads(row.value_json) for row in connection.execute(of_it) if is_sampler_note(row.key)}
    elif new.attempt == 0 and not params:
        points = t.tuner_points
        point = connection.execute(
            select(points).where(points.c.study_id == study_id, points.c.configuration == new.configuration)
        ).one_or_none()
        if point is not None:
            params = json.loads(point.params)
            if point.source:
                set_attributes(connection, t.trial_user_attributes, trial_id, {SOURCE: point.source})
    if params:
        notes[FIXED_PARAMS] = dict(params)
    set_attributes(connection, t.trial_system_attributes, trial_id, notes)


def claim(connection: Connection, study_id: int, worker_id: str, lease_s: float, code: str) -> Claim | None:
    """Make the first waiting row this worker's: its state, owner and lease change in this one transaction."""
    columns = t.tuner_studies.c
    study = connection.execute(
        select(columns.control, columns.ending, columns.spec, columns.resumed_at, columns.name, columns.code).where(
            columns.study_id == study_id
        )
    ).one_or_none()
    if study is None or study.control != Control.RUN or study.ending is not None:
        return None
    if (recorded := json.loads(study.code)["digest"]) != code:
        raise CodeChangedError.for_worker(study.name, recorded, code)
    spec = parsed_spec(study.spec)
    if spec.stop.epochs is not None:
        # One claim at a time: two must not both take the last epochs.
        connection.execute(select(columns.study_id).where(columns.study_id == study_id).with_for_update())
    if spec.stop.has_rules and not may_start(
        spec, read(connection, study_id), now=clock(connection), since=study.resumed_at
    ):
        return None
    row = connection.execute(
        select(_ours.c.trial_id, _theirs.c.number, _ours.c.configuration, _ours.c.attempt)
        .join(_theirs, _theirs.c.trial_id == _ours.c.trial_id)
        .where(_ours.c.study_id == study_id, _ours.c.ended_at.is_(None), _theirs.c.state == State.WAITING)
        .order_by((_ours.c.attempt > 0).desc(), _ours.c.configuration)
        .limit(1)
        .with_for_update(of=_theirs, skip_locked=True)
    ).one_or_none()
    if row is None:
        return None
    now = clock(connection)
    connection.execute(
        update(_theirs)
        .where(_theirs.c.trial_id == row.trial_id)
        .values(state=State.RUNNING, datetime_start=naive_utc(now))
    )
    connection.execute(
        update(_ours)
        .where(_ours.c.trial_id == row.trial_id)
        .values(owner=worker_id, lease_until=now + lease_s, claimed_at=now, code=code)
    )
    return Claim(row.trial_id, row.number, row.configuration, row.attempt, now, _given_params(connection, row.trial_id))


def settle(connection: Connection, trial_id: int, worker_id: str, outcome: Outcome) -> None:
    """Record an outcome; said again after a lost reply it changes nothing and raises nothing."""
    row = connection.execute(locked(trial_id)).one_or_none()
    if row is not None and row.owner == worker_id and row.reason == outcome.reason and State(row.state).final:
        return
    if row is None or row.owner != worker_id or row.state != State.RUNNING:
        raise TrialLostError(f"trial {'(deleted)' if row is None else row.number} is not {worker_id}'s any more")
    _end(connection, trial_id, outcome)


def expire(connection: Connection, trial_id: int, reason: Reason) -> bool:
    """Fail a running row whose lease has run out; all that matters is looked at again under the row's lock."""
    row = connection.execute(locked(trial_id)).one_or_none()
    if row is None or row.state != State.RUNNING:
        return False
    # There is no lease where another program took the row, with Optuna's `Study.ask`.
    if row.lease_until is not None and row.lease_until >= clock(connection):
        return False
    if not may_judge(connection, row.study_id):
        return False
    _end(connection, trial_id, Outcome(reason, failure=Failure.of_lost_worker(row.owner)))
    return True


def withdraw(connection: Connection, trial_ids: Collection[int]) -> int:
    """Fail rows that still wait."""
    withdrawn = 0
    for trial_id in trial_ids:
        row = connection.execute(locked(trial_id)).one_or_none()
        if row is not None and row.state == State.WAITING:
            _end(connection, trial_id, Outcome(Reason.WITHDRAWN))
            withdrawn += 1
    return withdrawn


def renew(connection: Connection, worker_id: str, lease_s: float, progress: Sequence[Progress]) -> frozenset[int]:
    """Renew the leases of the rows that a worker says it trains, note where they stand, and return those it still has.

    Others that bear its name are left to run out: rows whose claim was acknowledged to nobody.
    """
    said = [one.trial_id for one in progress]
    held = frozenset(
        connection.execute(
            select(_ours.c.trial_id)
            .join(_theirs, _theirs.c.trial_id == _ours.c.trial_id)
            .where(_ours.c.trial_id.in_(said), _ours.c.owner == worker_id, _theirs.c.state == State.RUNNING)
        ).scalars()
    )
    if held:
        mine = _mine(worker_id).where(_ours.c.trial_id.in_(held))
        connection.execute(mine.values(lease_until=clock(connection) + lease_s))
    for one in progress:
        if one.trial_id in held:
            mine = _mine(worker_id).where(_ours.c.trial_id == one.trial_id)
            stands = {
                "epoch": one.epoch,
                "run": one.run,
                "resumed_from": one.resumed_from,
                "checkpoint": one.checkpoint,
            }
            connection.execute(mine.values(**stands, last_value=finite(one.value)))
    return held


def release(connection: Connection, worker_id: str) -> None:
    """Let a worker's leases run out now."""
    connection.execute(_mine(worker_id).where(_ours.c.lease_until.is_not(None)).values(lease_until=0.0))


def read_params(connection: Connection, trial_ids: Collection[int]) -> dict[int, dict[str, Param]]:
    """Return the parameters of trials by id, in the order in which they were suggested."""
    params: dict[int, dict[str, Param]] = {}
    statement = (
        select(t.trial_params).where(t.trial_params.c.trial_id.in_(trial_ids)).order_by(t.trial_params.c.param_id)
    )
    for row in connection.execute(statement):
        params.setdefault(row.trial_id, {})[row.param_name] = decode(row.distribution_json, row.param_value)
    return params


def _given_params(connection: Connection, trial_id: int) -> dict[str, Param]:
    """Return the parameters that a trial has, and those it was given and has not been asked for yet."""
    attributes = t.trial_system_attributes
    fixed = connection.execute(
        select(attributes.c.value_json).where(attributes.c.trial_id == trial_id, attributes.c.key == FIXED_PARAMS)
    ).scalar_one_or_none()
    given: dict[str, Param] = {} if fixed is None else json.loads(fixed)
    return {**given, **read_params(connection, [trial_id]).get(trial_id, {})}


def _end(connection: Connection, trial_id: int, outcome: Outcome) -> None:
    now = clock(connection)
    connection.execute(
        update(_theirs)
        .where(_theirs.c.trial_id == trial_id)
        .values(state=outcome.state, datetime_complete=naive_utc(now))
    )
    for objective, value in enumerate(outcome.values):
        new = insert(connection, t.trial_values)
        connection.execute(new.values(trial_id=trial_id, objective=objective, value=value, value_type="FINITE"))
    failure = None if outcome.failure is None else outcome.failure.shortened()
    changes: dict[str, object] = {
        "reason": outcome.reason,
        "ended_at": now,
        "best_epoch": outcome.best_epoch,
        "environment": json.dumps(dict(outcome.environment)) if outcome.environment else None,
        "error": None if failure is None else failure.fingerprint,
        "failure": None if failure is None else json.dumps(failure.__dict__),
    }
    if outcome.epochs:
        changes |= {
            "epoch": outcome.epochs,
            "resumed_from": outcome.resumed_from,
            "checkpoint": outcome.checkpoint,
        }
    connection.execute(update(_ours).where(_ours.c.trial_id == trial_id).values(**changes))
    set_attributes(connection, t.trial_user_attributes, trial_id, {"reason": outcome.reason, **outcome.attributes})
    constraints = {f"{CONSTRAINT}{name}": value for name, value in outcome.constraints.items()}
    set_attributes(connection, t.trial_system_attributes, trial_id, constraints)


def _mine(worker_id: str) -> Update:
    return update(_ours).where(_ours.c.owner == worker_id, _ours.c.ended_at.is_(None))
