"""Seeds, where Keras computes with one backend and TensorFlow is installed too."""

from __future__ import annotations

from tests.e2e.tuner import run_python

_DRAWS = """
import os, random, sys
os.environ.update(KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")
import keras, numpy as np
from tuner_service.training.seeding import seed_all

def draws():
    generator = keras.random.SeedGenerator()
    numbers = [random.random(), np.random.random(), keras.random.normal(()), keras.random.normal((), seed=generator)]
    return [float(one) for one in numbers]

seed_all(7)
ours = draws()
print("tensorflow" in sys.modules)
keras.utils.set_random_seed(7)
print("tensorflow" in sys.modules)
print(ours == draws())
seed_all(8)
print(ours == draws())
"""


def test_jax_is_seeded_as_keras_does_it_without_loading_tensorflow() -> None:
    """The same numbers follow; only Keras' own function imports TensorFlow."""
    assert run_python(_DRAWS).split() == ["False", "True", "True", "False"]
