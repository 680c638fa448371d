"""Ties between a process and its parent: its death, and a secret on the way to what takes its place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tuner_service.training.landlock import can_close
from tuner_service.training.parent import SECRET_FOLDERS, hand_over, take_over

_TAKE = """
import os
from tuner_service.training.parent import take_over
pipe = int(os.environ["PIPE"])
print(take_over("PIPE"), "PIPE" in os.environ, take_over("PIPE"))
try:
    os.fstat(pipe)
    print("still open")
except OSError:
    print("closed")
"""

#: Reads a file of each folder, of which those with such a name are taken for mounted.
_READ = """
from pathlib import Path
from tuner_service.training import parent
parent.can_be_closed = lambda folder: folder.name.startswith("mounted")
parent.close_secrets()
for folder in parent.secret_folders():
    try:
        print((folder / "url").read_text())
    except PermissionError:
        print("closed")
"""


def test_a_secret_is_read_once_by_the_process_that_inherits_it() -> None:
    """Afterwards neither the variable nor the pipe is there."""
    secret = "postgresql://u:pässword\n@h/d"
    pipe = hand_over(secret)
    try:
        done = subprocess.run(
            [sys.executable, "-X", "utf8", "-c", _TAKE],
            env={**os.environ, "PIPE": str(pipe)},
            pass_fds=[pipe],
            capture_output=True,
            check=True,
            encoding="utf-8",
        )
    finally:
        os.close(pipe)
    assert done.stdout == f"{secret} False None\nclosed\n"


def test_without_a_pipe_there_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that was started as usual."""
    monkeypatch.delenv("PIPE", raising=False)
    assert take_over("PIPE") is None


def test_an_empty_secret_is_one() -> None:
    """The process knows that it has been executed again."""
    pipe = hand_over("")
    os.environ["PIPE"] = str(pipe)
    assert take_over("PIPE") == ""
    assert "PIPE" not in os.environ


_FORK = """
import os, sys
from tuner_service.training.parent import die_with_parent
parent = os.getpid() if sys.argv[1] == "mine" else 1
child = os.fork()
if child == 0:
    die_with_parent(parent)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize(
    ("parent", "exit_code"),
    [pytest.param("mine", 0, id="its parent lives"), pytest.param("another", 1, id="its parent has died before")],
)
def test_a_process_without_its_parent_ends(parent: str, exit_code: int) -> None:
    """It compares with the parent that started it, which in a container may well be process 1."""
    command = [sys.executable, "-c", _FORK, parent]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    assert done.stdout == f"{exit_code}\n"


@pytest.mark.skipif(not can_close(), reason="this kernel has no Landlock of version 2")
def test_every_mounted_folder_of_a_secret_is_closed(tmp_path: Path) -> None:
    """Also where there are two of them, and one of the user's between."""
    folders = [tmp_path / name for name in ("mounted-storage", "own", "mounted-live")]
    for folder in folders:
        folder.mkdir()
        (folder / "url").write_text("open")
    done = subprocess.run(
        [sys.executable, "-c", _READ],
        env={**os.environ, SECRET_FOLDERS: json.dumps([str(folder) for folder in folders])},
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout.split() == ["closed", "open", "closed"]
