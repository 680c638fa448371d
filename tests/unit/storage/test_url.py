"""Storage URLs: what they name, and what they never show."""

from __future__ import annotations

import traceback

import pytest

from tuner_service.errors import StorageError
from tuner_service.storage.url import DEFAULT_URL, StorageUrl

_SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("text", "backend", "secret_text"),
    [
        pytest.param("sqlite:///x.db", "sqlite", "sqlite:///x.db", id="a file here"),
        pytest.param("sqlite:////abs/x.db", "sqlite", "sqlite:////abs/x.db", id="a file anywhere"),
        pytest.param(DEFAULT_URL, "sqlite", DEFAULT_URL, id="the default"),
        pytest.param("postgresql://u@h/d", "postgresql", "postgresql+psycopg2://u@h/d", id="PostgreSQL"),
        pytest.param("postgres://u:p@h:5433/d", "postgresql", "postgresql+psycopg2://u:p@h:5433/d", id="its old name"),
        pytest.param(
            "postgresql+psycopg2://u@h/d", "postgresql", "postgresql+psycopg2://u@h/d", id="PostgreSQL with its driver"
        ),
        pytest.param(
            "postgresql://postgres:@/postgres?host=/tmp/x",
            "postgresql",
            "postgresql+psycopg2://postgres:@/postgres?host=%2Ftmp%2Fx",
            id="a socket",
        ),
        pytest.param("redis://h:6379/3", "redis", "redis://h:6379/3", id="Redis"),
        pytest.param("rediss://:p@h/0", "redis", "rediss://:p@h/0", id="Redis over TLS"),
    ],
)
def test_a_url_names_its_backend(text: str, backend: str, secret_text: str) -> None:
    """Each of the usual forms is known, and the client library gets one that it knows."""
    url = StorageUrl.parse(text)
    assert (url.backend, url.secret_text) == (backend, secret_text)


_UNREADABLE = (
    "the storage URL cannot be read; use sqlite:///FILE, postgresql://USER@HOST/DATABASE or redis://HOST:PORT/NUMBER"
)
_IN_MEMORY = "an SQLite storage needs a file, such as sqlite:///tuner.db: workers are processes"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", _UNREADABLE, id="nothing"),
        pytest.param(f"u:{_SECRET}@h", _UNREADABLE, id="no scheme"),
        pytest.param(f"redis://:{_SECRET}@h:port/0", _UNREADABLE, id="a port that is none"),
        pytest.param(
            f"mysql://u:{_SECRET}@h/d",
            "the storage mysql:// is not known; use sqlite:///FILE, postgresql://USER@HOST/DATABASE or "
            "redis://HOST:PORT/NUMBER",
            id="an unknown scheme",
        ),
        pytest.param("sqlite://", _IN_MEMORY, id="SQLite without a file"),
        pytest.param("sqlite:///:memory:", _IN_MEMORY, id="SQLite in memory"),
        pytest.param("sqlite:///file:x?mode=memory&uri=true", _IN_MEMORY, id="SQLite in memory, said otherwise"),
        pytest.param("sqlite:///file::memory:?cache=shared&uri=true", _IN_MEMORY, id="SQLite in shared memory"),
        pytest.param(
            f"postgresql://u:a@{_SECRET}@h/d",
            "the storage URL has an @ in its password or user; write it as %40, a : as %3A and a / as %2F",
            id="an @ in the password",
        ),
    ],
)
def test_a_url_that_is_of_no_use_is_refused_without_being_repeated(text: str, message: str) -> None:
    """The error says what to write, and nothing of the URL that may be a password."""
    with pytest.raises(StorageError) as error:
        StorageUrl.parse(text)
    assert str(error.value) == message
    assert _SECRET not in "".join(traceback.format_exception_only(error.value))
    assert error.value.__suppress_context__ or error.value.__context__ is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"postgresql://u:{_SECRET}@h/d", id="PostgreSQL"),
        pytest.param(f"postgres://u:{_SECRET}%40%7B%25@h/d", id="special characters"),
        pytest.param(f"postgresql://h/d?user=u&password={_SECRET}", id="in the query"),
        pytest.param(f"postgresql://h/d?password=a&password={_SECRET}", id="in the query twice"),
        pytest.param(f"postgresql://h/d?sslkey=/k&sslpassword={_SECRET}", id="of the key file"),
        pytest.param(f"redis://:{_SECRET}@h/0", id="Redis"),
        pytest.param(f"redis://h/0?password={_SECRET}", id="Redis, in the query"),
    ],
)
def test_no_text_of_a_url_holds_its_password(text: str) -> None:
    """Whatever people or logs see of it has stars instead; the client library gets it whole."""
    url = StorageUrl.parse(text)
    for shown in (str(url), repr(url), f"{url}", f"{url!r}", repr([url]), f"{url!s:>10}"):
        assert _SECRET not in shown
    assert "***" in str(url)
    assert _SECRET in url.secret_text


def test_a_url_is_shown_as_people_write_it() -> None:
    """The driver, which nobody writes, is left out."""
    assert str(StorageUrl.parse(f"postgres://u:{_SECRET}@h:5433/d")) == "postgresql://u:***@h:5433/d"
    assert str(StorageUrl.parse("sqlite:///x.db")) == "sqlite:///x.db"
    assert str(StorageUrl.parse(f"postgresql://h/d?password={_SECRET}")) == "postgresql://h/d?password=***"


@pytest.mark.parametrize("password", ["{", "}{0}", "%", "%40", "@", ":/?#&=", " ", "é", "'\"\\"])
def test_any_password_can_be_given(password: str) -> None:
    """A password that is set is the one that the client library reads out of the URL."""
    url = StorageUrl.parse("postgresql://u@h/d").with_password(password)
    again = StorageUrl.parse(url.secret_text)
    assert (again.url.password, again.url.host, again.url.database) == (password, "h", "d")
