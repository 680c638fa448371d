"""Batches of arrays whose order is a function of the seed and the epoch, and of nothing else."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tuner_service.training.data import Part

#: Keras' own default.
BATCH_SIZE = 32


class ShuffledBatches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """A part of the data in batches, shuffled anew for each epoch.

    Keras shuffles arrays from a generator whose state nobody can save. Here a training that goes on at epoch ``k`` sees
    the batches that it would have seen without the interruption.

    Args:
        part: ``(x, y)`` or ``(x, y, sample_weight)``; each an array, or a list or dictionary of arrays, of n rows.
        batch_size: Rows of a batch; the last one of an epoch may have fewer.
        seed: Of the order.
        epoch: Epochs that are trained already.
    """

    def __init__(self, part: Part, batch_size: int, *, seed: int, epoch: int = 0) -> None:
        super().__init__()
        self._part = standardized(part)
        self._batch_size = batch_size
        self._seed = seed
        # `fit` ends an epoch also before it begins the first one.
        self._epoch = epoch - 1
        self._rows = rows_of(part)
        self._order = order_of(self._rows, seed, epoch)

    def __len__(self) -> int:
        return (self._rows + self._batch_size - 1) // self._batch_size

    def __getitem__(self, index: int) -> Any:  # noqa: ANN401 - of the part's own structure
        rows = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        return keras.tree.map_structure(lambda array: array[rows], self._part)

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch."""
        self._epoch += 1
        self._order = order_of(self._rows, self._seed, self._epoch)


def order_of(rows: int, seed: int, epoch: int) -> np.ndarray[Any, Any]:
    """Return the order of the rows in an epoch, counted from 0."""
    return np.random.default_rng([seed, epoch]).permutation(rows)


def standardized(part: Part) -> Part:
    """Return a part of the data as ``fit`` has arrays of it: floating-point numbers in Keras' precision."""
    precision = keras.config.floatx()
    cast = keras.tree.map_structure(
        lambda array: array.astype(precision, copy=False) if array.dtype.kind == "f" else array, part
    )
    # TensorFlow takes a list for one array.
    return tuple(tuple(one) if isinstance(one, list) else one for one in cast)


def is_arrays(part: Part) -> bool:
    """Return whether a part is made of NumPy arrays of equal length, so that its rows can be taken in any order."""
    if not isinstance(part, tuple):
        return False
    leaves = keras.tree.flatten(part)
    return (
        all(isinstance(leaf, np.ndarray) and leaf.ndim for leaf in leaves) and len({len(leaf) for leaf in leaves}) == 1
    )


def rows_of(part: Part) -> int:
    """Return how many rows a part made of arrays has."""
    return len(keras.tree.flatten(part)[0])
