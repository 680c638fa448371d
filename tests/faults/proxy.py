"""A TCP proxy in front of PostgreSQL that loses replies and swallows packets."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

#: The message of the protocol with which a client commits.
_COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"


class Proxy:
    """Forwards connections to a port of this machine until told otherwise; a context manager.

    Args:
        to: The server's port.
        drops: Whether the reply of the n-th COMMIT, counted from 1 over all connections, is dropped: the server has
            committed, and the client sees its connection end.
    """

    def __init__(self, to: int, *, drops: Callable[[int], bool] = lambda _: False) -> None:
        self._to = to
        self._drops = drops
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._open.set()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.commits = 0
        self.dropped = 0

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.let_through()
        with self._lock:
            for one in (self._listener, *self._sockets):
                _hang_up(one)

    def swallow(self) -> None:
        """Let nothing through from now on, and tell nobody."""
        self._open.clear()

    def let_through(self) -> None:
        """Let through again, also what has been held back."""
        self._open.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                with self._lock:
                    self._sockets += [client, server]
                lost = threading.Event()
                threading.Thread(target=self._to_server, args=(client, server, lost), daemon=True).start()
                threading.Thread(target=self._to_client, args=(server, client, lost), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                self._open.wait()
                if _COMMIT in data:
                    with self._lock:
                        self.commits += 1
                        if self._drops(self.commits):
                            self.dropped += 1
                            lost.set()
                server.sendall(data)
        _hang_up(server)

    def _to_client(self, server: socket.socket, client: socket.socket, lost: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                self._open.wait()
                if lost.is_set():
                    break
                client.sendall(data)
        _hang_up(server)
        _hang_up(client)


def _hang_up(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
