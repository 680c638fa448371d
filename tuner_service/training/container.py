"""The memory of the container that this process is in, as its control group has it."""

from __future__ import annotations

from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def memory(cgroup: Path = CGROUP) -> tuple[int, int] | None:
    """Return the bytes in use, without what the kernel can drop, and their limit; ``None`` where there is none."""
    try:
        limit = int((cgroup / "memory.max").read_text())
        used = int((cgroup / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or one that may use all
        return None
    return used - _field(cgroup / "memory.stat", "inactive_file"), limit


def oom_kills(cgroup: Path = CGROUP) -> int:
    """Return how many processes the kernel has ended there for want of memory."""
    return _field(cgroup / "memory.events", "oom_kill")


def _field(file: Path, name: str) -> int:
    try:
        lines = (line.split() for line in file.read_text().splitlines())
        return next((int(value) for key, value in lines if key == name), 0)
    except (OSError, ValueError):
        return 0
