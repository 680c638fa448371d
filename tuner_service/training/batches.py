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
        self._part = part
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = epoch
        self._rows = rows_of(part)
        self._order = self._order_of(epoch)

    def __len__(self) -> int:
        return (self._rows + self._batch_size - 1) // self._batch_size

    def __getitem__(self, index: int) -> Any:  # noqa: ANN401 - of the part's own structure
        rows = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        return keras.tree.map_structure(lambda array: array[rows], self._part)

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch."""
        self._epoch += 1
        self._order = self._order_of(self._epoch)

    def _order_of(self, epoch: int) -> np.ndarray[Any, Any]:
        return np.random.default_rng([self._seed, epoch]).permutation(self._rows)


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
