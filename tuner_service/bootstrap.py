"""The one place that reads the environment, keeps its secrets from child processes, and picks the backend."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuner_service.storage.secret import holds_secret
from tuner_service.training.parent import (
    SECRET_FOLDERS,
    SECRETS_PIPE,
    can_be_closed,
    hand_over,
    hide_memory,
    secret_folders,
    take_over,
)

if TYPE_CHECKING:
    from tuner_service.ledger.notices import Notifier
    from tuner_service.results.study import Study
    from tuner_service.storage.ledger_storage import LedgerStorage
    from tuner_service.storage.live import LiveMetrics
    from tuner_service.storage.url import StorageUrl

STORAGE_VARIABLE = "TUNER_STORAGE"
#: A Redis that carries live metrics; a web address that is told of studies, and is a secret as a whole.
LIVE_VARIABLE, WEBHOOK_VARIABLE = "TUNER_LIVE", "TUNER_WEBHOOK"
#: What follows the name of each of these where it names a file with the URL, such as one of a mounted Secret.
FILE_SUFFIX = "_FILE"
STORAGE_FILE_VARIABLE = STORAGE_VARIABLE + FILE_SUFFIX
_URLS = (STORAGE_VARIABLE, LIVE_VARIABLE, WEBHOOK_VARIABLE)
ARTIFACTS_VARIABLE = "TUNER_ARTIFACTS"
#: Files with what opens `tuner serve`: a token, and names with passwords.
SERVE_TOKEN_FILE_VARIABLE = "TUNER_SERVE_TOKEN_FILE"  # noqa: S105 - the variable's name
SERVE_USERS_FILE_VARIABLE = "TUNER_SERVE_USERS_FILE"
#: What libpq would read for itself, and leave in the environment of every child.
_LIBPQ_PASSWORD = "PGPASSWORD"  # noqa: S105 - the variable's name

_handed_over: Mapping[str, str] | None = None


def scrub(argv: Sequence[str]) -> None:
    """Make sure that no password is in this process's environment or arguments, where its children could read it.

    Where there is one, the program is executed again without it, and gets the URL through a pipe. It must be called
    before anything else is done.
    """
    global _handed_over  # noqa: PLW0603 - a process has one environment
    taken = take_over(SECRETS_PIPE)
    if taken is not None:
        _handed_over = json.loads(taken)
        hide_memory()
        return
    password = os.environ.get(_LIBPQ_PASSWORD)
    option, rest = _take_storage(list(argv), even_without_secret=password is not None)
    urls = {variable: _url_of(variable) for variable in _URLS}
    urls[STORAGE_VARIABLE] = option or urls[STORAGE_VARIABLE]
    if option is None and password is None and not any(map(_is_secret, urls, urls.values())):
        return
    files = {variable + FILE_SUFFIX for variable in _URLS} & os.environ.keys()
    secret = (*_URLS, *files, _LIBPQ_PASSWORD)
    environment = {key: value for key, value in os.environ.items() if key not in secret}
    if files:
        # They stay where they are, so the processes that run a study's code lose the right to read them.
        folders = {str(Path(os.environ[file]).parent.absolute()) for file in files}
        environment[SECRET_FOLDERS] = json.dumps(sorted(folders))
    urls[STORAGE_VARIABLE] = _with_password(urls[STORAGE_VARIABLE], password)
    environment[SECRETS_PIPE] = str(hand_over(json.dumps(urls)))
    sys.stdout.flush()
    # -P: a file of the working folder must not be taken for a package here.
    os.execve(sys.executable, [sys.executable, "-P", "-m", "tuner_service", *rest], environment)  # noqa: S606


def leaves_secret_open() -> bool:
    """Return whether a study's code could read a file that a secret came from."""
    from tuner_service.training.landlock import can_close

    folders = secret_folders()
    return guards_secret() and bool(folders) and not (can_close() and all(map(can_be_closed, folders)))


def guards_secret() -> bool:
    """Return whether this process was given a secret that its children must not see."""
    return _handed_over is not None and any(map(_is_secret, _handed_over, _handed_over.values()))


def storage_url(option: str | None = None) -> StorageUrl:
    """Return the storage that an option, the environment or the default names, in this order.

    Raises:
        StorageError: If it is no URL of a known storage.
    """
    from tuner_service.storage.url import DEFAULT_URL, StorageUrl

    file = os.environ.get(STORAGE_FILE_VARIABLE)
    named = option or _given(STORAGE_VARIABLE)
    if not named and file:
        from tuner_service.errors import StorageError

        raise StorageError(f"{file} of {STORAGE_FILE_VARIABLE} is not there, is empty, or cannot be read")
    return StorageUrl.parse(named or DEFAULT_URL)


def open_storage(url: str | StorageUrl | None = None, *, reads_only: bool = False) -> LedgerStorage:
    """Return the storage of a URL, or of the environment; nothing is connected or made yet.

    With ``reads_only`` PostgreSQL and SQLite refuse what would write, whoever asks for it.

    >>> open_storage("sqlite:///studies.db").close()
    """
    parsed = storage_url(url) if url is None or isinstance(url, str) else url
    if parsed.backend == "redis":
        from tuner_service.storage.redis.storage import RedisLedgerStorage

        return RedisLedgerStorage(parsed)
    from tuner_service.storage.sql.storage import SqlLedgerStorage

    return SqlLedgerStorage(parsed, reads_only=reads_only)


def open_study(name: str, storage: str | None = None) -> Study:
    """Return a study to look at.

    Args:
        name: Its name.
        storage: Where it is kept; see ``storage_url``.

    Raises:
        StudyNotFoundError: If there is none of that name.
    """
    from tuner_service.results.study import Study

    return Study(open_storage(storage_url(storage)), name)


def live_metrics() -> LiveMetrics | None:
    """Return what carries live metrics, if the environment names a Redis for them; nothing is connected yet.

    Raises:
        StorageError: If it is no URL of a Redis.
    """
    named = _given(LIVE_VARIABLE)
    if not named:
        return None
    from tuner_service.errors import StorageError
    from tuner_service.storage.redis.live import RedisLive
    from tuner_service.storage.url import StorageUrl

    url = StorageUrl.parse(named)
    if url.backend != "redis":
        raise StorageError(f"{LIVE_VARIABLE} wants a Redis, redis://HOST:6379/0, got {url}")
    return RedisLive(url)


def notifier(storage: LedgerStorage) -> Notifier | None:
    """Return who tells of new bests and ends, if the environment names a web address for it.

    Raises:
        StorageError: If it is no web address.
    """
    from tuner_service.ledger.notices import Notifier, Webhook

    named = _given(WEBHOOK_VARIABLE)
    return Notifier(storage, Webhook(named)) if named else None


def handed_to_worker(url: StorageUrl) -> str:
    """Return what a worker process is handed through a pipe: this storage's URL, and the others that were given."""
    return json.dumps({**{one: _given(one) for one in _URLS}, STORAGE_VARIABLE: url.secret_text})


def login_files(token: Path | None = None, users: Path | None = None) -> tuple[Path | None, Path | None]:
    """Return the files with the token and with the users of ``tuner serve``, if options or the environment name any."""
    named = (os.environ.get(variable) for variable in (SERVE_TOKEN_FILE_VARIABLE, SERVE_USERS_FILE_VARIABLE))
    found = [option or (Path(name) if name else None) for option, name in zip((token, users), named, strict=True)]
    return found[0], found[1]


def artifacts_url(option: str | None = None) -> str | None:
    """Return where curves and models of a new study are kept, if an option or the environment says."""
    return option or os.environ.get(ARTIFACTS_VARIABLE)


def _given(variable: str) -> str:
    """Return a URL that was handed over, or that the environment or a file of it names; empty where there is none."""
    return _url_of(variable) if _handed_over is None else _handed_over.get(variable, "")


def _url_of(variable: str) -> str:
    return os.environ.get(variable) or _read(os.environ.get(variable + FILE_SUFFIX))


def _is_secret(variable: str, url: str) -> bool:
    # Of a web address everything may be: what is to be known of it is in its path.
    return bool(url) and (variable == WEBHOOK_VARIABLE or holds_secret(url))


def _read(file: str | None) -> str:
    """Return the URL in a file, nothing where none is named, or it is not there: ``storage_url`` says so."""
    try:
        return Path(file).read_text(encoding="utf-8").strip() if file else ""
    except OSError:
        return ""


def _take_storage(argv: list[str], *, even_without_secret: bool) -> tuple[str | None, list[str]]:
    """Return the value of ``--storage`` and the arguments without it, if one holds a secret or in any case.

    Said more than once, the last one holds, as for any option.
    """
    found, rest = [], []
    words = iter(argv)
    for argument in words:
        name, separator, value = argument.partition("=")
        given = (value if separator else next(words, None)) if name == "--storage" else None
        if given is None:
            rest.append(argument)
        else:
            found.append(given)
    if found and (even_without_secret or any(map(holds_secret, found))):
        return found[-1], rest
    return None, argv


def _with_password(url: str, password: str | None) -> str:
    if not password or holds_secret(url) or not url.startswith("postgres"):
        return url
    from tuner_service.storage.url import StorageUrl

    return StorageUrl.parse(url).with_password(password).secret_text
