"""Storage URLs: which backend, and never a password in anything that people or logs see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from tuner_service.errors import StorageError

Backend = Literal["sqlite", "postgresql", "redis"]

DEFAULT_URL = "sqlite:///tuner.db"
_KNOWN = "sqlite:///FILE, postgresql://USER@HOST/DATABASE or redis://HOST:PORT/NUMBER"
_BACKENDS: dict[str, Backend] = {
    "sqlite": "sqlite",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "redis": "redis",
    "rediss": "redis",
}


@dataclass(frozen=True)
class StorageUrl:
    """A checked storage URL. Its text form hides the password."""

    backend: Backend
    url: URL

    @classmethod
    def parse(cls, text: str) -> StorageUrl:
        """Return the URL that a text gives.

        Raises:
            StorageError: If it is no URL, or of a backend that this service does not know. The text itself is not
                repeated, since it may hold a password.
        """
        try:
            url = make_url(text)
        except (ArgumentError, ValueError):
            raise StorageError(f"the storage URL cannot be read; use {_KNOWN}") from None
        scheme = url.drivername.split("+")[0]
        backend = _BACKENDS.get(scheme)
        if backend is None:
            raise StorageError(f"the storage {scheme}:// is not known; use {_KNOWN}")
        if "@" in (url.host or ""):
            # What stands before the last @ would be shown as the host.
            raise StorageError(
                "the storage URL has an @ in its password or user; write it as %40, a : as %3A and a / as %2F"
            )
        if backend == "sqlite" and not _is_file(url.database):
            raise StorageError(f"an SQLite storage needs a file, such as {DEFAULT_URL}: workers are processes")
        if backend == "sqlite":
            url = url.set(drivername="sqlite")
        if backend == "postgresql":
            # Named, because the driver that SQLAlchemy takes by default changed between its versions.
            url = url.set(drivername="postgresql+psycopg2")
        return cls(backend, url)

    @property
    def secret_text(self) -> str:
        """The URL with its password, for the client library and nobody else."""
        return self.url.render_as_string(hide_password=False)

    def with_password(self, password: str) -> StorageUrl:
        """Return the same URL with a password."""
        return StorageUrl(self.backend, self.url.set(password=password))

    def __str__(self) -> str:
        shown = self.url.set(drivername=self.url.drivername.split("+")[0])
        # libpq takes `password` and `sslpassword` as options too.
        shown = shown.update_query_dict({key: "***" for key in shown.query if key.endswith("password")})
        return shown.render_as_string(hide_password=True).replace("%2A%2A%2A", "***")

    def __repr__(self) -> str:
        return f"StorageUrl({str(self)!r})"


def _is_file(database: str | None) -> bool:
    # A name that begins with "file:" is an URI of SQLite's own, in memory or read-only as it says.
    return bool(database) and ":memory:" not in str(database) and not str(database).startswith("file:")
