"""The command as a whole."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from tuner_service.cli.app import app


@pytest.mark.parametrize("arguments", [["--version"], ["--version", "list"]], ids=["alone", "before a command"])
def test_the_version_is_printed(arguments: list[str]) -> None:
    """And nothing else is done."""
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.output) == (0, f"{version('tuner-service')}\n")
