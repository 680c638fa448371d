"""Secrets that a process was given, and where they are not once it has begun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

_CANARY = "c4n4ry"
_URL = f"postgresql://u:{_CANARY}@127.0.0.1:1/tuner"
_SLASHED = f"postgresql://u:p/{_CANARY}@127.0.0.1:1/tuner"
_BARE = "postgresql://u@127.0.0.1:1/tuner"

#: Runs in each Python that is started with its folder on the path, and writes what the process can see at its end.
_WITNESS = """
import atexit, json, os, subprocess, sys
from pathlib import Path

def read(path):
    try:
        return Path(path).read_bytes().decode(errors="replace")
    except OSError as error:
        return f"refused: {error.errno}"

def tell():
    from tuner_service import bootstrap
    child = subprocess.run(["/usr/bin/env"], capture_output=True, text=True, check=True).stdout
    report = {
        "environ": dict(os.environ), "argv": sys.argv, "orig_argv": sys.orig_argv, "child": child,
        "proc_environ": read("/proc/self/environ"), "proc_cmdline": read("/proc/self/cmdline"),
        "guards_secret": bootstrap.guards_secret(), "storage": str(bootstrap.storage_url()),
        "given": {name: bootstrap._given(name) for name in ("TUNER_LIVE", "TUNER_WEBHOOK")},
        "open": bootstrap.leaves_secret_open(), "secret": bootstrap.storage_url().secret_text,
    }
    path = Path(os.environ["WITNESS"])
    path.with_suffix(".draft").write_text(json.dumps(report))
    path.with_suffix(".draft").replace(path)

if os.environ.get("WITNESS_PID") in (None, str(os.getpid())):
    os.environ["WITNESS_PID"] = str(os.getpid())
    atexit.register(tell)
"""


def _witness(folder: Path, *arguments: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Run a command that scrubs and prints its help, and return what its process could see when it ended."""
    (folder / "sitecustomize.py").write_text(_WITNESS)
    paths = {"PYTHONPATH": str(folder), "WITNESS": str(folder / "report.json")}
    command = [sys.executable, "-m", "tuner_service", "list", *arguments, "--help"]
    subprocess.run(
        command, cwd=folder, env={**os.environ, **paths, **environment}, check=True, capture_output=True, timeout=60
    )
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


@pytest.mark.parametrize(
    ("arguments", "environment", "storage"),
    [
        pytest.param([], {"TUNER_STORAGE": _URL}, _URL, id="TUNER_STORAGE"),
        pytest.param(["--storage", _URL], {}, _URL, id="--storage URL"),
        pytest.param([f"--storage={_URL}"], {"TUNER_STORAGE": _BARE}, _URL, id="--storage=URL"),
        pytest.param(
            ["--storage", _URL.replace("tuner", "other"), f"--storage={_URL}"], {}, _URL, id="--storage twice"
        ),
        pytest.param([f"--storage={_URL}", "--storage", _BARE], {}, _BARE, id="--storage twice, the last without one"),
        pytest.param(["--storage", _BARE], {"PGPASSWORD": _CANARY}, _URL, id="PGPASSWORD beside --storage"),
        pytest.param([], {"TUNER_STORAGE": _BARE, "PGPASSWORD": _CANARY}, _URL, id="PGPASSWORD beside TUNER_STORAGE"),
        pytest.param(
            [], {"TUNER_STORAGE": f"{_BARE}?password={_CANARY}"}, f"{_BARE}?password={_CANARY}", id="as an option"
        ),
        pytest.param(
            [],
            {"TUNER_STORAGE": f"{_BARE}?sslpassword={_CANARY}"},
            f"{_BARE}?sslpassword={_CANARY}",
            id="of a key file",
        ),
        pytest.param([], {"TUNER_STORAGE": _SLASHED}, _SLASHED.replace("p/", "p%2F"), id="with a slash"),
    ],
)
def test_a_process_that_was_given_a_password_has_it_nowhere(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], storage: str
) -> None:
    """Neither in its environment, nor in its arguments, nor where the kernel keeps both; it knows the storage still."""
    report = _witness(tmp_path, *arguments, environment=environment)
    assert report.pop("secret").replace("+psycopg2", "") == storage
    assert report["guards_secret"] is (_CANARY in storage)
    assert _CANARY not in json.dumps(report)
    assert not {"TUNER_STORAGE", "PGPASSWORD", "TUNER_SECRETS_PIPE"} & report["environ"].keys()
    assert "list" in report["argv"]


def test_a_password_in_a_file_is_taken_over(tmp_path: Path) -> None:
    """The file's name goes too; where it is no mounted Secret, a worker says that its children can read it."""
    (tmp_path / "url").write_text(f"{_URL}\n")
    report = _witness(tmp_path, environment={"TUNER_STORAGE_FILE": str(tmp_path / "url")})
    assert report.pop("secret").replace("+psycopg2", "") == _URL
    assert (report["guards_secret"], report["open"]) == (True, True)
    assert _CANARY not in json.dumps(report)
    assert "TUNER_STORAGE_FILE" not in report["environ"]


@pytest.mark.parametrize("suffix", ["", "_FILE"])
def test_other_secrets_are_taken_over_with_the_storage(tmp_path: Path, suffix: str) -> None:
    """The password of a Redis and the address of a webhook, given as they are or in files, are in no environment."""
    secrets = {"TUNER_LIVE": f"redis://:{_CANARY}@127.0.0.1:1/0", "TUNER_WEBHOOK": f"https://hooks.example/{_CANARY}"}
    given = dict(secrets)
    for name, value in secrets.items() if suffix else ():
        (tmp_path / name).write_text(value)
        given[name + suffix] = str(tmp_path / name)
        del given[name]
    report = _witness(tmp_path, environment={"TUNER_STORAGE": _BARE, **given})
    assert report.pop("given") == secrets
    assert report.pop("secret").replace("+psycopg2", "") == _BARE
    assert (report["guards_secret"], report["open"]) == (True, bool(suffix))
    assert _CANARY not in json.dumps(report)
    assert not given.keys() & report["environ"].keys()


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        pytest.param([], {}, id="nothing"),
        pytest.param([], {"TUNER_LIVE": "redis://127.0.0.1:1/0"}, id="a Redis without a password"),
        pytest.param([], {"TUNER_STORAGE": "sqlite:///a.db"}, id="a file"),
        pytest.param(["--storage", _BARE], {}, id="a server without a password"),
    ],
)
def test_a_process_without_a_secret_is_as_it_was_started(
    tmp_path: Path, arguments: list[str], environment: dict[str, str]
) -> None:
    """It is not executed again: its arguments and its environment stay."""
    report = _witness(tmp_path, *arguments, environment=environment)
    assert report["guards_secret"] is False
    assert "-P" not in report["orig_argv"]
    assert report["argv"][1:] == ["list", *arguments, "--help"]
    assert environment.items() <= report["environ"].items()


def test_a_password_of_another_kind_of_storage_is_left_out(tmp_path: Path) -> None:
    """PGPASSWORD is taken from the environment all the same, and is no part of a file's URL."""
    environment = {"TUNER_STORAGE": "sqlite:///a.db", "PGPASSWORD": _CANARY}
    report = _witness(tmp_path, environment=environment)
    assert (report["secret"], report["guards_secret"]) == ("sqlite:///a.db", False)
    assert _CANARY not in json.dumps(report)
