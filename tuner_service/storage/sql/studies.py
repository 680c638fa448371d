"""Studies in the database: Optuna's row and this service's record, always written together."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from sqlalchemy import Connection, Row, case, column, delete, func, insert, select, table, update
from sqlalchemy.exc import IntegrityError

from tuner_service.domain.provenance import Provenance
from tuner_service.domain.spec import StudySpec, parsed_spec, to_json
from tuner_service.domain.study import CodeRecord, Control, Ending, NewStudy, StudyRecord
from tuner_service.errors import SchemaVersionError, StudyExistsError, StudyNotFoundError
from tuner_service.storage import tables as t
from tuner_service.storage.sql.engine import clock, new_key, no_tables, other_optuna
from tuner_service.storage.sql.engine import insert as insert_new
from tuner_service.storage.url import StorageUrl

#: What a worker's beat is taken to be where none is known, in seconds.
_BEAT_S = 10.0

#: Where Optuna keeps the names of a study's objectives (``optuna/study/_constants.py``).
_METRIC_NAMES = "study:metric_names"


def create(connection: Connection, new: NewStudy) -> StudyRecord:
    """Insert a study, or raise ``StudyExistsError``."""
    name = new.spec.name
    try:
        study_id = new_key(connection.execute(insert(t.studies).values(study_name=name)))
    except IntegrityError:
        raise StudyExistsError(f"a study {name!r} exists already") from None
    if connection.dialect.name == "sqlite":
        # It gives the id of a deleted study away again; what another program left of that one must not be taken over.
        gone = t.tuner_studies.c.study_id.not_in(select(t.studies.c.study_id))
        connection.execute(delete(t.tuner_studies).where(gone | (t.tuner_studies.c.study_id == study_id)))
    for objective, direction in enumerate(new.spec.directions):
        row = {"direction": direction.upper(), "study_id": study_id, "objective": objective}
        connection.execute(insert(t.study_directions).values(**row))
    connection.execute(
        insert(t.study_system_attributes).values(
            study_id=study_id, key=_METRIC_NAMES, value_json=json.dumps(new.spec.metrics)
        )
    )
    now = clock(connection)
    connection.execute(
        insert(t.tuner_studies).values(
            study_id=study_id,
            name=name,
            spec=to_json(new.spec),
            budget=new.budget,
            code=_code_to_json(new.code),
            kind=new.kind,
            artifacts=new.artifacts,
            probe=new.probe,
            space=json.dumps(dict(new.space)),
            provenance=json.dumps(dataclasses.asdict(new.provenance)),
            points=len(new.points),
            control=Control.RUN,
            ending_message="",
            created_at=now,
            resumed_at=0.0,
            seen_at=now,
            judge_from=0.0,
            reconciled_at=0.0,
        )
    )
    if new.points:
        rows = [
            {
                "study_id": study_id,
                "configuration": configuration,
                "params": json.dumps(dict(point.params)),
                "source": point.source,
            }
            for configuration, point in enumerate(new.points)
        ]
        connection.execute(insert(t.tuner_points), rows)
    return by_name(connection, name)


def by_name(connection: Connection, name: str) -> StudyRecord:
    """Return a study, or raise ``StudyNotFoundError`` with the names that do exist."""
    row = connection.execute(_records().where(t.tuner_studies.c.name == name)).one_or_none()
    if row is None:
        raise StudyNotFoundError.for_name(name, (record.name for record in all_studies(connection)))
    return _record(row)


def all_studies(connection: Connection) -> list[StudyRecord]:
    """Return all studies, the oldest first."""
    return [_record(row) for row in connection.execute(_records().order_by(t.tuner_studies.c.study_id))]


def extend(connection: Connection, study_id: int, budget: int) -> None:
    """Raise the budget, and let a finished study go on."""
    ours = t.tuner_studies
    raised = connection.execute(
        update(ours).where(ours.c.study_id == study_id, ours.c.budget < budget).values(budget=budget)
    ).rowcount
    if raised:
        _reopen(connection, study_id, Ending.FINISHED)


def accept_code(connection: Connection, study_id: int, code: CodeRecord) -> None:
    """Replace the record of the study's code."""
    ours = t.tuner_studies
    connection.execute(update(ours).where(ours.c.study_id == study_id).values(code=_code_to_json(code)))


def revise(connection: Connection, study_id: int, spec: StudySpec) -> None:
    """Replace the recorded specification, and let a finished study go on."""
    ours = t.tuner_studies
    connection.execute(update(ours).where(ours.c.study_id == study_id).values(spec=to_json(spec)))
    _reopen(connection, study_id, Ending.FINISHED)


def set_control(
    connection: Connection, study_id: int, control: Control, message: str, seen: StudyRecord | None
) -> None:
    """Record what the users want, unless the study is not as it was seen any more."""
    ours = t.tuner_studies
    if seen is not None and not _is_as_seen(connection, study_id, seen):
        return
    why = case((ours.c.ending.is_(None), message), else_=ours.c.ending_message)
    connection.execute(update(ours).where(ours.c.study_id == study_id).values(control=control, ending_message=why))
    if control is Control.RUN:
        _reopen(connection, study_id, *Ending)


def end(connection: Connection, study_id: int, ending: Ending, message: str, seen: StudyRecord | None) -> bool:
    """Record that the study has ended, unless it had before, or is not as it was seen any more."""
    ours = t.tuner_studies
    if seen is not None and not _is_as_seen(connection, study_id, seen):
        return False
    statement = update(ours).where(ours.c.study_id == study_id, ours.c.ending.is_(None))
    values = {"ending": ending, "ending_message": message, "ended_at": clock(connection)}
    return connection.execute(statement.values(**values)).rowcount == 1


def see(connection: Connection, study_id: int) -> float:
    """Note that the database answers, and return from when on leases may be judged."""
    ours = t.tuner_studies
    patience, longest = _patience(connection, study_id)
    now = clock(connection)
    judge_from = case((now - ours.c.seen_at > longest, now + patience), else_=ours.c.judge_from)
    connection.execute(update(ours).where(ours.c.study_id == study_id).values(judge_from=judge_from, seen_at=now))
    found = connection.execute(select(ours.c.judge_from).where(ours.c.study_id == study_id)).scalar_one_or_none()
    return found or 0.0


def may_judge(connection: Connection, study_id: int) -> bool:
    """Return whether leases may be judged now, also where the database was away since anybody saw it answer."""
    ours = t.tuner_studies
    _, longest = _patience(connection, study_id)
    statement = select(ours.c.judge_from, ours.c.seen_at).where(ours.c.study_id == study_id)
    row = connection.execute(statement).one_or_none()
    # The time at last: if the database is away between two of these statements, that shows.
    now = clock(connection)
    return row is not None and row.judge_from <= now <= row.seen_at + longest


def _patience(connection: Connection, study_id: int) -> tuple[float, float]:
    """Return how long live workers may take to renew after an outage, and how long none is, in seconds."""
    ours, workers = t.tuner_studies, t.tuner_workers
    # Those that lived when the database was last seen: by now none has given a sign of life, if it was away.
    lived = (workers.c.stopped.is_(False), workers.c.beat_at + workers.c.lease_s >= ours.c.seen_at)
    slowest = select(func.max(workers.c.beat_s), func.min(workers.c.lease_s)).join(
        ours, ours.c.study_id == workers.c.study_id
    )
    beat_s, shortest_lease_s = connection.execute(slowest.where(ours.c.study_id == study_id, *lived)).one()
    patience = 2 * (beat_s or _BEAT_S)
    # An outage in which a lease ran out is one, however seldom others beat.
    return patience, min(patience, shortest_lease_s or patience)


def take_turn(connection: Connection, study_id: int, period_s: float) -> bool:
    """Take a turn unless somebody took one just now."""
    ours, now = t.tuner_studies, clock(connection)
    statement = update(ours).where(ours.c.study_id == study_id, ours.c.reconciled_at <= now - period_s)
    return connection.execute(statement.values(reconciled_at=now)).rowcount == 1


def note_told(connection: Connection, study_id: int, notice: str) -> bool:
    """Note a notice, and return whether it is new."""
    new = insert_new(connection, t.tuner_notices).values(study_id=study_id, notice=notice)
    return connection.execute(new.on_conflict_do_nothing()).rowcount == 1


def remove(connection: Connection, study_id: int) -> None:
    """Delete a study with all its rows, Optuna's included."""
    notes = (t.tuner_scores, t.tuner_notices, t.tuner_points, t.tuner_rungs)
    for ours in (*notes, t.tuner_attempts, t.tuner_workers, t.tuner_studies):
        connection.execute(delete(ours).where(ours.c.study_id == study_id))
    mine = select(t.trials.c.trial_id).where(t.trials.c.study_id == study_id)
    for theirs in t.OF_A_TRIAL:
        connection.execute(delete(theirs).where(theirs.c.trial_id.in_(mine)))
    connection.execute(delete(t.trials).where(t.trials.c.study_id == study_id))
    for theirs in t.OF_A_STUDY:
        connection.execute(delete(theirs).where(theirs.c.study_id == study_id))
    connection.execute(delete(t.studies).where(t.studies.c.study_id == study_id))


def schema_version(connection: Connection) -> int | None:
    """Return the version of the tables, or ``None`` where they were never finished."""
    version: int | None = connection.execute(select(func.max(t.tuner_schema.c.version))).scalar_one()
    return version


def check_schema(connection: Connection, url: StorageUrl) -> None:
    """Raise ``SchemaVersionError`` where the tables are of another version than this program's, or its Optuna's."""
    theirs = select(column("version_num")).select_from(table("alembic_version")).scalar_subquery()
    ours = select(func.max(t.tuner_schema.c.version)).scalar_subquery()
    version, revision = connection.execute(select(ours, theirs)).one()
    if version is None:
        raise no_tables(url)
    if version != t.SCHEMA_VERSION:
        raise SchemaVersionError.for_versions(url, version, t.SCHEMA_VERSION)
    if revision != t.OPTUNA_REVISION:
        raise other_optuna(url)


def _is_as_seen(connection: Connection, study_id: int, seen: StudyRecord) -> bool:
    """Lock a study's record, and return whether users want of it what they wanted when it was seen."""
    ours = t.tuner_studies
    row = connection.execute(_records().where(ours.c.study_id == study_id).with_for_update(of=ours)).one_or_none()
    return row is not None and _record(row).wants_the_same_as(seen)


def _reopen(connection: Connection, study_id: int, *endings: Ending) -> None:
    ours = t.tuner_studies
    connection.execute(
        update(ours)
        .where(ours.c.study_id == study_id, ours.c.ending.in_(endings))
        .values(
            ending=None,
            ending_message="",
            ended_at=None,
            resumed_at=clock(connection),
            # What stopped it is over, or its stopping rules cancelled what ran.
            control=case((ours.c.control == Control.PAUSE, Control.PAUSE), else_=Control.RUN),
        )
    )


def _records() -> Any:  # noqa: ANN401 - the type of a SELECT of sixteen columns says nothing
    # The join leaves out studies that optuna-dashboard deleted.
    ours = t.tuner_studies
    return select(ours).join(
        t.studies, (t.studies.c.study_id == ours.c.study_id) & (t.studies.c.study_name == ours.c.name)
    )


def _record(row: Row[Any]) -> StudyRecord:
    code = json.loads(row.code)
    return StudyRecord(
        study_id=row.study_id,
        name=row.name,
        spec=parsed_spec(row.spec),
        budget=row.budget,
        code=CodeRecord(code["file"], code["digest"], tuple(code["accepted"])),
        kind=row.kind,
        artifacts=row.artifacts,
        probe=row.probe,
        space=json.loads(row.space),
        provenance=Provenance(**json.loads(row.provenance)),
        points=row.points,
        control=Control(row.control),
        ending=None if row.ending is None else Ending(row.ending),
        ending_message=row.ending_message,
        created_at=row.created_at,
        resumed_at=row.resumed_at,
        ended_at=row.ended_at,
    )


def _code_to_json(code: CodeRecord) -> str:
    return json.dumps({"file": code.file, "digest": code.digest, "accepted": list(code.accepted)})
