"""The read API: studies, their best trials, trials page by page, and learning curves."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query

from tuner_service.domain.outcome import State
from tuner_service.domain.spec import StudyName
from tuner_service.results import trials as results
from tuner_service.serve import models
from tuner_service.serve.reading import Readings

#: Largest trial number of Optuna's tables.
_MOST = 2**31 - 1

Number = Annotated[int, Query(ge=0, le=_MOST, description="The trial's number.")]

REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": models.Error, "description": "Nobody is logged in."},
    503: {"model": models.Error, "description": "The storage does not answer."},
}
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": models.Error, "description": "It is not there."}}


def api_router(readings: Readings) -> APIRouter:
    """Return the routes below ``/v1``."""
    router = APIRouter(prefix="/v1", responses=REFUSALS)

    @router.get("/studies")
    def studies() -> models.Studies:
        """List all studies, the oldest first."""
        return models.Studies(studies=[models.study_item(one.summary) for one in readings.studies()])

    @router.get("/studies/{name}", responses=NOT_FOUND)
    def study(name: StudyName) -> models.Study:
        """Tell where a study stands: its trials by outcome, its workers, its best."""
        return models.study(readings.study(name).summary)

    @router.get("/studies/{name}/best", responses=NOT_FOUND)
    def best(name: StudyName) -> models.Best:
        """Return the best trial with its parameters; of several objectives those that no other dominates."""
        reading = readings.study(name)
        numbers = [one.number for one in reading.summary.front]
        if not numbers:
            raise HTTPException(404, f"study {name!r} has no complete trial yet")
        found = {one.attempt.number: one for one in readings.storage.trials(reading.study.study_id, numbers=numbers)}
        return models.Best(
            metrics=list(reading.study.spec.metrics),
            directions=list(reading.study.spec.directions),
            trials=[models.trial_item(found[number]) for number in numbers if number in found],
        )

    @router.get("/studies/{name}/trials", responses=NOT_FOUND)
    def trials(
        name: StudyName,
        offset: Annotated[int, Query(ge=0, le=_MOST, description="Trials to leave out.")] = 0,
        limit: Annotated[int, Query(ge=1, le=1000, description="Trials of a page.")] = 100,
        state: Annotated[list[State] | None, Query(description="Only trials in these states.")] = None,
    ) -> models.Trials:
        """List the trials that somebody has claimed, by number, page by page."""
        reading = readings.study(name)
        wanted = [one.number for one in reading.attempts if one.claimed_at is not None]
        if state:
            wanted = [one.number for one in reading.attempts if one.claimed_at is not None and one.state in state]
        page = wanted[offset : offset + limit]
        found = readings.storage.trials(reading.study.study_id, numbers=page) if page else []
        return models.Trials(total=len(wanted), offset=offset, trials=[models.trial_item(one) for one in found])

    @router.get("/studies/{name}/curve", responses=NOT_FOUND)
    def curve(name: StudyName, trial: Number) -> models.Curve:
        """Return every metric of every epoch of a trial that has ended, and what Optuna was told of any."""
        study = readings.study(name).study
        found = readings.storage.trials(study.study_id, numbers=[trial], curves=True)
        if not found:
            raise HTTPException(404, f"study {name!r} has no trial {trial}")
        return models.curve(results.curves_for_looking(study, trial), found[0])

    return router
