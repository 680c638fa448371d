"""The benchmark that needs a GPU to say anything, tried where there is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.soak
def test_slots_on_a_device_are_measured_on_the_processor_too() -> None:
    """With ``--cpu`` the same command runs the same studies, and each row has its time and its trials an hour."""
    command = [sys.executable, "-m", "benchmarks.gpu_slots", "--cpu", "--quick", "--slots", "1", "2"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()]
    assert header == ["the processor", "seconds", "trials an hour", "times one slot, plain fit"]
    assert [row[0] for row in rows] == ["one slot, plain fit", "1 slots, compiled epochs", "2 slots, compiled epochs"]
    for _, seconds, an_hour, times in rows:
        assert float(an_hour) == pytest.approx(2 * 3600 / float(seconds), rel=0.01)
        assert float(times) > 0
