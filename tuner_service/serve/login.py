"""The login of a browser: a form, and a cookie that stands for the secret from then on."""

from __future__ import annotations

import html
import time
from collections.abc import Mapping
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from tuner_service.serve.users import SESSION_S, TOKEN_USER, Users

COOKIE = "tuner_session"
#: Largest form that is read, in bytes.
_MOST = 8 * 1024

_STYLE = (
    "body{font:16px system-ui,sans-serif;max-width:22rem;margin:12vh auto;padding:0 1rem;color-scheme:light dark}"
    "label{display:block;margin:1rem 0}input,button{font:inherit;width:100%;box-sizing:border-box;padding:.5rem}"
    ".wrong{color:#b00020}@media(prefers-color-scheme:dark){.wrong{color:#ff8a80}}"
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


def login_page(
    status: int, *, to: str = "/", wrong: bool = False, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the page with the form, which leads ``to`` a path of this server."""
    note = '<p class="wrong" role="alert">Wrong name or secret.</p>' if wrong else ""
    page = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>tuner: log in</title><style>{_STYLE}</style></head>
<body><h1>tuner</h1>{note}<form method="post" action="/login">
<input type="hidden" name="to" value="{html.escape(to)}">
<label>Name <input name="name" value="{TOKEN_USER}" autocomplete="username" required></label>
<label>Token or password
<input name="secret" type="password" autocomplete="current-password" required autofocus></label>
<button>Log in</button></form></body></html>"""
    return HTMLResponse(page, status, {**(headers or {}), "Content-Security-Policy": _POLICY})


def login_routes(users: Users) -> list[Route]:
    """Return ``/login`` and ``/logout``."""

    async def log_in(request: Request) -> Response:
        if request.method != "POST":
            return login_page(200)
        form = parse_qs((await _body(request)).decode("utf-8", "replace"))
        name, secret, to = (form.get(field, [""])[0] for field in ("name", "secret", "to"))
        user = users.with_secret(name, secret)
        if user is None:
            return login_page(401, to=_path(to), wrong=True)
        answer = RedirectResponse(_path(to), 303)
        answer.set_cookie(
            COOKIE,
            users.new_session(user, time.time()),
            max_age=int(SESSION_S),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    async def log_out(_: Request) -> Response:
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    return [Route("/login", log_in, methods=["GET", "POST"]), Route("/logout", log_out, methods=["POST"])]


async def _body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST:
            return b""
    return body


def _path(text: str) -> str:
    """Return a path of this server, whatever was asked for: a login must not lead to somebody else's page."""
    is_path = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable()
    return text if is_path else "/"
