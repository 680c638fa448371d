"""Which of two ways a network is trained: ``fit``, which can do everything, or whole epochs in one compiled program."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import psutil

from tuner_service.domain.engine import Engine
from tuner_service.errors import StudyFileError
from tuner_service.training import container
from tuner_service.training.batches import is_arrays
from tuner_service.training.data import Data, Part

#: Arguments of ``fit`` that a compiled epoch honours.
_HONOURED = {
    "batch_size", "callbacks", "class_weight", "epochs", "shuffle", "validation_batch_size", "verbose"
}  # fmt: skip

#: Methods of a network by which it would train in its own way.
_OWN_WAYS = ("fit", "evaluate", "make_train_function", "make_test_function", "reset_metrics")

#: What a callback is called with at each batch.
_BATCH_HOOKS = tuple(f"on_{kind}batch_{end}" for kind in ("", "train_", "test_") for end in ("begin", "end"))

#: The data is copied to the device: the largest that may be, in bytes, and as a share of the memory that is free.
_MOST_BYTES = 2 * 1024**3
_SHARE_OF_FREE = 0.25


@dataclass(frozen=True)
class TrainingPath:
    """The way that a training took, and why; ``str`` is what a trial records of it."""

    name: Literal["compiled", "fit"]
    because: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.because}" if self.because else self.name


def path_for(
    engine: Engine, model: keras.Model, data: Data, given: Mapping[str, Any], *, free_memory: int | None = None
) -> TrainingPath:
    """Return the way to train a network; whatever a compiled epoch cannot honour goes to ``fit``.

    Args:
        engine: What the specification wants.
        model: The network, compiled in Keras' sense.
        data: What it is trained and judged on.
        given: Arguments for ``fit``.
        free_memory: Bytes that this process may still use; looked up without it.

    Raises:
        StudyFileError: If the specification wants compiled epochs and they cannot be had.
    """
    if engine == "fit":
        return TrainingPath("fit", "the specification says so")
    obstacle = next(_obstacles(model, data, given, free_memory or free_bytes), None)
    if obstacle is None:
        return TrainingPath("compiled")
    return fit_because(engine, obstacle)


def fit_because(engine: Engine, obstacle: str) -> TrainingPath:
    """Return the way of ``fit``, with what is in the way of the other one.

    Raises:
        StudyFileError: If the specification wants the other one.
    """
    if engine == "compiled":
        raise StudyFileError(
            f'engine="compiled" is not possible here: {obstacle}. Change that, or set engine="auto", which trains '
            "such a network with fit"
        )
    return TrainingPath("fit", obstacle)


def _obstacles(
    model: keras.Model, data: Data, given: Mapping[str, Any], free_memory: int | Callable[[], int]
) -> Iterator[str]:
    if keras.backend.backend() not in ("tensorflow", "jax"):
        yield f"there is no compiled epoch for the backend {keras.backend.backend()}"
    if model.run_eagerly:
        yield "the network is compiled with run_eagerly=True"
    for name in _OWN_WAYS:
        if getattr(type(model), name) is not getattr(keras.Model, name):
            yield f"{type(model).__name__} defines {name} itself"
    if keras.backend.backend() == "jax" and not model.jit_compile:
        yield "the network is compiled with jit_compile=False, or has layers that cannot be compiled"
    if model.optimizer is None:
        yield "the network has no optimizer"
    if _is_distributed(model):
        yield "the network is distributed over several devices"
    yield from _obstacles_in_options(data, given)
    for name in ("train", "validation"):
        part = getattr(data, name)
        if part is not None and not is_arrays(part):
            yield f"the {name} data is not made of NumPy arrays"
        elif part is not None and any(leaf.dtype.kind not in "biufc" for leaf in keras.tree.flatten(part)):
            yield f"the {name} data has arrays that are no numbers"
    needed = _size(data.train) + _size(data.validation)
    free = free_memory() if callable(free_memory) else free_memory
    if needed > min(_MOST_BYTES, _SHARE_OF_FREE * free):
        yield f"the data, {needed / 1e6:.0f} MB, is too large to be copied to the device at once"


def _obstacles_in_options(data: Data, given: Mapping[str, Any]) -> Iterator[str]:
    for name, value in given.items():
        said_default = value is None or (name == "validation_freq" and isinstance(value, int) and value == 1)
        if name not in _HONOURED and not said_default:
            yield f"fit_options gives {name}"
    if given.get("verbose", 0) not in (0, 2):
        yield "verbose asks for output at each batch"
    for callback in keras.tree.flatten(given.get("callbacks") or []):
        hook = _batch_hook(callback)
        if hook is not None:
            yield f"{type(callback).__name__} acts at each batch ({hook})"
    if given.get("class_weight") is not None and not (len(data.train) == 2 and isinstance(data.train[1], np.ndarray)):
        yield "class_weight is given for data that is not (x, y) with one array y"


def _batch_hook(callback: keras.callbacks.Callback) -> str | None:
    if isinstance(callback, keras.callbacks.ModelCheckpoint) and callback.save_freq == "epoch":
        return None
    for name in _BATCH_HOOKS:
        hook = getattr(callback, name)
        if getattr(hook, "__func__", hook) is not getattr(keras.callbacks.Callback, name):
            return name
    return None


def _is_distributed(model: keras.Model) -> bool:
    if keras.distribution.distribution() is not None:
        return True
    strategy = getattr(model, "distribute_strategy", None)
    return strategy is not None and strategy.num_replicas_in_sync > 1


def _size(part: Part) -> int:
    return sum(getattr(leaf, "nbytes", 0) for leaf in keras.tree.flatten(part))


def free_bytes() -> int:
    """Return the bytes that are free on this machine, or in its container where that has fewer."""
    free: int = psutil.virtual_memory().available
    match container.memory():
        case (used, limit):
            return min(free, limit - used)
    return free
