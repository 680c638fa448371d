"""The unit for machines with systemd."""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path
from typing import Any

import typer.main

from tuner_service.cli.app import app

UNIT = Path(__file__).parents[3] / "deploy" / "systemd" / "tuner-worker@.service"


def test_a_worker_is_started_again_unless_that_is_in_vain() -> None:
    """Its command is there, and it goes by the exit codes: 0 and 78 are final, 75 is not."""
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.read_string(UNIT.read_text())
    service = unit["Service"]
    program, name, *arguments = shlex.split(service["ExecStart"])
    assert Path(program).name == "tuner"
    command: Any = typer.main.get_command(app)
    command.commands[name].make_context(name, arguments)
    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("on-failure", "78")
