"""Studies and attempts for tests, with everything that a test does not care about filled in."""

from __future__ import annotations

from typing import Any

from tuner_service.domain.attempt import Attempt
from tuner_service.domain.outcome import RULES, Reason, State
from tuner_service.domain.provenance import Provenance
from tuner_service.domain.spec import StudySpec, parse_spec
from tuner_service.domain.study import CodeRecord, NewStudy, StudyRecord

CODE = CodeRecord("digits.py", "c0de")


def make_spec(**fields: Any) -> StudySpec:
    """Return a specification with these fields."""
    return parse_spec({"name": "digits", "metric": "val_accuracy", "trials": 4, "max_epochs": 9, **fields})


def make_new_study(**fields: Any) -> NewStudy:
    """Return what a study of this specification is created from."""
    points = fields.pop("of_points", ())
    spec = make_spec(**fields)
    space, provenance = {"lr": "{}"}, Provenance(packages={"keras": "3.15.0"}, data="d" * 16, dirty=False)
    budget = spec.trials or len(points)
    return NewStudy(spec, CODE, "build_model", "/artifacts", "probe", space, provenance, budget, points)


def make_study(*, budget: int | None = None, spec: StudySpec | None = None, **fields: Any) -> StudyRecord:
    """Return a study's record."""
    spec = spec or make_spec()
    return StudyRecord(
        study_id=1,
        name=spec.name,
        spec=spec,
        budget=budget or spec.trials or 0,
        code=CODE,
        kind="build_model",
        artifacts="/artifacts",
        probe="probe",
        **fields,
    )


def make_attempt(configuration: int = 0, attempt: int = 0, state: State | None = None, **fields: Any) -> Attempt:
    """Return an attempt; given a reason and no state, it has ended for this reason."""
    reason: Reason | None = fields.get("reason")
    if state is None:
        state = State.WAITING if reason is None else RULES[reason].state
    number = fields.pop("number", 10 * attempt + configuration)
    return Attempt(
        trial_id=100 + number, number=number, configuration=configuration, attempt=attempt, state=state, **fields
    )
