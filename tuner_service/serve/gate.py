"""What stands before everything: who asks, whether they may, and the headers that keep a browser safe."""

from __future__ import annotations

import time
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tuner_service.serve.login import COOKIE, login_page
from tuner_service.serve.users import User, Users

#: Paths that need no login. They are compared as a whole, so that nothing below them is open.
OPEN = frozenset({"/healthz", "/readyz", "/login"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
#: Names of this machine. Without a login, another name in the request is that of a page that wants to read it.
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
#: Who asks where nobody has to log in.
_ANYBODY = User("anybody")

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",  # with none at all a browser does not say either where a form comes from
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


class Gate:
    """Lets a request through to the application if its user may make it; ``scope["state"]["user"]`` says who it is.

    Args:
        app: What answers.
        users: Who may log in; ``None`` where everybody may look, which is for a server that only this machine reaches.
    """

    def __init__(self, app: ASGIApp, users: Users | None) -> None:
        self._app = app
        self._users = users

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._check(scope)
        await (refusal or self._app)(scope, receive, send_safely)

    def _check(self, scope: Scope) -> Response | None:
        """Return the refusal of a request, or ``None`` where it may go on."""
        headers = Headers(scope=scope)
        if self._users is None and _host(headers) not in _LOOPBACK_NAMES:
            return _refusal(403, "without a login this server answers to localhost only")
        writes = scope["method"] not in _SAFE
        if writes and _is_foreign(headers):
            return _refusal(403, "this comes from a page of another site")
        if scope["path"] in OPEN:
            return None
        user, by_cookie = self._user(headers)
        if user is None:
            return self._unauthorized(scope, headers)
        if writes and by_cookie and not {"sec-fetch-site", "origin"} & set(headers.keys()):
            return _refusal(403, "a browser says where it comes from; a program logs in with a header")
        if writes and not user.may_write and scope["path"] != "/logout":
            return _refusal(403, f"{user.name} may look, not write")
        scope.setdefault("state", {})["user"] = user
        return None

    def _user(self, headers: Headers) -> tuple[User | None, bool]:
        """Return who asks, and whether only a cookie says so."""
        if self._users is None:
            return _ANYBODY, False
        if "authorization" in headers:
            return self._users.of_authorization(headers["authorization"]), False
        session = _cookie(headers)
        return (self._users.of_session(session, time.time()) if session else None), True

    def _unauthorized(self, scope: Scope, headers: Headers) -> Response:
        # No Basic: a browser would ask in a window of its own, and send the password along with all that follows.
        challenge = {"WWW-Authenticate": "Bearer"}
        if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            query = scope["query_string"].decode("latin-1")
            return login_page(401, to=scope["path"] + (f"?{query}" if query else ""), headers=challenge)
        return _refusal(401, "log in with a token, or with name and password", headers=challenge)


def _refusal(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"detail": detail}, status, headers)


def _cookie(headers: Headers) -> str | None:
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return None
    return cookies[COOKIE].value if COOKIE in cookies else None


def _host(headers: Headers) -> str | None:
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname
    except ValueError:
        return None


def _is_foreign(headers: Headers) -> bool:
    """Return whether a browser says that another site's page makes this request."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    # Without TLS browsers leave that header out.
    origin = headers.get("origin")
    try:
        return origin is not None and urlsplit(origin).netloc != headers.get("host")
    except ValueError:
        return True


def may_write(scope: Scope) -> bool:
    """Return whether the user of a request that was let through may write."""
    user: User = scope["state"]["user"]
    return user.may_write
