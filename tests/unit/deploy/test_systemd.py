"""The unit for machines with systemd."""

from __future__ import annotations

import configparser
import re
import shlex
from pathlib import Path
from typing import Any

import typer.main

from tuner_service.cli.app import app

ROOT = Path(__file__).parents[3]
UNIT = ROOT / "deploy" / "systemd" / "tuner-worker@.service"


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


def test_artifacts_in_the_folder_of_the_readme_can_be_written() -> None:
    """The unit makes all else read-only, and a worker that cannot write there would lose curves and models."""
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.read_string(UNIT.read_text())
    (created,) = re.findall(r"^tuner create .* --artifacts (\S+)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert unit["Service"]["ReadWritePaths"].removeprefix("-") == created
