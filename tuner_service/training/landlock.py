"""A folder that this process and all that it starts can never read again: Landlock, of Linux 5.19 and later."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

#: Of Linux' system calls, the same on x86-64 and ARM (``linux/landlock.h``, ``asm-generic/unistd.h``).
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1
_READ_FILE = 1 << 2
#: Moving files from folder to folder, which any ruleset forbids unless it names this (from version 2 on).
_REFER = 1 << 13
_PR_SET_NO_NEW_PRIVS = 38


def can_close() -> bool:
    """Return whether this machine can do it."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        return False
    version: int = _libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)
    return version >= 2


def close(folder: Path) -> None:
    """Take from this process, for good, the right to read files below a folder.

    Landlock knows only what is allowed, so everything beside the folder and beside the folders above it is. What is
    made later directly in one of these can be read by nobody here. Nothing happens where ``can_close`` says no.
    """
    if not can_close():
        return
    libc = _libc()
    attributes = struct.pack("=Q", _READ_FILE | _REFER)
    ruleset = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")
    try:
        for path in _beside(folder.resolve()):
            _allow(libc, ruleset, path)
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or libc.syscall(_RESTRICT_SELF, ruleset, 0) != 0:
            raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    finally:
        os.close(ruleset)


def _beside(folder: Path) -> Iterator[Path]:
    for closed in (folder, *folder.parents[:-1]):
        # A link would allow what it leads to.
        yield from (path for path in closed.parent.iterdir() if path != closed and not path.is_symlink())


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # it went away, or is a link to nowhere
    try:
        rights = _READ_FILE | _REFER if path.is_dir() else _READ_FILE
        rule = struct.pack("=Qi", rights, descriptor)
        if libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0) != 0:
            raise OSError(ctypes.get_errno(), f"landlock_add_rule for {path}")
    finally:
        os.close(descriptor)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
