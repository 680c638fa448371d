"""Who may log in, and how long."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tuner_service.errors import ServeError
from tuner_service.serve.users import SESSION_S, User, Users, read_users

_TOKEN, _PASSWORD = "t0ken-of-the-team", "password-of-ada"


def _users() -> Users:
    return Users({"token": _TOKEN, "ada": _PASSWORD}, ["ada"])


def _basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "user"),
    [
        pytest.param(f"Bearer {_TOKEN}", User("token"), id="the token"),
        pytest.param(f"bearer  {_TOKEN}", User("token"), id="the token, written otherwise"),
        pytest.param("Bearer t0ken-of-the-tea", None, id="another token"),
        pytest.param("Bearer ", None, id="no token"),
        pytest.param(f"Bearer {_PASSWORD}", None, id="a password is no token"),
        pytest.param(_basic(f"ada:{_PASSWORD}"), User("ada", may_write=True), id="name and password"),
        pytest.param(_basic(f"token:{_TOKEN}"), User("token"), id="the token as a password"),
        pytest.param(_basic(f"ada:{_TOKEN}"), None, id="somebody else's password"),
        pytest.param(_basic(f"eve:{_PASSWORD}"), None, id="nobody's name"),
        pytest.param(_basic("ada"), None, id="no password"),
        pytest.param("Basic not base64!", None, id="no base64"),
        pytest.param("Basic /w==", None, id="no text"),
        pytest.param("Digest x", None, id="another scheme"),
        pytest.param("", None, id="empty"),
    ],
)
def test_header_says_who_asks(header: str, user: User | None) -> None:
    """Only the right secret of a name that is known lets anybody in."""
    assert _users().of_authorization(header) == user


def test_session_stands_for_the_secret_until_it_ends() -> None:
    """It holds after a restart with the same secrets, and for twelve hours."""
    session = _users().new_session(User("ada", may_write=True), now=1000.0)
    assert _users().of_session(session, now=1001.0) == User("ada", may_write=True)
    assert _users().of_session(session, now=1000.0 + SESSION_S) is None
    assert _PASSWORD not in base64.b64decode(session.split(".")[0] + "==").decode()


@pytest.mark.parametrize(
    "others",
    [
        pytest.param({"token": _TOKEN, "ada": "another-password"}, id="changed"),
        pytest.param({"token": _TOKEN}, id="gone"),
    ],
)
def test_session_ends_with_its_secret(others: dict[str, str]) -> None:
    """Whose password was changed or taken away has to log in again."""
    session = _users().new_session(User("ada"), now=1000.0)
    assert Users(others).of_session(session, now=1001.0) is None


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param("{claim}.QUFB", id="another signature"),
        pytest.param("ZXZl.{signature}", id="another claim"),
        pytest.param("{claim}", id="no signature"),
        pytest.param("{claim}.{signature}.x", id="more"),
        pytest.param("\N{SNOWMAN}.{signature}", id="no base64"),
        pytest.param("", id="empty"),
    ],
)
def test_forged_session_is_nobodys(pattern: str) -> None:
    """A session that this server did not make is none."""
    claim, signature = _users().new_session(User("ada"), now=1000.0).split(".")
    assert _users().of_session(f"{claim}.{signature}", now=1001.0) is not None
    assert _users().of_session(pattern.format(claim=claim, signature=signature), now=1001.0) is None


def test_files_name_the_users(tmp_path: Path) -> None:
    """A token, and a line for each name; blank lines and comments are left out, and a password may hold a colon."""
    (tmp_path / "token").write_text(f"{_TOKEN}\n")
    (tmp_path / "users").write_text(f"# people\n\nada:{_PASSWORD}\nbob:a:b:c:d:e:f:g\n")
    users = read_users(tmp_path / "token", tmp_path / "users", ["bob"])
    assert users is not None
    assert users.of_authorization(f"Bearer {_TOKEN}") == User("token")
    assert users.with_secret("bob", "a:b:c:d:e:f:g") == User("bob", may_write=True)
    assert read_users(None, None, []) is None


@pytest.mark.parametrize(
    ("token", "lines", "writers", "words"),
    [
        pytest.param("short", "", [], "less than 12", id="a short token"),
        pytest.param("", "", [], "less than 12", id="an empty token"),
        pytest.param(None, "ada:short", [], "the secret of ada", id="a short password"),
        pytest.param(None, "", [], "nobody could log in", id="nobody"),
        pytest.param(None, "c4n4ry-without-a-name", [], "line 1 of", id="no name"),
        pytest.param(None, "ada:c4n4ry-number-1\nada:c4n4ry-number-2", [], "line 2 of", id="a name twice"),
        pytest.param(None, "token:c4n4ry-number-1", [], "line 1 of", id="the token's name"),
        pytest.param(_TOKEN, "", ["ada"], "ada is no user", id="an unknown writer"),
    ],
)
def test_mistakes_in_the_files_are_told_without_their_secrets(
    tmp_path: Path, token: str | None, lines: str, writers: list[str], words: str
) -> None:
    """The server does not start, and says what is wrong."""
    (tmp_path / "users").write_text(lines)
    if token is not None:
        (tmp_path / "token").write_text(token)
    with pytest.raises(ServeError, match=words) as caught:
        read_users(None if token is None else tmp_path / "token", tmp_path / "users", writers)
    assert "c4n4ry" not in str(caught.value)


def test_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """So is a writer without any login."""
    with pytest.raises(ServeError, match="cannot be read: No such file"):
        read_users(tmp_path / "nothing", None, [])
    with pytest.raises(ServeError, match="needs a login"):
        read_users(None, None, ["ada"])
