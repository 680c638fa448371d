"""Keras on JAX: a process has one backend, so the tests of training run once more in another one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_TESTS = Path(__file__).parents[1]

#: Kinds of networks for every run of the tests; `make soak` has all.
_KINDS = (
    "regularizers, constraint, batch norm, noise, dropout",
    "schedule, momentum, clipping",
    "class weights, one-hot labels, many metrics",
    "convolution",
    "a step of its own",
)

#: Two devices of one processor; programs are compiled fast, not to be fast.
_XLA_FLAGS = (
    "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0 "
    "--xla_llvm_disable_expensive_passes=true"
)


def _test(folder: Path, *tests: str) -> None:
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": _XLA_FLAGS}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={folder / 'jax'}"]
    done = subprocess.run(
        [*command, *(str(_TESTS / one) for one in tests)],
        env=environment,
        cwd=_TESTS.parent,
        capture_output=True,
        text=True,
        timeout=1790,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]


def test_compiled_epochs_agree_with_fit_on_jax(tmp_path: Path) -> None:
    """For networks of five kinds; and runs that train together come to what each comes to alone."""
    agreement = "backends/test_agreement.py::test_compiled_epochs_and_fit_agree"
    alone = "backends/test_together.py::test_a_run_comes_to_what_it_comes_to_alone[stopped at different epochs]"
    _test(tmp_path, alone, *(f"{agreement}[{kind}]" for kind in _KINDS))


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_training_does_on_jax_what_it_does_on_tensorflow(tmp_path: Path) -> None:
    """Compiled epochs agree with ``fit`` there, and a training that goes on is the uninterrupted one."""
    training = ("backends/test_agreement.py", "backends/test_together.py", "backends/test_computing.py")
    _test(tmp_path, *training, "unit/training/test_engine.py", "unit/training/test_network.py")


_QUICKLY = """
import jax
from tuner_service.training.jax_epoch import _QUICKLY, compiled, flops

lowered = jax.jit(lambda x: (x @ x + 1).sum()).lower(jax.numpy.ones((8, 8)))
print(float(lowered.compile(compiler_options=_QUICKLY)(jax.numpy.ones((8, 8)))))
print(1000 < flops(lowered) < 2000)
"""


def test_jax_knows_the_options_that_compile_short_epochs_quickly(tmp_path: Path) -> None:
    """They are XLA's and no part of JAX's interface; without them short trials take longer, and nobody would notice."""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", _QUICKLY], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["576.0", "True"]
