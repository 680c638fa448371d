"""What becomes of an error in the process that trains."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tuner_service.domain.outcome import Reason
from tuner_service.errors import StudyFileError
from tuner_service.training.child import _cause


# As JAX calls it: importing JAX here would start another backend in the process of these tests.
class JaxRuntimeError(RuntimeError):
    """Whatever went wrong in a computation."""


def _of_numpy() -> BaseException:
    try:
        np.zeros(2**57)
    except MemoryError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(MemoryError(), Reason.OOM, id="Python's"),
        pytest.param(_of_numpy(), Reason.OOM, id="NumPy's, which is one of Python's"),
        pytest.param(
            tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"), Reason.OOM, id="TensorFlow's"
        ),
        pytest.param(JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory"), Reason.OOM, id="JAX's"),
        pytest.param(JaxRuntimeError("INTERNAL: RESOURCE_EXHAUSTED"), Reason.ERROR, id="another one of JAX's"),
        pytest.param(RuntimeError("RESOURCE_EXHAUSTED: no"), Reason.ERROR, id="one that only sounds so"),
        pytest.param(tf.errors.InternalError(None, None, "no"), Reason.ERROR, id="another one of TensorFlow's"),
        pytest.param(StudyFileError("no"), Reason.ERROR, id="of this service"),
        pytest.param(SystemExit(1), Reason.ERROR, id="an exit"),
    ],
)
def test_running_out_of_memory_is_told_from_other_errors(error: BaseException, reason: Reason) -> None:
    """By the classes' names, so that no backend is imported for it."""
    assert _cause(error) is reason
