"""What can be wrong with a child that says nothing: too long, stuck, or about to take the machine's memory."""

from __future__ import annotations

import signal
import statistics
from dataclasses import dataclass
from pathlib import Path

import psutil

from tuner_service.domain.limits import Limits
from tuner_service.domain.outcome import Reason
from tuner_service.training import container

#: Share of the container's memory at which the child that holds most of it is ended, before the kernel ends any.
_MEMORY_SHARE = 0.95
#: Processor time that shows that a process does something, in seconds.
_BUSY_S = 0.1


@dataclass(frozen=True)
class Verdict:
    """Why a child has to be ended."""

    reason: Reason
    type: str
    message: str


class Watchdog:
    """Watches one attempt. Times are of the monotonic clock, in seconds."""

    def __init__(self, limits: Limits, *, started_at: float, cgroup: Path = container.CGROUP) -> None:
        self._limits = limits
        self._started_at = started_at
        self._epoch_at = self._reported_at = started_at
        self._epochs_s: list[float] = []
        self._busy_at = started_at
        self._busy_s = 0.0
        self._cgroup = cgroup
        self._kills = container.oom_kills(cgroup)

    def epoch_ended(self, now: float) -> None:
        """Take note of progress."""
        self._epochs_s.append(now - self._epoch_at)
        self._epoch_at = now

    def reported(self, now: float) -> None:
        """Take note of a report that ends no epoch."""
        self._reported_at = now

    def resumed(self, now: float) -> None:
        """Forget the epochs so far: an earlier attempt trained them, and they were told again in no time."""
        self._epochs_s.clear()
        self._epoch_at = now

    def leave_out(self, seconds: float) -> None:
        """Count so much of the time since the last epoch for nothing."""
        self._started_at += seconds
        self._epoch_at += seconds
        self._reported_at += seconds
        self._busy_at += seconds

    def verdict(self, now: float, pid: int) -> Verdict | None:
        """Return what is wrong, or ``None``."""
        limit = self._limits.trial_s
        if limit is not None and now - self._started_at > limit:
            return Verdict(Reason.TIMEOUT, "TimeLimit", f"took longer than its limit of {limit:g} s")
        stalled = self._stalled(now, pid)
        if stalled is not None:
            return Verdict(Reason.STALLED, "NoProgress", stalled)
        match container.memory(self._cgroup):
            case (used, limit_bytes) if used > _MEMORY_SHARE * limit_bytes and _is_largest(pid):
                held = f"{used / 2**30:.1f} of {limit_bytes / 2**30:.1f} GiB of memory were in use"
                return Verdict(Reason.OOM, "OutOfMemory", f"ended before the container was: {held}")
        return None

    def _stalled(self, now: float, pid: int) -> str | None:
        if self._epochs_s:
            patience = self._limits.stalled_after(statistics.median(self._epochs_s))
            silent = now - max(self._epoch_at, self._reported_at) > patience
            return f"no epoch ended for {patience:.0f} s" if silent else None
        # How long an epoch takes is not known yet, and a script may report none: only one that does nothing is stuck.
        busy_s = _processor_s(pid)
        if busy_s - self._busy_s > _BUSY_S:
            self._busy_at, self._busy_s = now, busy_s
        idle_s = self._limits.stalled_s
        return f"it did nothing for {idle_s:.0f} s" if now - self._busy_at > idle_s else None

    def kernel_ran_out_of_memory(self, exit_code: int | None) -> bool:
        """Return whether a child that has died was ended by the kernel for its memory."""
        return exit_code == -signal.SIGKILL and container.oom_kills(self._cgroup) > self._kills


def _processor_s(pid: int) -> float:
    """Return the processor time that a process and those that it has started have used, in seconds."""
    try:
        process = psutil.Process(pid)
        family = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    except psutil.Error:
        return 0.0
    return sum(one.user + one.system + one.children_user + one.children_system for one in family)


def _is_largest(pid: int) -> bool:
    """Return whether a child holds at least as much memory as each of its siblings."""
    try:
        process = psutil.Process(pid)
        parent = process.parent()
        siblings = [] if parent is None else parent.children()
        held = process.memory_info().rss
        return all(held >= one.memory_info().rss for one in siblings if one.pid != pid)
    except psutil.Error:
        return True
