"""The seeds of all that Keras, NumPy and Python draw from."""

from __future__ import annotations

import keras

from tuner_service.training.without_tensorflow import without_tensorflow


def seed_all(seed: int) -> None:
    """Do what ``keras.utils.set_random_seed`` does, but on JAX without loading TensorFlow."""
    with without_tensorflow():
        keras.utils.set_random_seed(seed)
