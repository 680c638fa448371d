"""The seeds of all that Keras, NumPy and Python draw from."""

from __future__ import annotations

import sys

import keras
from keras.src.utils import module_utils


def seed_all(seed: int) -> None:
    """Do what ``keras.utils.set_random_seed`` does, but on JAX leave TensorFlow alone where nobody has imported it.

    Keras imports it for this, wherever it is installed, which takes a process 3 s.
    """
    tensorflow = module_utils.tensorflow
    was_available = tensorflow._available
    if keras.backend.backend() != "tensorflow" and "tensorflow" not in sys.modules:
        tensorflow._available = False
    try:
        keras.utils.set_random_seed(seed)
    finally:
        tensorflow._available = was_available
