"""The command that serves: a dashboard behind a login, metrics, a read API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tuner_service import running
from tuner_service.cli import options as o
from tuner_service.cli.output import print_note


def serve(
    storage: o.Storage = None,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")] = 8080,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", help="File with the token that opens it; by default $TUNER_SERVE_TOKEN_FILE."),
    ] = None,
    users_file: Annotated[
        Path | None,
        typer.Option("--users-file", help="File with a line NAME:PASSWORD a user; by default $TUNER_SERVE_USERS_FILE."),
    ] = None,
    writer: Annotated[
        list[str] | None,
        typer.Option("--writer", metavar="NAME", help="A user who may write through the dashboard; all others look."),
    ] = None,
    trusted_proxy: Annotated[
        str,
        typer.Option(
            "--trusted-proxy",
            metavar="ADDRESSES",
            help="Reverse proxies that say by which protocol and from where a request came; * for any.",
        ),
    ] = "127.0.0.1,::1",
) -> None:
    """Serve a dashboard behind a login, metrics for Prometheus, and a read API, on one port."""
    running.run_server(
        storage,
        host=host,
        port=port,
        token_file=token_file,
        users_file=users_file,
        writers=writer or (),
        trusted_proxy=trusted_proxy,
        started=lambda where: print_note(f"serving {where}"),
    )
