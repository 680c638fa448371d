"""The server: one process, one port."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from tuner_service.errors import ServeError

#: Requests that are answered at a time; more are told to come again.
_MOST_REQUESTS = 200
#: How long streams may go on once the server is to stop, in seconds.
_GOODBYE_S = 2


def listen(host: str, port: int, *, login: bool) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ServeError: If the address cannot be used, or is not of this machine alone while nobody has to log in.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ServeError(f"--host {host} is no address: {error.strerror}") from None
    if not login and not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
        raise ServeError(
            f"{host} can be reached from elsewhere, so whoever looks must log in: "
            "give --token-file or --users-file, or serve 127.0.0.1 only"
        )
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise ServeError(f"{host} port {port} cannot be listened on: {error.strerror}; choose another --port") from None
    return listener


def url_of(listener: socket.socket) -> str:
    """Return where a browser of this machine finds it."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def serve(app: ASGIApp, listener: socket.socket, *, trusted_proxy: str, started: Callable[[], object]) -> None:
    """Answer until SIGTERM or Ctrl-C.

    Args:
        app: What answers.
        listener: Where.
        trusted_proxy: Addresses whose word counts on where a request came from, with commas, or ``*``.
        started: Called before the first request.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="off",
        forwarded_allow_ips=trusted_proxy,
        limit_concurrency=_MOST_REQUESTS,
        timeout_graceful_shutdown=_GOODBYE_S,
    )
    started()
    uvicorn.Server(config).run(sockets=[listener])
