"""Ties between a process and its parent on Linux: no death of a supervisor leaves an orphan."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4


def die_with_parent(with_signal: signal.Signals = signal.SIGKILL) -> None:
    """Let the kernel end this process when its parent dies, also by SIGKILL and with the interpreter's lock held.

    The signal comes when the parent's thread ends that started this process, so that thread must live as long as the
    parent. Elsewhere than on Linux nothing happens; there the pipe to the parent closes.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    _prctl(_PR_SET_PDEATHSIG, int(with_signal))
    # The parent may have died before the call.
    if parent == 1 or os.getppid() != parent:
        os._exit(1)


def hide_memory() -> None:
    """Refuse other processes of this user a look into this one's memory and environment, its children included."""
    if sys.platform == "linux":
        _prctl(_PR_SET_DUMPABLE, 0)


def _prctl(option: int, argument: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, argument, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {argument})")
