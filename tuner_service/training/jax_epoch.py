"""An epoch as one JAX program."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import jax
import keras
import numpy as np

from tuner_service.training.batches import rows_of
from tuner_service.training.data import Part

#: Floating-point operations of an epoch: below, a program is computed in less time than it takes to compile it well.
_SHORT_EPOCH = 3e8
#: Options of XLA's for a processor that compile in half the time what takes up to twice as long to compute.
_QUICKLY: dict[str, str | bool] = {
    "xla_backend_optimization_level": "1",
    "xla_cpu_parallel_codegen_split_count": "1",
    "xla_cpu_use_fusion_emitters": False,
}

#: The values of groups of variables: trainable, non-trainable, for training the optimizer's, metrics.
State = tuple[list[jax.Array], ...]


class JaxEpoch:
    """A scan of the stateless step over the batches of a part of the data, which lies on the device."""

    def __init__(self, model: keras.Model, part: Part, batch_size: int, *, trains: bool) -> None:
        self._model = model
        self.batch_size = batch_size
        self.part = keras.tree.map_structure(jax.numpy.asarray, part)
        self._trains = trains
        self._program: Any = None

    def prepare(self) -> None:
        """Give the network all its variables, and compile the epoch."""
        self.build()
        order = np.arange(rows_of(self.part), dtype="int32")
        lowered = jax.jit(self.epoch, donate_argnums=0).lower(self.values, self.part, order)
        # A loop's body is counted once.
        self._program = compiled(lowered, flops(lowered) * (order.size / self.batch_size))

    def run(self, order: np.ndarray[Any, Any]) -> Mapping[str, Any]:
        """Compute the batches of the rows in this order, and return what the last one gave."""
        last, values = self._program(self.values, self.part, order.astype("int32"))
        self.assign(values)
        logs: Mapping[str, Any] = last
        return logs

    def build(self) -> None:
        """Give the network all its variables."""
        # Its numbers are not looked at; rows of the data would be gathered by a program that has to be compiled.
        rows = len(self._some_rows)
        batch = keras.tree.map_structure(lambda array: np.zeros((rows, *array.shape[1:]), array.dtype), self.part)
        # What `fit` does first. Keras has no public name for it; without this one the network goes to `fit`.
        self._model._symbolic_build(data_batch=batch)

    @property
    def values(self) -> State:
        """The values of all variables that the step takes."""
        return tuple([variable.value for variable in group] for group in self.variables)

    def assign(self, values: State) -> None:
        """Give the variables these values."""
        for group, group_values in zip(self.variables, values, strict=True):
            for variable, value in zip(group, group_values, strict=True):
                variable.assign(value)

    @property
    def variables(self) -> tuple[list[Any], ...]:
        """The variables that the step takes, in groups."""
        model = self._model
        optimizers = (model.optimizer.variables,) if self._trains else ()
        return (model.trainable_variables, model.non_trainable_variables, *optimizers, model.metrics_variables)

    def trace(self) -> jax.stages.Traced:
        """Return the step of one batch as JAX sees it."""
        return jax.jit(self._step).trace(self.values, self.part, self._some_rows)

    @property
    def _some_rows(self) -> np.ndarray[Any, Any]:
        return np.arange(min(self.batch_size, rows_of(self.part)), dtype="int32")

    def _step(self, values: State, part: Part, rows: jax.Array) -> tuple[State, Any]:
        step = self._model.train_step if self._trains else self._model.test_step
        logs, values = step(values, self._batch(part, rows))
        return tuple(list(group) for group in values), logs

    def epoch(self, values: State, part: Part, order: jax.Array) -> tuple[Any, State]:
        """Return what the last batch gave, and the values after all batches of the rows in this order; it is pure."""

        def one_batch(values: State, rows: jax.Array) -> tuple[State, Any]:
            return self._step(values, part, rows)

        full = order.size // self.batch_size
        whole, rest = order[: full * self.batch_size], order[full * self.batch_size :]
        last: Any = None
        if full:
            values, logs = jax.lax.scan(one_batch, values, whole.reshape(full, self.batch_size))
            last = jax.tree.map(lambda series: series[-1], logs)
        if rest.size:
            values, last = one_batch(values, rest)
        return last, values

    @staticmethod
    def _batch(part: Part, rows: Any) -> Any:  # noqa: ANN401 - indices of either kind; of the part's own structure
        return keras.tree.map_structure(lambda array: array.at[rows].get(mode="promise_in_bounds"), part)


def compiled(program: jax.stages.Lowered, epoch_flops: float) -> jax.stages.Compiled:
    """Return a program for epochs of so many floating-point operations, compiled in little time where they are few."""
    if jax.default_backend() == "cpu" and 0 < epoch_flops < _SHORT_EPOCH:
        # The options are no part of JAX's interface: without them it takes longer.
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            return program.compile(compiler_options=_QUICKLY)
    return program.compile()


def flops(program: jax.stages.Lowered) -> float:
    """Return the floating-point operations of a program whose loops are run once; 0 where that is not known."""
    costs = program.cost_analysis()
    return float(costs.get("flops", 0.0)) if isinstance(costs, Mapping) else 0.0
