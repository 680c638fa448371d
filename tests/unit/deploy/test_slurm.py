"""The Slurm example, with stand-ins for Slurm and the worker."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "deploy" / "slurm" / "workers.sbatch"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Provide what Slurm gives a task of an array, with a worker that ends as it is told to."""
    ends = '[ "$EXIT" = never ] || exit $EXIT; for _ in {1..900}; do sleep 0.1; done'
    for name, text in {
        "tuner": f'trap "exit 75" TERM; echo "$@" > worker; {ends}',
        "scontrol": 'echo "$@" > requeued',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    slurm = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3", "SLURM_JOB_ID": "10", "STUDY": "digits-mlp"}
    return {**os.environ, **slurm, "PATH": f"{tmp_path}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    ("code", "requeued"),
    [
        pytest.param("0", False, id="the study has ended"),
        pytest.param("75", True, id="interrupted"),
        pytest.param("78", False, id="a configuration error"),
        pytest.param("1", False, id="anything else"),
    ],
)
def test_a_task_goes_by_the_exit_code(tmp_path: Path, environment: dict[str, str], code: str, requeued: bool) -> None:
    """The script ends with the worker's, and only an interrupted worker is queued again."""
    done = subprocess.run(["bash", SCRIPT], cwd=tmp_path, env={**environment, "EXIT": code}, check=False)
    assert done.returncode == int(code)
    assert (tmp_path / "worker").read_text() == "worker digits-mlp --studies studies --id slurm-7-3-0\n"
    assert (tmp_path / "requeued").exists() == requeued


def test_a_task_that_is_to_end_tells_its_worker(tmp_path: Path, environment: dict[str, str]) -> None:
    """Slurm signals the script alone; it waits until the worker has handed back what it trains."""
    with subprocess.Popen(["bash", SCRIPT], cwd=tmp_path, env={**environment, "EXIT": "never"}) as process:
        while not (tmp_path / "worker").exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 75
    assert (tmp_path / "requeued").read_text() == "requeue 10\n"
