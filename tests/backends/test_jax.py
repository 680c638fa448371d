"""Keras on JAX: a process has one backend, so the tests of training run once more in another one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_TESTS = Path(__file__).parents[1]


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_training_does_on_jax_what_it_does_on_tensorflow(tmp_path: Path) -> None:
    """Compiled epochs agree with ``fit`` there, and a training that goes on is the uninterrupted one."""
    names = ("backends/test_agreement", "unit/training/test_engine", "unit/training/test_network")
    tests = [str(_TESTS / f"{name}.py") for name in names]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'jax'}", *tests]
    done = subprocess.run(
        command, env=environment, cwd=_TESTS.parent, capture_output=True, text=True, timeout=1790, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:]
