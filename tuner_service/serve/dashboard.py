"""optuna-dashboard over the studies, for those who look and for those who write."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

import optuna
from a2wsgi import WSGIMiddleware
from optuna_dashboard import wsgi
from starlette.types import ASGIApp, Receive, Scope, Send

from tuner_service.errors import StorageError
from tuner_service.serve.gate import may_write

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_log = logging.getLogger(__name__)

#: Requests that are answered at a time.
_THREADS = 8

OptunaStorage = Callable[[], optuna.storages.BaseStorage]


class Dashboard:
    """The dashboard as an ASGI application.

    Args:
        reading: Opens the storage that cannot write; everybody who may only look is shown that one.
        writing: Opens the one that can, if anybody may.
    """

    def __init__(self, reading: OptunaStorage, writing: OptunaStorage | None) -> None:
        self._reading = _asgi(reading)
        self._writing = self._reading if writing is None else _asgi(writing)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that the gate has let through."""
        await (self._writing if may_write(scope) else self._reading)(scope, receive, send)


class _Lazy:
    """The dashboard as a WSGI application, made at the first request that finds the storage there."""

    def __init__(self, open_storage: OptunaStorage) -> None:
        self._open_storage = open_storage
        self._lock = threading.Lock()
        self._app: WSGIApplication | None = None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            with self._lock:
                self._app = self._app or wsgi(self._open_storage())
        except StorageError as error:
            _log.warning("%s", error)
            start_response("503 Service Unavailable", [("Content-Type", "text/plain")])
            return [b"the storage does not answer, or holds no study yet\n"]
        # It looks there without looking whether it is there.
        environ.setdefault("HTTP_ACCEPT_ENCODING", "identity")
        return self._app(environ, start_response)


def _asgi(open_storage: OptunaStorage) -> ASGIApp:
    dashboard: Any = _Lazy(open_storage)  # a2wsgi has types of WSGI and ASGI of its own
    app: Any = WSGIMiddleware(dashboard, workers=_THREADS)
    return cast(ASGIApp, app)
