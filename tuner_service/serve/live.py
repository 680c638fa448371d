"""Live curves as server-sent events: where the trials that run stand, as it is heard of."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Annotated

from anyio import sleep, to_thread
from fastapi import APIRouter, Depends, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel

from tuner_service.domain.spec import StudyName
from tuner_service.errors import StorageError
from tuner_service.serve import models
from tuner_service.serve.reading import Reading, Readings
from tuner_service.storage.live import LiveEpoch, LiveMetrics

#: What an event is called, as Redis numbers them.
_ID = re.compile(r"\d{1,20}-\d{1,20}")
#: How often it is looked for something new, in seconds.
LOOK_S = 1.0


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

    @router.get("/studies/{name}/live", response_class=EventSourceResponse)
    async def live(
        reading: Annotated[Reading, Depends(_known)], last_event_id: Annotated[str | None, Header()] = None
    ) -> AsyncIterator[ServerSentEvent]:
        """Stream the study while it goes on.

        `epoch`: a running trial has come further; `study`: something else has changed; `ended`: the last event.
        """
        name, stream, told = reading.study.name, reading.study.probe, Told()
        after = last_event_id if last_event_id and _ID.fullmatch(last_event_id) else "0"
        while True:
            young = None if metrics is None else await to_thread.run_sync(metrics.read, stream, after)
            for number, epoch in young or ():
                after = number
                yield ServerSentEvent(event="epoch", id=number, data=_epoch(epoch))
            for event in told.news(reading, with_epochs=young is None):
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

    def news(self, reading: Reading, *, with_epochs: bool) -> list[ServerSentEvent]:
        """Return what is new in a reading, and take it for told."""
        events = []
        for one in reading.summary.running if with_epochs else ():
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
