"""The gate: who gets through, from where, and with which headers."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from tuner_service.serve.gate import Gate
from tuner_service.serve.login import COOKIE, login_routes
from tuner_service.serve.users import User, Users

_TOKEN, _PASSWORD = "t0ken-of-the-team", "password-of-ada"
_BEARER = {"Authorization": f"Bearer {_TOKEN}"}
_HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def _answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{request.method} by {request.scope['state']['user'].name}")


async def _open(_: Request) -> PlainTextResponse:
    return PlainTextResponse("open")


_ANY = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


def _client(users: Users | None = None, *, base_url: str = "http://tuner.example", **options: Any) -> TestClient:
    routes = [Route("/healthz", _open), *(login_routes(users) if users else [])]
    app = Starlette(routes=[*routes, Mount("/", routes=[Route("/{path:path}", _answer, methods=_ANY)])])
    return TestClient(Gate(app, users), base_url=base_url, follow_redirects=False, **options)


@pytest.fixture
def users() -> Users:
    """Provide a token that looks, and somebody who writes."""
    return Users({"token": _TOKEN, "ada": _PASSWORD}, ["ada"])


def _log_in(client: TestClient, name: str = "ada", secret: str = _PASSWORD, to: str = "/dashboard") -> Any:
    return client.post("/login", data={"name": name, "secret": secret, "to": to})


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="anonymous"),
        pytest.param({"Authorization": "Bearer wrong"}, id="a wrong token"),
        pytest.param({"Authorization": "Basic YWRhOndyb25n"}, id="a wrong password"),
        pytest.param({"Cookie": f"{COOKIE}=YWRh.YWRh"}, id="a forged session"),
        pytest.param({"Cookie": f'{COOKIE}="'}, id="a broken cookie"),
    ],
)
@pytest.mark.parametrize("method", _ANY)
def test_nobody_gets_through_without_a_secret(users: Users, headers: dict[str, str], method: str) -> None:
    """Every method of every path is refused, and the answer asks for a token."""
    answer = _client(users).request(method, "/v1/studies", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "path", ["/healthz/x", "/healthz/", "/login/../v1", "//healthz", "/LOGIN", "/%68ealthz/x", "/"]
)
def test_only_whole_paths_are_open(users: Users, path: str) -> None:
    """What looks like an open path, or lies below one, needs a login."""
    assert _client(users).get(path).status_code == 401
    assert _client(users).get("/healthz").text == "open"


def test_a_page_that_needs_a_login_shows_the_form(users: Users) -> None:
    """A browser gets it where it wanted to go, and is led there afterwards; what it asked for is escaped."""
    answer = _client(users).get('/dashboard/studies/1?x="><script>', headers=_HTML)
    assert answer.status_code == 401
    assert 'name="secret"' in answer.text
    assert "<script>" not in answer.text
    assert "script-src" not in answer.headers["Content-Security-Policy"]


def test_a_browser_logs_in_and_out(users: Users) -> None:
    """The cookie is for this site and no script, and stands for the secret until it is given back."""
    client = _client(users)
    answer = _log_in(client)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/dashboard")
    cookie = answer.headers["Set-Cookie"].lower()
    assert {"httponly", "samesite=strict", "path=/"} <= set(cookie.split("; "))
    assert "secure" not in cookie
    assert _PASSWORD not in cookie
    assert client.get("/v1").text == "GET by ada"
    client.post("/logout", headers={"Origin": "http://tuner.example"})
    assert client.get("/v1").status_code == 401


def test_behind_tls_the_cookie_is_secure(users: Users) -> None:
    """A browser does not send it without TLS then."""
    answer = _log_in(_client(users, base_url="https://tuner.example"))
    assert "secure" in answer.headers["Set-Cookie"].lower().split("; ")


def test_a_wrong_secret_is_told_and_gives_no_cookie(users: Users) -> None:
    """The form comes again, with where it was to lead."""
    answer = _log_in(_client(users), secret="wrong-password")
    assert answer.status_code == 401
    assert "Wrong name or secret" in answer.text
    assert 'value="/dashboard"' in answer.text
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "to",
    ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "", "/x\r\nSet-Cookie: a=b"],
)
def test_a_login_leads_nowhere_else(users: Users, to: str) -> None:
    """Whatever the form says, the next page is one of this server."""
    assert _log_in(_client(users), to=to).headers["Location"] == "/"


def test_an_endless_form_is_not_read(users: Users) -> None:
    """Anybody may send one."""
    answer = _client(users).post("/login", content=b"name=ada&secret=" + b"x" * 100_000)
    assert answer.status_code == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "QUERY"])
def test_who_may_only_look_writes_nothing(users: Users, method: str) -> None:
    """Whatever is neither GET nor HEAD is refused before anything sees it."""
    answer = _client(users).request(method, "/api/studies", headers=_BEARER)
    assert (answer.status_code, answer.json()) == (403, {"detail": "token may look, not write"})
    assert _client(users).get("/api/studies", headers=_BEARER).text == "GET by token"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Origin": "http://tuner.example"}, 200, id="its own page"),
        pytest.param({"Sec-Fetch-Site": "same-origin", "Origin": "https://tuner.example"}, 200, id="behind a proxy"),
        pytest.param({"Origin": "http://evil.example"}, 403, id="another site's page"),
        pytest.param({"Origin": "null"}, 403, id="a page without a site"),
        pytest.param({"Origin": "http://["}, 403, id="no address at all"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, 403, id="another site, as the browser says"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, 403, id="a neighbour, as the browser says"),
        pytest.param({}, 403, id="a browser that says nothing"),
    ],
)
def test_other_sites_cannot_write_with_a_browsers_session(users: Users, headers: dict[str, str], status: int) -> None:
    """A session writes only where the browser says that the page is this server's."""
    client = _client(users)
    _log_in(client)
    assert client.post("/api/studies", headers=headers).status_code == status


def test_a_program_writes_with_a_header(users: Users) -> None:
    """Where no browser is, nobody can be made to send it."""
    client = _client(users)
    assert client.post("/api/studies", auth=("ada", _PASSWORD)).text == "POST by ada"
    assert client.post("/api/studies", auth=("ada", _PASSWORD), headers={"Origin": "http://e.com"}).status_code == 403


def test_without_a_login_everybody_here_may_look() -> None:
    """Nobody may write; a page whose name leads to this machine is not answered."""
    client = _client(base_url="http://127.0.0.1:8080")
    assert client.get("/v1").text == "GET by anybody"
    assert client.delete("/v1").status_code == 403
    assert client.get("/v1", headers={"Host": "evil.example:8080"}).status_code == 403
    assert _client(base_url="http://[::1]:8080").get("/v1").status_code == 200
    assert _client(base_url="http://localhost").get("/v1").status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/v1", "/login"])
def test_every_answer_has_the_headers_that_keep_a_browser_safe(users: Users, path: str) -> None:
    """No other site frames it, nothing guesses its type, no cache keeps it."""
    headers = _client(users).get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "SAMEORIGIN"
    assert headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_a_session_is_no_user_of_its_own(users: Users) -> None:
    """A writer's session writes, a reader's does not."""
    client = _client(users)
    _log_in(client, "token", _TOKEN)
    answer = client.post("/api/studies", headers={"Origin": "http://tuner.example"})
    assert (answer.status_code, User("token")) == (403, users.of_authorization(f"Bearer {_TOKEN}"))
