"""Rows in Redis: an Optuna trial of the journal, with what the ledger knows of it in its system attributes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tuner_service.domain.attempt import Attempt, NewAttempt, Param
from tuner_service.domain.outcome import RULES, Failure, Outcome, Reason, State
from tuner_service.domain.provenance import Provenance
from tuner_service.domain.spec import parsed_spec, to_json
from tuner_service.domain.study import CodeRecord, Control, Ending, StudyRecord
from tuner_service.domain.trial import Trial
from tuner_service.storage.param import FIXED_PARAMS, SOURCE, is_sampler_note

STUDY = "tuner:study"
CONFIGURATION = "tuner:configuration"
ATTEMPT = "tuner:attempt"
FORCED = "tuner:forced"
CLAIM = "tuner:claim"
OUTCOME = "tuner:outcome"


def waiting_trial(
    study_id: int, new: NewAttempt, params: Mapping[str, Param], notes: Mapping[str, Any], source: str
) -> FrozenTrial:
    """Return the row to be inserted for an attempt."""
    attributes: dict[str, Any] = {
        STUDY: study_id,
        CONFIGURATION: new.configuration,
        ATTEMPT: new.attempt,
        FORCED: new.forced,
        **notes,
    }
    if params:
        attributes[FIXED_PARAMS] = dict(params)
    about = {SOURCE: source} if source else {}
    return optuna.trial.create_trial(state=TrialState.WAITING, system_attrs=attributes, user_attrs=about)


def sampler_notes(trial: FrozenTrial) -> dict[str, Any]:
    """Return what the sampler noted of a trial."""
    return {key: value for key, value in trial.system_attrs.items() if is_sampler_note(key)}


def given_params(trial: FrozenTrial) -> dict[str, Param]:
    """Return the parameters that a trial has, and those it was given and has not been asked for yet."""
    return {**trial.system_attrs.get(FIXED_PARAMS, {}), **trial.params}


def is_ours(trial: FrozenTrial) -> bool:
    """Return whether this service inserted the row."""
    return CONFIGURATION in trial.system_attrs


def key_of(trial: FrozenTrial) -> tuple[int, int]:
    """Return which attempt of which configuration a row is."""
    return trial.system_attrs[CONFIGURATION], trial.system_attrs[ATTEMPT]


def first_rows(trials: Sequence[FrozenTrial]) -> dict[tuple[int, int], int]:
    """Return the trial id of each attempt. The journal is in one order for all, so of two rows the first is it."""
    first: dict[tuple[int, int], int] = {}
    for trial in sorted(trials, key=lambda one: one.number):
        if is_ours(trial):
            first.setdefault(key_of(trial), trial._trial_id)
    return first


def outcome_attribute(outcome: Outcome, now: float) -> dict[str, Any]:
    """Return an outcome as a system attribute."""
    failure = None if outcome.failure is None else outcome.failure.shortened()
    return {
        "reason": str(outcome.reason),
        "ended_at": now,
        "epochs": outcome.epochs,
        "resumed_from": outcome.resumed_from,
        "checkpoint": outcome.checkpoint,
        "best_epoch": outcome.best_epoch,
        "environment": dict(outcome.environment),
        "error": None if failure is None else failure.fingerprint,
        "failure": None if failure is None else asdict(failure),
    }


def to_attempt(trial: FrozenTrial, progress: Mapping[str, Any], lease_until: float | None) -> Attempt:
    """Return the attempt that a row is."""
    state = State(trial.state.name)
    outcome = _outcome(trial, state)
    return Attempt(
        trial_id=trial._trial_id,
        number=trial.number,
        configuration=trial.system_attrs[CONFIGURATION],
        attempt=trial.system_attrs[ATTEMPT],
        state=state,
        owner=trial.system_attrs.get(CLAIM, {}).get("owner"),
        lease_until=lease_until,
        claimed_at=trial.system_attrs.get(CLAIM, {}).get("claimed_at"),
        reason=None if outcome.get("reason") is None else Reason(outcome["reason"]),
        error=outcome.get("error"),
        ended_at=outcome.get("ended_at"),
        forced=trial.system_attrs.get(FORCED, False),
        epoch=outcome.get("epochs") or progress.get("epoch", 0),
        run=progress.get("run", 0),
        resumed_from=outcome.get("resumed_from") or progress.get("resumed_from", 0),
        checkpoint=outcome.get("checkpoint") or progress.get("checkpoint", 0),
        last_value=progress.get("value"),
        value=trial.values[0] if trial.values else None,
        others=tuple(trial.values[1:]) if trial.values else (),
        feasible=all(value <= 0 for value in trial.constraints.values()),
    )


def to_trial(trial: FrozenTrial, attempt: Attempt, *, curves: bool) -> Trial:
    """Return a row as people read it."""
    outcome = _outcome(trial, attempt.state)
    claim = trial.system_attrs.get(CLAIM, {})
    return Trial(
        attempt=attempt,
        params=dict(trial.params),
        best_epoch=outcome.get("best_epoch"),
        reported=dict(sorted(trial.intermediate_values.items())) if curves else {},
        attributes=dict(trial.user_attrs),
        constraints=dict(trial.constraints),
        failure=None if outcome.get("failure") is None else Failure(**outcome["failure"]),
        started_at=claim.get("claimed_at"),
        code=claim.get("code"),
        environment=outcome.get("environment", {}),
    )


def _outcome(trial: FrozenTrial, state: State) -> Mapping[str, Any]:
    outcome: Mapping[str, Any] = trial.system_attrs.get(OUTCOME, {})
    # Of two that ended it at once the one whose state is in the journal was first; the other's words do not count.
    if outcome and RULES[Reason(outcome["reason"])].state is not state:
        return {}
    return outcome


def study_to_json(study: StudyRecord) -> str:
    """Return a study's record as the storage keeps it."""
    fields = {**asdict(study), "spec": to_json(study.spec), "code": asdict(study.code)}
    return json.dumps(fields)


def study_from_json(text: str | bytes) -> StudyRecord:
    """Return the record that a text holds."""
    fields = json.loads(text)
    code = fields.pop("code")
    return StudyRecord(
        **{
            **fields,
            "spec": parsed_spec(fields["spec"]),
            "code": CodeRecord(code["file"], code["digest"], tuple(code["accepted"])),
            "provenance": Provenance(**fields["provenance"]),
            "control": Control(fields["control"]),
            "ending": None if fields["ending"] is None else Ending(fields["ending"]),
        }
    )


def finite(value: float | None) -> float | None:
    """Return a value that JSON can hold."""
    return value if value is not None and math.isfinite(value) else None
