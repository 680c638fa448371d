"""The page that draws the trials of a study while they train, from the events of the read API."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_FOLDER = Path(__file__).with_name("pages")
#: What the browser may load: what this server has, and nothing that stands in the page itself.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def live_page_routes() -> list[Route]:
    """Return ``/live``, which lists the studies, ``/live/NAME``, and the two files that both are made of."""
    return [
        _file("/live", "live.html", "text/html"),
        _file("/live/{name}", "live.html", "text/html"),
        _file("/live.css", "live.css", "text/css"),
        _file("/live.js", "live.js", "text/javascript"),
    ]


def _file(path: str, name: str, media_type: str) -> Route:
    content = (_FOLDER / name).read_bytes()

    async def answer(_: Request) -> Response:
        return Response(content, media_type=media_type, headers={"Content-Security-Policy": _POLICY})

    return Route(path, answer)
