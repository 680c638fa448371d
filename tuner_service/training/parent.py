"""Ties between a process and its parent on Linux: no death of a supervisor leaves an orphan."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

from tuner_service.training.landlock import close

#: Number of the pipe through which a command gets the URLs that must not stand in its environment, as JSON by variable.
SECRETS_PIPE = "TUNER_SECRETS_PIPE"

#: The folders of the files that this command's secrets came from, as JSON; not there where none came from a file.
SECRET_FOLDERS = "TUNER_SECRET_FOLDERS"  # noqa: S105 - the variable's name

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4


def die_with_parent(parent: int, with_signal: signal.Signals = signal.SIGKILL) -> None:
    """Let the kernel end this process when its parent dies, also by SIGKILL and with the interpreter's lock held.

    The parent says its process id, since 1 may be an orphan's new parent or, in a container, the right one.
    The signal comes when the parent's thread ends that started this process, so that thread must live as long as the
    parent. Elsewhere than on Linux nothing happens; there the pipe to the parent closes.
    """
    if sys.platform != "linux":
        return
    _prctl(_PR_SET_PDEATHSIG, int(with_signal))
    # The parent may have died before the call.
    if os.getppid() != parent:
        os._exit(1)


def secret_folders() -> list[Path]:
    """Return the folders of the files that this command's secrets came from."""
    return [Path(folder) for folder in json.loads(os.environ.get(SECRET_FOLDERS, "[]"))]


def can_be_closed(folder: Path) -> bool:
    """Return whether a folder is a mounted Secret: in a folder of the user's, closing would take too much away."""
    return folder.is_mount()


def close_secrets() -> None:
    """Give up the right to read the files that secrets came from, where they are mounted."""
    for folder in filter(can_be_closed, secret_folders()):
        close(folder)


def hide_memory() -> None:
    """Refuse other processes of this user a look into this one's memory and environment, its children included."""
    if sys.platform == "linux":
        _prctl(_PR_SET_DUMPABLE, 0)


def hand_over(secret: str) -> int:
    """Return a pipe from which a child that inherits it reads a secret, once, and nobody else later."""
    readable, writable = os.pipe()
    with os.fdopen(writable, "w", encoding="utf-8") as target:
        target.write(secret)
    os.set_inheritable(readable, True)
    return readable


def take_over(variable: str) -> str | None:
    """Return the secret of the pipe whose number is in this variable of the environment, which is removed."""
    pipe = os.environ.pop(variable, None)
    if pipe is None:
        return None
    with os.fdopen(int(pipe), encoding="utf-8") as source:
        return source.read()


def _prctl(option: int, argument: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, argument, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {argument})")
