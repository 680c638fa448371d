"""A worker's own folder for temporary files, by which others of its machine see whether it still lives."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Self

_PREFIX = "tuner-worker-"


class Scratch:
    """A folder that is locked until its worker ends, however it ends: the kernel lets go of the lock."""

    def __init__(self, parent: Path | None = None) -> None:
        self._parent = Path(tempfile.gettempdir()) if parent is None else parent
        while True:
            self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._parent))
            # Until it is locked, somebody may take it for a dead worker's, and remove it.
            with contextlib.suppress(FileNotFoundError):
                self._descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
                if self._is_locked():
                    break
                os.close(self._descriptor)

    def _is_locked(self) -> bool:
        # A network file system may have no locks: there a folder stays, and its owner is taken to live.
        with contextlib.suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        return self.folder.is_dir()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._descriptor)

    def remove_abandoned(self) -> int:
        """Remove the folders of this user's workers that have died, and return how many there were."""
        removed = 0
        for folder in self._parent.glob(f"{_PREFIX}*"):
            with contextlib.suppress(OSError):
                if folder.lstat().st_uid != os.getuid():
                    continue
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    # While it is locked: its name is not given to a new worker meanwhile.
                    shutil.rmtree(folder, ignore_errors=True)
                    removed += 1
                finally:
                    os.close(descriptor)
        return removed


def is_in_use(folder: Path) -> bool:
    """Return whether the worker still lives that this folder is, or was."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
