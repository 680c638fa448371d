"""What a supervisor says of a child that says nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tuner_service.domain.limits import Limits
from tuner_service.domain.outcome import Reason
from tuner_service.worker import watchdog
from tuner_service.worker.watchdog import Watchdog

_GIB = 2**30


@pytest.fixture
def cgroup(tmp_path: Path) -> Path:
    """Provide a container's memory files: 10 GiB, of which one is used."""
    _write_memory(tmp_path, used=_GIB)
    return tmp_path


@pytest.fixture
def idle() -> Iterator[int]:
    """Provide the id of a process that does nothing."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process.pid
        process.kill()


def _write_memory(folder: Path, *, used: int, limit: str = str(10 * _GIB), droppable: int = 0, kills: int = 0) -> None:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {droppable}\nactive_file 5\n")
    (folder / "memory.events").write_text(f"low 0\nhigh 0\nmax 9\noom 7\noom_kill {kills}\noom_group_kill 4\n")


def _reason(watch: Watchdog, now: float, pid: int | None = None) -> Reason | None:
    verdict = watch.verdict(now, os.getpid() if pid is None else pid)
    return None if verdict is None else verdict.reason


def test_a_trial_may_take_its_time_limit(cgroup: Path) -> None:
    """Whatever progress it makes; the limit is named."""
    watch = Watchdog(Limits(trial_s=100), started_at=1000.0, cgroup=cgroup)
    for now in (1030.0, 1060.0, 1090.0):
        watch.epoch_ended(now)
    assert _reason(watch, 1100.0) is None
    verdict = watch.verdict(1100.1, os.getpid())
    assert verdict is not None
    assert (verdict.reason, verdict.message) == (Reason.TIMEOUT, "took longer than its limit of 100 s")


def test_without_a_time_limit_a_trial_takes_what_it_takes(cgroup: Path) -> None:
    """As long as its epochs end."""
    watch = Watchdog(Limits(), started_at=0.0, cgroup=cgroup)
    for epoch in range(1, 1000):
        watch.epoch_ended(epoch * 500.0)
        assert _reason(watch, epoch * 500.0 + 499.0) is None


@pytest.mark.parametrize(
    ("epochs_s", "patience_s"),
    [
        pytest.param([1.0, 1.0], 600, id="short epochs: the least"),
        pytest.param([200.0], 1000, id="five times an epoch"),
        pytest.param([900.0, 200.0, 200.0], 1000, id="five times the median, not the slow first one"),
    ],
)
def test_a_trial_is_stuck_after_a_silence(cgroup: Path, epochs_s: list[float], patience_s: float) -> None:
    """It is measured from its last epoch, and against those before."""
    now = 50.0
    watch = Watchdog(Limits(stalled_s=600), started_at=now, cgroup=cgroup)
    for seconds in epochs_s:
        now += seconds
        watch.epoch_ended(now)
    assert _reason(watch, now + patience_s) is None
    assert _reason(watch, now + patience_s + 0.1) is Reason.STALLED


def test_reports_that_end_no_epoch_are_signs_of_life(cgroup: Path) -> None:
    """Of a script that goes through the same steps fold by fold; how long an epoch takes is not learnt from them."""
    watch = Watchdog(Limits(stalled_s=600), started_at=0.0, cgroup=cgroup)
    watch.epoch_ended(200.0)
    watch.reported(1100.0)
    assert _reason(watch, 2100.0) is None
    assert _reason(watch, 2100.1) is Reason.STALLED


def test_before_its_first_epoch_a_trial_is_stuck_if_it_does_nothing(cgroup: Path, idle: int) -> None:
    """A process that waits for nothing that will come, and uses no processor meanwhile."""
    watch = Watchdog(Limits(stalled_s=600), started_at=0.0, cgroup=cgroup)
    assert _reason(watch, 600.0, idle) is None
    assert _reason(watch, 600.1, idle) is Reason.STALLED


def test_before_its_first_epoch_a_busy_trial_may_take_its_time(cgroup: Path) -> None:
    """The first epoch of a large network, or a script that reports none, is longer than any limit would allow for."""
    watch = Watchdog(Limits(stalled_s=600), started_at=0.0, cgroup=cgroup)
    begun = time.process_time()
    for now in (500.0, 1000.0, 1500.0):
        while time.process_time() - begun < 0.2:
            pass
        begun = time.process_time()
        assert _reason(watch, now) is None


def test_what_a_storage_took_is_not_the_childs_time(cgroup: Path, idle: int) -> None:
    """Neither of its time limit nor of its silence, nor of the length of its epochs."""
    watch = Watchdog(Limits(trial_s=2000, stalled_s=600), started_at=0.0, cgroup=cgroup)
    watch.leave_out(5000.0)
    assert _reason(watch, 5600.0, idle) is None
    assert _reason(watch, 5600.1, idle) is Reason.STALLED
    watch.epoch_ended(5600.0)
    assert _reason(watch, 5600.0 + 1400.0) is None, "five epochs of 600 s are longer"
    assert _reason(watch, 7000.1) is Reason.TIMEOUT


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        pytest.param({"used": 94 * _GIB // 10}, None, id="below the share"),
        pytest.param({"used": 96 * _GIB // 10}, Reason.OOM, id="above it"),
        pytest.param({"used": 10 * _GIB, "droppable": _GIB}, None, id="what the kernel can drop is not counted"),
        pytest.param({"used": 10 * _GIB, "limit": "max"}, None, id="no limit"),
    ],
)
def test_a_child_is_ended_before_the_container_is(
    cgroup: Path, memory: dict[str, int], expected: Reason | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a share of the container's memory."""
    monkeypatch.setattr(watchdog, "_is_largest", lambda _: True)
    watch = Watchdog(Limits(), started_at=0.0, cgroup=cgroup)
    assert _reason(watch, 1.0) is None
    _write_memory(cgroup, **memory)  # type: ignore[arg-type]
    assert _reason(watch, 1.0) is expected


def test_the_largest_child_is_the_one_that_ends(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its siblings go on."""
    held = {1: 900, 2: 500, 3: 100}

    class FakeProcess:
        def __init__(self, pid: int) -> None:
            self.pid = pid
            self.rss = held.get(pid, 0)

        def parent(self) -> FakeProcess:
            return self

        def children(self, recursive: bool = False) -> list[FakeProcess]:
            return [FakeProcess(pid) for pid in held]

        def memory_info(self) -> FakeProcess:
            return self

        def cpu_times(self) -> SimpleNamespace:
            return SimpleNamespace(user=1.0, system=0.0, children_user=0.0, children_system=0.0)

    monkeypatch.setattr(watchdog.psutil, "Process", FakeProcess)
    watch = Watchdog(Limits(), started_at=0.0, cgroup=cgroup)
    _write_memory(cgroup, used=10 * _GIB)
    assert [_reason(watch, 1.0, pid) for pid in held] == [Reason.OOM, None, None]


@pytest.mark.parametrize(
    ("kills_before", "kills_after", "exit_code", "expected"),
    [
        pytest.param(0, 1, -signal.SIGKILL, True, id="killed while the kernel killed"),
        pytest.param(3, 3, -signal.SIGKILL, False, id="killed by somebody: the kernel killed others earlier"),
        pytest.param(0, 1, -signal.SIGSEGV, False, id="died by another signal"),
        pytest.param(0, 1, 1, False, id="ended by itself"),
        pytest.param(0, 1, None, False, id="not known"),
    ],
)
def test_a_kill_is_the_kernels_where_it_counted_one(
    cgroup: Path, kills_before: int, kills_after: int, exit_code: int | None, expected: bool
) -> None:
    """The container's count of kills, during this trial, tells memory from everything else that kills."""
    _write_memory(cgroup, used=_GIB, kills=kills_before)
    watch = Watchdog(Limits(), started_at=0.0, cgroup=cgroup)
    _write_memory(cgroup, used=_GIB, kills=kills_after)
    assert watch.kernel_ran_out_of_memory(exit_code) is expected


@pytest.mark.parametrize("content", [None, "", "words"], ids=["no files", "empty files", "another format"])
def test_without_control_groups_memory_is_not_watched(tmp_path: Path, content: str | None, idle: int) -> None:
    """Nothing is raised, and time is watched all the same."""
    if content is not None:
        for name in ("memory.max", "memory.current", "memory.stat", "memory.events"):
            (tmp_path / name).write_text(content)
    watch = Watchdog(Limits(), started_at=0.0, cgroup=tmp_path)
    assert _reason(watch, 1.0, idle) is None
    assert not watch.kernel_ran_out_of_memory(-signal.SIGKILL)
    assert _reason(watch, 601.0, idle) is Reason.STALLED
