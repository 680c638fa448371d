"""An epoch as one JAX program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import keras
import numpy as np

from tuner_service.training.batches import rows_of
from tuner_service.training.data import Part

#: The values of groups of variables: trainable, non-trainable, for training the optimizer's, metrics.
_State = tuple[list[jax.Array], ...]


class JaxEpoch:
    """A scan of the stateless step over the batches of a part of the data, which lies on the device."""

    def __init__(self, model: keras.Model, part: Part, batch_size: int, *, trains: bool) -> None:
        self._model = model
        self._rows = rows_of(part)
        self._batch_size = batch_size
        self._part = keras.tree.map_structure(jax.numpy.asarray, part)
        self._trains = trains
        self._program: Any = None

    def prepare(self) -> None:
        """Give the network all its variables, and compile the epoch."""
        # What `fit` does first. Keras has no public name for it; without this one the network goes to `fit`.
        self._model._symbolic_build(data_batch=self._batch(self._part, np.arange(min(self._batch_size, self._rows))))
        order = np.arange(self._rows, dtype="int32")
        values = tuple([variable.value for variable in group] for group in self._variables())
        self._program = jax.jit(self._epoch, donate_argnums=0).lower(values, self._part, order).compile()

    def run(self, order: np.ndarray[Any, Any]) -> Mapping[str, Any]:
        """Compute the batches of the rows in this order, and return what the last one gave."""
        groups = self._variables()
        values = tuple([variable.value for variable in group] for group in groups)
        last, values = self._program(values, self._part, order.astype("int32"))
        for group, group_values in zip(groups, values, strict=True):
            for variable, value in zip(group, group_values, strict=True):
                variable.assign(value)
        logs: Mapping[str, Any] = last
        return logs

    def _variables(self) -> tuple[list[Any], ...]:
        model = self._model
        optimizers = (model.optimizer.variables,) if self._trains else ()
        return (model.trainable_variables, model.non_trainable_variables, *optimizers, model.metrics_variables)

    def _epoch(self, values: _State, part: Part, order: jax.Array) -> tuple[Any, _State]:
        def one_batch(values: _State, rows: jax.Array) -> tuple[_State, Any]:
            step = self._model.train_step if self._trains else self._model.test_step
            logs, values = step(values, self._batch(part, rows))
            return tuple(list(group) for group in values), logs

        full = self._rows // self._batch_size
        whole, rest = order[: full * self._batch_size], order[full * self._batch_size :]
        last: Any = None
        if full:
            values, logs = jax.lax.scan(one_batch, values, whole.reshape(full, self._batch_size))
            last = jax.tree.map(lambda series: series[-1], logs)
        if rest.size:
            values, last = one_batch(values, rest)
        return last, values

    @staticmethod
    def _batch(part: Part, rows: Any) -> Any:  # noqa: ANN401 - indices of either kind; of the part's own structure
        return keras.tree.map_structure(lambda array: array.at[rows].get(mode="promise_in_bounds"), part)
