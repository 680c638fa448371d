"""Live curves as server-sent events: where the trials that run stand, as it is heard of."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from anyio import sleep, to_thread
from fastapi import APIRouter, Depends, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel

from tuner_service.domain.attempt import Attempt
from tuner_service.domain.spec import StudyName
from tuner_service.errors import StorageError, StudyNotFoundError
from tuner_service.results.trials import first_epoch
from tuner_service.serve import models
from tuner_service.serve.api import NOT_FOUND, REFUSALS
from tuner_service.serve.reading import Reading, Readings, Reported
from tuner_service.storage.live import LiveEpoch, LiveMetrics

#: What an event is called, as Redis numbers them.
_ID = re.compile(r"\d{1,20}-\d{1,20}")
#: How often it is looked for something new, in seconds.
LOOK_S = 1.0

#: Described here since FastAPI takes a stream's errors for streams.
_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"description": one["description"], "content": _ERROR} for status, one in {**REFUSALS, **NOT_FOUND}.items()
}


class Epoch(BaseModel):
    """Where a trial stands after an epoch."""

    trial: int
    epoch: int  #: trained so far, over all runs
    run: int
    metrics: dict[str, models.Number]


def _epoch(live: LiveEpoch) -> Epoch:
    metrics = {name: models.number(value) for name, value in live.metrics.items()}
    return Epoch(trial=live.trial, epoch=live.epoch, run=live.run, metrics=metrics)


def _known(name: StudyName, request: Request) -> Reading:
    """Return the study before the stream begins: later there is no status to say that it is not there."""
    readings: Readings = request.app.state.readings
    return readings.study(name)


def live_router(readings: Readings, metrics: LiveMetrics | None) -> APIRouter:
    """Return ``/v1/studies/{name}/live``, which hears of epochs from ``metrics`` where those are at hand."""
    router = APIRouter(prefix="/v1")

    @router.get("/studies/{name}/live", response_class=EventSourceResponse, responses=_REFUSALS)
    async def live(
        reading: Annotated[Reading, Depends(_known)], last_event_id: Annotated[str | None, Header()] = None
    ) -> AsyncIterator[ServerSentEvent]:
        """Stream the study while it goes on.

        `epoch`: a running trial has come further; `study`: something else has changed; `ended`: the last event.
        """
        name, stream, told = reading.study.name, reading.study.probe, Told()
        after = last_event_id if last_event_id and _ID.fullmatch(last_event_id) else "0"
        heard: set[int] = set()
        while True:
            young = None if metrics is None else await to_thread.run_sync(metrics.read, stream, after)
            for number, epoch in young or ():
                after = number
                yield ServerSentEvent(event="epoch", id=number, data=_epoch(epoch))
            # Of a trial whose epochs do not come that way the storage knows some.
            heard = set() if young is None else heard | {epoch.trial for _, epoch in young}
            unheard = [one for one in reading.summary.running if one.number not in heard]
            reported = await to_thread.run_sync(_reported, readings, reading) if unheard else {}
            for event in told.news(reading, unheard, reported):
                yield event
            if reading.study.ending is not None:
                yield ServerSentEvent(event="ended", data=models.study_item(reading.summary))
                return
            await sleep(LOOK_S)
            try:
                reading = await to_thread.run_sync(readings.study, name)
            except StorageError:
                # It comes back, or the reader goes away.
                continue
            except StudyNotFoundError:
                # It was deleted; who asks again is told.
                return

    return router


def _reported(readings: Readings, reading: Reading) -> Reported:
    try:
        return readings.reported(reading)
    except StorageError:
        return {}


class Told:
    """What one reader of a stream has been told."""

    def __init__(self) -> None:
        self._study: models.Study | None = None
        self._epochs: dict[int, int] = {}

    def news(self, reading: Reading, running: Sequence[Attempt], reported: Reported) -> list[ServerSentEvent]:
        """Return what is new in a reading, and take it for told.

        Args:
            reading: The study.
            running: The trials of whose epochs is to be told: those that were reported, and that of the last beat.
            reported: What trials have reported.
        """
        events = []
        watched, first = reading.study.spec.watched, first_epoch(reading.study)
        for one in running:
            known: dict[int, tuple[int, float | None]] = {}
            known |= {step + first: (0, value) for step, value in reported.get(one.number, {}).items()}
            if one.epoch:
                known[one.epoch] = one.run, one.last_value
            for epoch, (run, value) in sorted(known.items()):
                if epoch > self._epochs.get(one.number, 0):
                    self._epochs[one.number] = epoch
                    metrics = {} if value is None else {watched: models.number(value)}
                    news = Epoch(trial=one.number, epoch=epoch, run=run, metrics=metrics)
                    events.append(ServerSentEvent(event="epoch", data=news))
        study = models.study(reading.summary)
        # What changes by itself, with time, is no news.
        steady = study.model_copy(update={"workers": [], "seconds_left": None})
        if steady != self._study:
            self._study = steady
            events.append(ServerSentEvent(event="study", data=study))
        return events
