"""TLS to PostgreSQL: a URL with sslmode=verify-full trusts no other server."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import pytest
import trustme

from tests.servers import PostgresServer
from tuner_service.bootstrap import open_storage
from tuner_service.errors import StorageUnavailableError

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class TlsFront:
    """What a PostgreSQL with TLS is to its clients, in front of the tests' server, which was built without it."""

    def __init__(self, server: PostgresServer, certificate: trustme.LeafCert | None) -> None:
        self._path = str(server.directory / ".s.PGSQL.5432")
        self._context = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(self._context)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no further connection."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            if client.recv(8, socket.MSG_WAITALL) != _SSL_REQUEST:
                return
            if self._context is None:
                client.sendall(b"N")
                return
            client.sendall(b"S")
            with self._context.wrap_socket(client, server_side=True) as secure, socket.socket(socket.AF_UNIX) as server:
                server.connect(self._path)
                threading.Thread(target=_copy, args=(server, secure), daemon=True).start()
                _copy(secure, server)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Provide the authority that the clients trust."""
    return trustme.CA()


@pytest.fixture
def url(
    postgres_url: str, postgres_server: PostgresServer, authority: trustme.CA, tmp_path: Path
) -> Iterator[Callable[[trustme.LeafCert | None], str]]:
    """Provide the URL of a database whose server shows a certificate, for clients that verify it."""
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    database = postgres_url.partition("@/")[2].partition("?")[0]
    fronts: list[TlsFront] = []

    def url_of(certificate: trustme.LeafCert | None) -> str:
        fronts.append(TlsFront(postgres_server, certificate))
        options = urlencode({"sslmode": "verify-full", "sslrootcert": str(tmp_path / "ca.crt")})
        return f"postgresql://postgres:@localhost:{fronts[-1].port}/{database}?{options}"

    yield url_of
    for front in fronts:
        front.close()


def test_the_right_server_is_used(url: Callable[[trustme.LeafCert | None], str], authority: trustme.CA) -> None:
    """Its tables are made and read, by the ledger and by Optuna."""
    with closing(open_storage(url(authority.issue_cert("localhost")))) as storage:
        storage.create_tables()
        assert storage.optuna_storage().get_all_studies() == []


def test_a_certificate_of_somebody_else_is_refused(url: Callable[[trustme.LeafCert | None], str]) -> None:
    """Its authority is not the one that the URL names."""
    with (
        closing(open_storage(url(trustme.CA().issue_cert("localhost")))) as storage,
        pytest.raises(StorageUnavailableError, match="certificate verify failed"),
    ):
        storage.check_tables()


def test_a_certificate_of_another_host_is_refused(
    url: Callable[[trustme.LeafCert | None], str], authority: trustme.CA
) -> None:
    """The name is compared too."""
    with (
        closing(open_storage(url(authority.issue_cert("other.example")))) as storage,
        pytest.raises(StorageUnavailableError, match="does not match host name"),
    ):
        storage.check_tables()


def test_a_server_without_tls_is_refused(url: Callable[[trustme.LeafCert | None], str]) -> None:
    """Nothing is sent to it in the clear."""
    with (
        closing(open_storage(url(None))) as storage,
        pytest.raises(StorageUnavailableError, match="server does not support SSL"),
    ):
        storage.check_tables()
