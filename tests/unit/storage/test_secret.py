"""Which URLs hold a password."""

from __future__ import annotations

import pytest
from sqlalchemy import make_url

from tuner_service.storage.secret import holds_secret


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql://u:p@h/d", id="plain"),
        pytest.param("postgresql://u:p/w@h/d", id="with a slash"),
        pytest.param("postgresql://u:p?w@h/d", id="with a question mark"),
        pytest.param("postgresql://admin@server:pw@h/d", id="of a user with an @"),
        pytest.param("redis://:p@h:6379/0", id="of no user"),
        pytest.param("postgresql://u@h/d?password=p", id="as an option"),
        pytest.param("postgresql://u@h/d?sslmode=require&sslpassword=p", id="of the key file"),
        pytest.param("s3://key:p@bucket/path", id="of a store"),
    ],
)
def test_a_url_with_a_password_holds_a_secret(url: str) -> None:
    """Wherever in the URL a client library would look for one."""
    assert holds_secret(url)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////folder/tuner.db",
        "sqlite:////folder/a:b@c.db",
        "postgresql://h/d",
        "postgresql://u@h:5432/d",
        "postgresql://u:@h:5432/d",
        "postgresql://u@[::1]:5432/d?passfile=/f",
        "redis://h:6379/0",
        "s3://bucket/a@b",
        "s3://bucket/a:b@c",
        "/folder/a@b",
    ],
)
def test_a_url_without_a_password_holds_none(url: str) -> None:
    """SQLAlchemy finds none either, where it can read the URL."""
    assert not holds_secret(url)
    assert url.startswith("/") or not make_url(url).password
