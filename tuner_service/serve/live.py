"""Live curves as server-sent events: where the trials that run stand, as it is heard of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from anyio import sleep, to_thread
from fastapi import APIRouter, Depends, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel

from tuner_service.domain.spec import StudyName
from tuner_service.errors import StorageError
from tuner_service.serve import models
from tuner_service.serve.reading import Reading, Readings

#: How often it is looked for something new, in seconds.
LOOK_S = 1.0


class Epoch(BaseModel):
    """Where a trial stands after an epoch."""

    trial: int
    epoch: int  #: trained so far, over all runs
    run: int
    metrics: dict[str, models.Number]


def _known(name: StudyName, request: Request) -> Reading:
    """Return the study before the stream begins: later there is no status to say that it is not there."""
    readings: Readings = request.app.state.readings
    return readings.study(name)


def live_router(readings: Readings) -> APIRouter:
    """Return ``/v1/studies/{name}/live``."""
    router = APIRouter(prefix="/v1")

    @router.get("/studies/{name}/live", response_class=EventSourceResponse)
    async def live(reading: Annotated[Reading, Depends(_known)]) -> AsyncIterator[ServerSentEvent]:
        """Stream the study while it goes on.

        `epoch`: a running trial has come further; `study`: something else has changed; `ended`: the last event.
        """
        name, told = reading.study.name, Told()
        while True:
            for event in told.news(reading):
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

    return router


class Told:
    """What one reader of a stream has been told."""

    def __init__(self) -> None:
        self._study: models.Study | None = None
        self._epochs: dict[int, tuple[int, int]] = {}

    def news(self, reading: Reading) -> list[ServerSentEvent]:
        """Return what is new in a reading, and take it for told."""
        events = []
        for one in reading.summary.running:
            if one.epoch and self._epochs.get(one.number) != (one.run, one.epoch):
                self._epochs[one.number] = (one.run, one.epoch)
                metrics = {} if one.last_value is None else {reading.study.spec.watched: models.number(one.last_value)}
                epoch = Epoch(trial=one.number, epoch=one.epoch, run=one.run, metrics=metrics)
                events.append(ServerSentEvent(event="epoch", data=epoch))
        study = models.study(reading.summary)
        # What changes by itself, with time, is no news.
        steady = study.model_copy(update={"workers": [], "seconds_left": None})
        if steady != self._study:
            self._study = steady
            events.append(ServerSentEvent(event="study", data=study))
        return events
