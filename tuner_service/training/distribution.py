"""One network on several devices of a machine, each with an equal part of every batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from tuner_service.errors import StudyFileError
from tuner_service.training.batches import BATCH_SIZE, is_arrays, rows_of
from tuner_service.training.data import Data


@contextlib.contextmanager
def spread(devices: int) -> Iterator[None]:
    """Have the network that is built in the block trained on so many devices, GPUs or else processors.

    On TensorFlow by ``MirroredStrategy``, on JAX by Keras' ``DataParallel``, which stays set.

    Raises:
        StudyFileError: If there are fewer.
    """
    if devices == 1:
        yield
    elif keras.backend.backend() == "jax":
        found = keras.distribution.list_devices()
        _check(len(found), devices)
        keras.distribution.set_distribution(
            keras.distribution.DataParallel(devices=found[:devices], auto_shard_dataset=False)
        )
        yield
    else:
        import tensorflow as tf

        found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        _check(len(found), devices)
        with tf.distribute.MirroredStrategy([one.name for one in found[:devices]]).scope():
            yield


def scope_of(model: keras.Model) -> contextlib.AbstractContextManager[object]:
    """Return the scope in which a network that is built already gets further variables, as TensorFlow wants it."""
    strategy = getattr(model, "distribute_strategy", None)
    scope: contextlib.AbstractContextManager[object] = (
        contextlib.nullcontext() if strategy is None else strategy.scope()
    )
    return scope


def check_batches(data: Data, given: Mapping[str, Any]) -> None:
    """Raise ``StudyFileError`` where a batch cannot be cut into equal parts, which JAX says in other words."""
    distribution = keras.distribution.distribution()
    if not isinstance(distribution, keras.distribution.DataParallel):
        return
    devices = distribution.device_mesh.devices.size
    size = given.get("batch_size") or BATCH_SIZE
    for name, batch in (("train", size), ("validation", given.get("validation_batch_size") or size)):
        part = getattr(data, name)
        if part is not None and is_arrays(part) and (batch % devices or rows_of(part) % batch % devices):
            raise StudyFileError(
                f"JAX cuts each batch into {devices} equal parts, one a device: {rows_of(part)} rows of {name} data in "
                f"batches of {batch} do not come out even. Make both multiples of {devices}"
            )


def _check(found: int, wanted: int) -> None:
    if found < wanted:
        raise StudyFileError(f"a trial is to have {wanted} devices, and this process sees {found}")
