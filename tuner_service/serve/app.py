"""The application: everything that one port serves, behind the gate."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from importlib.metadata import version

from fastapi import FastAPI, Request
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from tuner_service.errors import StorageError, StudyNotFoundError
from tuner_service.serve.api import api_router
from tuner_service.serve.dashboard import Dashboard, OptunaStorage
from tuner_service.serve.gate import Gate
from tuner_service.serve.live import live_router
from tuner_service.serve.live_page import live_page_routes
from tuner_service.serve.login import login_routes
from tuner_service.serve.metrics import StudyMetrics
from tuner_service.serve.reading import Readings
from tuner_service.serve.users import Users
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.storage.live import LiveMetrics

_log = logging.getLogger(__name__)

#: How long the storage is taken to be as it was found, in seconds: `/readyz` needs no login.
_READY_S = 1.0
#: Of what is larger than a few packets; more would take longer than it saves.
_COMPRESSED_FROM, _COMPRESSION = 1024, 5


def make_app(
    storage: LedgerStorage,
    users: Users | None,
    writing: OptunaStorage | None = None,
    live: LiveMetrics | None = None,
) -> ASGIApp:
    """Return the application.

    Args:
        storage: What is read; it should not be able to write.
        users: Who may log in, or ``None`` where everybody may look.
        writing: Opens Optuna's storage for those who may write, if anybody may.
        live: Where workers publish their epochs, if anywhere.
    """
    readings = Readings(storage)
    app = FastAPI(
        title="tuner-service",
        version=version("tuner-service"),
        description="Read studies, their trials and their learning curves.",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.readings = readings
    app.include_router(api_router(readings))
    app.include_router(live_router(readings, live))
    app.router.routes.extend(live_page_routes())
    app.add_exception_handler(StudyNotFoundError, _not_found)
    app.add_exception_handler(StorageError, _unavailable)
    _add_probes(app, _Ready(storage))
    _add_metrics(app, readings)
    if users is not None:
        app.router.routes.extend(login_routes(users))
    # Whatever is left is its own: it cannot live below a path.
    app.mount("/", Dashboard(storage.optuna_storage, writing))
    return Gate(GZipMiddleware(app, _COMPRESSED_FROM, _COMPRESSION), users)


def _add_probes(app: FastAPI, ready: Callable[[], bool]) -> None:
    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", include_in_schema=False)
    def readyz() -> Response:
        if ready():
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "the storage does not answer, or has no tables yet"}, 503)


def _add_metrics(app: FastAPI, readings: Readings) -> None:
    registry = CollectorRegistry()
    registry.register(StudyMetrics(readings))

    @app.get("/metrics", include_in_schema=False)
    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), media_type=content_type)


class _Ready:
    """Whether the storage answers, asked at most once a second."""

    def __init__(self, storage: LedgerStorage) -> None:
        self._storage = storage
        self._found = False
        self._until = 0.0

    def __call__(self) -> bool:
        if time.monotonic() >= self._until:
            self._until = time.monotonic() + _READY_S
            try:
                self._storage.check_tables()
                self._found = True
            except StorageError as error:
                _log.info("%s", error)
                self._found = False
        return self._found


def _not_found(_: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 404)


def _unavailable(_: Request, error: Exception) -> Response:
    # Where the storage is, is nothing that a page tells.
    _log.warning("%s", error)
    return JSONResponse({"detail": "the storage does not answer"}, 503)
