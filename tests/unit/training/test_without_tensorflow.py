"""Keras on JAX, where TensorFlow is installed too: nobody waits for it."""

from __future__ import annotations

from pathlib import Path

import pytest

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


_MODELS = """
import os, sys, zipfile
from pathlib import Path
os.environ.update(KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")
import keras
from tuner_service.training.model_file import write

model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
model.compile("sgd", "mse")
write(model, Path("ours.keras"))
print("tensorflow" in sys.modules)
model.save("theirs.keras")
print("tensorflow" in sys.modules)
ours, theirs = (zipfile.ZipFile(name).read("config.json") for name in ("ours.keras", "theirs.keras"))
print(ours == theirs)
"""


def test_models_are_saved_on_jax_without_loading_tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the file is the same; only Keras' own function imports TensorFlow."""
    monkeypatch.chdir(tmp_path)
    assert run_python(_MODELS).split() == ["False", "True", "True"]
