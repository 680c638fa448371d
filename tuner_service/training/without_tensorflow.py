"""Keras on JAX, beside a TensorFlow that is installed but that nobody has asked for."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import keras
from keras.src.utils import module_utils


@contextlib.contextmanager
def without_tensorflow() -> Iterator[None]:
    """Have Keras leave TensorFlow alone where it computes with JAX and nobody has imported TensorFlow.

    Keras imports it to seed it, and to see whether what it writes into a file is an object of TensorFlow's, wherever it
    is installed: 3 s and more of each process. Of a module that nobody has imported there are no objects.
    """
    tensorflow = module_utils.tensorflow
    was_available = tensorflow._available
    if keras.backend.backend() != "tensorflow" and "tensorflow" not in sys.modules:
        tensorflow._available = False
    try:
        yield
    finally:
        tensorflow._available = was_available
