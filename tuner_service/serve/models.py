"""What the read API answers: plain data, described for OpenAPI."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel

from tuner_service.domain.outcome import State
from tuner_service.domain.trial import Trial
from tuner_service.results.export import iso
from tuner_service.results.summary import Summary

#: JSON has no other way to say that a number is not finite.
Number = float | Literal["nan", "inf", "-inf"]
Value = str | bool | int | Number | None


class Error(BaseModel):
    """Why a request was refused."""

    detail: str  #: what was wrong, and what to do


class StudyItem(BaseModel):
    """A study in the list of all."""

    name: str  #: by which it is known everywhere
    state: str  #: finished, stopped, failed, paused, stopping, running, or waiting for workers
    metrics: list[str]  #: what it optimizes; several where it has several objectives
    directions: list[str]  #: minimize or maximize, for each metric
    trials: int  #: the budget
    settled: int  #: configurations that count: complete, pruned, or failed for good
    best: Number | None  #: by the first metric
    created_at: str | None  #: by the database's clock, as ISO 8601 in UTC
    ended_at: str | None  #: the same; null while it goes on


class Failures(BaseModel):
    """Attempts that did not finish for one cause."""

    reason: str  #: the cause, such as error, timeout, oom
    attempts: int  #: how many
    first: int  #: number of the first such trial
    last_error: str | None  #: the first line of the latest
    shows: int  #: number of the first trial with that error


class Worker(BaseModel):
    """A worker that is alive."""

    id: str  #: that no other worker has
    host: str  #: the machine, or pod, that it runs on
    slots: int  #: trials that it trains at a time
    beat_s_ago: float  #: seconds since its last sign of life
    late: bool  #: its last beat is more than two beats ago


class Study(StudyItem):
    """Where a study stands."""

    ending_message: str  #: why it ended before its budget was settled; empty where it did not
    complete: int  #: configurations trained to their end
    pruned: int  #: configurations stopped early, diverged or too large for the memory
    failed: int  #: configurations that failed for good
    running: int  #: trials that are trained now
    waiting: int  #: trials that wait for a worker
    retries: int  #: attempts beyond the first of each configuration
    training: list[int]  #: numbers of the trials that run
    most_epochs: int  #: that a trial trains, over all its runs
    epochs_trained: int  #: over all attempts; those before a checkpoint count once
    epochs_saved: int  #: that pruned trials did not train
    seconds_left: float | None  #: in seconds, at the pace of the last trials; null while nothing is known
    stops: list[str]  #: how far each stopping rule is, in words
    front: list[int]  #: numbers of the best trials; more than one where the study has several objectives
    workers: list[Worker]  #: those that are alive
    failures: list[Failures]  #: by cause


class TrialItem(BaseModel):
    """A trial: one attempt at a configuration."""

    trial: int  #: Optuna's number
    configuration: int  #: of the search, from 0
    attempt: int  #: of the configuration, from 0
    state: State  #: as Optuna has it
    reason: str | None  #: why it ended; null while it runs
    values: list[Number]  #: one for each metric; empty where it has none
    epochs: int  #: trained, over all its runs
    best_epoch: int | None  #: from 1, at which the value of a single run was reached
    params: dict[str, Value]  #: its hyperparameters by name
    started_at: str | None  #: by the database's clock, as ISO 8601 in UTC
    ended_at: str | None  #: the same; null while it runs
    seconds: float | None  #: from claim to end; null while it runs
    worker: str | None  #: that claimed it
    error: str | None  #: the first line of why it failed


class Studies(BaseModel):
    """All studies, the oldest first."""

    studies: list[StudyItem]  #: as they were created


class Trials(BaseModel):
    """A page of trials by number, without those that wait."""

    total: int  #: trials that match, on all pages
    offset: int  #: how many of them come before this page
    trials: list[TrialItem]  #: of this page


class Best(BaseModel):
    """The best trial, or of several objectives those that no other dominates."""

    metrics: list[str]  #: what the study optimizes
    directions: list[str]  #: minimize or maximize, for each metric
    trials: list[TrialItem]  #: one, or the front


class Curve(BaseModel):
    """The learning curve of a trial."""

    trial: int  #: its number
    #: for each run every metric, one value an epoch; empty while it runs, and where the files are not at hand
    runs: list[dict[str, list[Number]]]
    #: what Optuna was told, by step: the rungs and about thirty values
    reported: dict[int, Number]


def number(value: float) -> Number:
    """Return a number that JSON can hold, or its name.

    >>> number(0.5), number(float("inf"))
    (0.5, 'inf')
    """
    if math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def study_item(summary: Summary) -> StudyItem:
    """Return a study in the list of all."""
    study, best = summary.study, summary.best
    return StudyItem(
        name=study.name,
        state=summary.state,
        metrics=list(study.spec.metrics),
        directions=list(study.spec.directions),
        trials=study.budget,
        settled=summary.settled,
        best=None if best is None or best.value is None else number(best.value),
        created_at=iso(study.created_at),
        ended_at=iso(study.ended_at),
    )


def study(summary: Summary) -> Study:
    """Return where a study stands."""
    return Study(
        **dict(study_item(summary)),
        ending_message=summary.study.ending_message,
        complete=summary.complete,
        pruned=summary.pruned,
        failed=summary.failed,
        running=summary.states.get(State.RUNNING, 0),
        waiting=summary.states.get(State.WAITING, 0),
        retries=summary.retries,
        training=[one.number for one in summary.running],
        most_epochs=summary.study.spec.attempt_epochs,
        epochs_trained=summary.epochs_trained,
        epochs_saved=summary.epochs_saved,
        seconds_left=summary.seconds_left,
        stops=list(summary.stops),
        front=[one.number for one in summary.front],
        workers=[
            Worker(
                id=one.worker_id,
                host=one.host,
                slots=one.slots,
                beat_s_ago=round(max(summary.now - one.beat_at, 0.0), 3),
                late=one.late(summary.now),
            )
            for one in summary.workers
        ],
        failures=[
            Failures(
                reason=one.reason, attempts=one.attempts, first=one.first, last_error=one.last_error, shows=one.shows
            )
            for one in summary.failures
        ],
    )


def trial_item(trial: Trial) -> TrialItem:
    """Return a trial."""
    attempt = trial.attempt
    return TrialItem(
        trial=attempt.number,
        configuration=attempt.configuration,
        attempt=attempt.attempt,
        state=attempt.state,
        reason=attempt.reason,
        values=[number(one) for one in attempt.values],
        epochs=attempt.epoch,
        best_epoch=trial.best_epoch,
        params={name: number(one) if isinstance(one, float) else one for name, one in trial.params.items()},
        started_at=iso(trial.started_at),
        ended_at=iso(attempt.ended_at),
        seconds=None if trial.seconds is None else round(trial.seconds, 3),
        worker=attempt.owner,
        error=None if trial.failure is None else trial.failure.fingerprint,
    )


def curve(runs: list[Mapping[str, list[float]]], trial: Trial) -> Curve:
    """Return a trial's learning curve."""
    return Curve(
        trial=trial.attempt.number,
        runs=[{name: [number(one) for one in values] for name, values in run.items()} for run in runs],
        reported={step: number(value) for step, value in trial.reported.items()},
    )
