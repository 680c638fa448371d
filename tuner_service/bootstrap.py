"""The one place that reads the environment, keeps its secrets from child processes, and picks the backend."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuner_service.storage.ledger_storage import LedgerStorage
    from tuner_service.storage.url import StorageUrl

STORAGE_VARIABLE = "TUNER_STORAGE"
ARTIFACTS_VARIABLE = "TUNER_ARTIFACTS"
#: Number of the pipe through which a re-executed command gets the URL that it must not keep in its environment.
_PIPE_VARIABLE = "TUNER_STORAGE_PIPE"
#: What libpq would read for itself, and leave in the environment of every child.
_LIBPQ_PASSWORD = "PGPASSWORD"  # noqa: S105 - the variable's name

_SECRET = re.compile(r"://[^/@]*:[^/@]+@|[?&]password=", re.IGNORECASE)

_handed_over: str | None = None


def scrub(argv: Sequence[str]) -> None:
    """Make sure that no password is in this process's environment or arguments, where its children could read it.

    Where there is one, the program is executed again without it, and gets the URL through a pipe. It must be called
    before anything else is done.
    """
    global _handed_over  # noqa: PLW0603 - a process has one environment
    pipe = os.environ.pop(_PIPE_VARIABLE, None)
    if pipe is not None:
        with os.fdopen(int(pipe), encoding="utf-8") as source:
            _handed_over = source.read()
        _hide()
        return
    url, rest = _take_storage(list(argv))
    url = url or os.environ.get(STORAGE_VARIABLE)
    if url is None or not (_SECRET.search(url) or os.environ.get(_LIBPQ_PASSWORD)):
        return
    environment = {key: value for key, value in os.environ.items() if key not in (STORAGE_VARIABLE, _LIBPQ_PASSWORD)}
    readable, writable = os.pipe()
    with os.fdopen(writable, "w", encoding="utf-8") as target:
        target.write(_with_password(url, os.environ.get(_LIBPQ_PASSWORD)))
    os.set_inheritable(readable, True)
    environment[_PIPE_VARIABLE] = str(readable)
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", "tuner_service", *rest], environment)  # noqa: S606 - this program


def guards_secret() -> bool:
    """Return whether this process was given a password that its children must not see."""
    return _handed_over is not None


def storage_url(option: str | None = None) -> StorageUrl:
    """Return the storage that an option, the environment or the default names, in this order.

    Raises:
        StorageError: If it is no URL of a known storage.
    """
    from tuner_service.storage.url import DEFAULT_URL, StorageUrl

    return StorageUrl.parse(option or _handed_over or os.environ.get(STORAGE_VARIABLE) or DEFAULT_URL)


def open_storage(url: str | StorageUrl | None = None) -> LedgerStorage:
    """Return the storage of an URL, or of the environment; nothing is connected or made yet.

    >>> open_storage("sqlite:///studies.db").close()
    """
    parsed = storage_url(url) if url is None or isinstance(url, str) else url
    if parsed.backend == "redis":
        from tuner_service.storage.redis.storage import RedisLedgerStorage

        return RedisLedgerStorage(parsed)
    from tuner_service.storage.sql.storage import SqlLedgerStorage

    return SqlLedgerStorage(parsed)


def artifacts_url(option: str | None = None) -> str | None:
    """Return where curves and models of a new study are kept, if an option or the environment says."""
    return option or os.environ.get(ARTIFACTS_VARIABLE)


def _take_storage(argv: list[str]) -> tuple[str | None, list[str]]:
    """Return the value of ``--storage`` and the arguments without it, if it holds a secret."""
    for index, argument in enumerate(argv):
        if argument == "--storage" and index + 1 < len(argv) and _SECRET.search(argv[index + 1]):
            return argv[index + 1], argv[:index] + argv[index + 2 :]
        if argument.startswith("--storage=") and _SECRET.search(argument):
            return argument.removeprefix("--storage="), argv[:index] + argv[index + 1 :]
    return None, argv


def _with_password(url: str, password: str | None) -> str:
    if not password or _SECRET.search(url):
        return url
    from tuner_service.storage.url import StorageUrl

    return StorageUrl.parse(url).with_password(password).secret_text


def _hide() -> None:
    from tuner_service.training.parent import hide_memory

    hide_memory()
