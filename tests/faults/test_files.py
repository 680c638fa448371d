"""Disks that are full, folders that cannot be written, files that are torn."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.tuner import until
from tests.faults.pool import check_rows, pool
from tests.servers import PostgresServer


def test_torn_checkpoint_and_unwritable_artifacts_cost_no_trial(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """A trial whose checkpoint is torn begins anew, its curve whole; where files cannot be kept its value is.

    A script that saves its model in the objective fails there, and one that loads a torn file fails again and again.
    """
    with pool(tmp_path, postgres_server, "digits", "trials=1") as workers:
        trials = tmp_path / "tuner-artifacts" / "digits" / "trials"
        (first,) = workers.start(1, environment={"EPOCH_S": "0.1"})
        until(
            "it has saved", lambda: list(trials.glob("*/checkpoint-*5.npz")) + list(trials.glob("*/checkpoint-*6.npz"))
        )
        first.kill()
        workers.workers.remove(first)
        for checkpoint in trials.glob("*/checkpoint-*.npz"):
            os.truncate(checkpoint, checkpoint.stat().st_size // 2)
        (second,) = workers.start(1, environment={"EPOCH_S": "0.2"})
        until("it trains again", lambda: workers.epoch(1) >= 1)
        trials.rename(tmp_path / "away")
        trials.write_text("this is no folder")
        workers.wait()
        check_rows(workers, 1)
        assert workers.attempts(0) == [(0, "FAIL", "interrupted", "w0"), (1, "COMPLETE", "finished", "w1")]
        assert workers.query("SELECT resumed_from, epoch FROM tuner_attempts WHERE attempt = 1") == [(0, 10)]
        assert [line["epoch"] for line in workers.history() if line["number"] == 1] == list(range(1, 11))
        assert "cannot be written" in second.said()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Provide a file system of a megabyte, where this machine lets us make one."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a file system takes more rights than these tests have here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.soak
def test_full_disk_costs_no_result(tmp_path: Path, postgres_server: PostgresServer, tiny_disk: Path) -> None:
    """The disk for temporary files fills up while a trial runs: its value is recorded, and the worker lives."""
    with pool(tmp_path / "work", postgres_server, "fast", "trials=6") as workers:
        workers.start(1, environment={"EPOCH_S": "0.2", "TMPDIR": str(tiny_disk)})
        until("it trains", workers.history)
        full = tiny_disk / "full"
        with pytest.raises(OSError, match="No space left"):
            full.write_bytes(b"x" * 2**21)
        until("two trials are settled", lambda: workers.settled() >= 2, timeout_s=30.0)
        full.unlink()
        workers.wait()
        check_rows(workers, 6)
        assert workers.counts() == {"finished": 6}
