"""Looks at the test parts of studies, in the database."""

from __future__ import annotations

import json

from sqlalchemy import Connection, insert, select

from tuner_service.domain.score import Score, Scored
from tuner_service.storage import tables as t
from tuner_service.storage.sql.engine import clock

_ours = t.tuner_scores


def record(connection: Connection, study_id: int, score: Score) -> None:
    """Insert a look, at the database's time."""
    row = {
        "study_id": study_id,
        "trial": score.trial,
        "model": score.model,
        "metrics": json.dumps(dict(score.metrics)),
        "who": score.who,
        "at": clock(connection),
    }
    connection.execute(insert(_ours).values(**row))


def read(connection: Connection, study_id: int) -> list[Score]:
    """Return the looks at a study's test part, the first one first."""
    rows = connection.execute(select(_ours).where(_ours.c.study_id == study_id).order_by(_ours.c.score_id))
    return [Score(row.trial, Scored(row.model), json.loads(row.metrics), row.who, row.at) for row in rows]
