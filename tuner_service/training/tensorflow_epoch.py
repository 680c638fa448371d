"""An epoch as one TensorFlow program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tuner_service.training.batches import rows_of
from tuner_service.training.compiled import flat
from tuner_service.training.data import Part


class TensorFlowEpoch:
    """A loop over the batches of a part of the data, which lies on the device, in one ``tf.function``."""

    def __init__(self, model: keras.Model, part: Part, batch_size: int, *, trains: bool) -> None:
        self._model = model
        self._rows = rows_of(part)
        self._batch_size = batch_size
        self._trains = trains
        self._part = keras.tree.map_structure(tf.convert_to_tensor, part)
        self._last: dict[str, tf.Variable] = {}

        def step(batch: Any) -> Mapping[str, Any]:  # noqa: ANN401 - of the part's own structure
            logs: Mapping[str, Any] = model.distribute_strategy.run(
                model.train_step if trains else model.test_step, args=(batch,)
            )
            return logs

        # As `fit` compiles it: one function of XLA's a batch where that is on.
        self._step = tf.function(step, jit_compile=True, autograph=False) if model.jit_compile else step
        self._program: Any = None

    def prepare(self) -> None:
        """Trace it."""
        model = self._model
        is_keras_step = type(model).train_step is keras.Model.train_step
        if self._trains and model.built and is_keras_step and not model.optimizer.built:
            # What the step would do while it is traced, in more time than the rest of it takes.
            model.optimizer.build(model.trainable_variables)
        traced = tf.function(self._epoch, autograph=False)
        self._program = traced.get_concrete_function(tf.TensorSpec((self._rows,), tf.int32))

    def run(self, order: np.ndarray[Any, Any]) -> Mapping[str, Any] | None:
        """Compute the batches of the rows in this order, and return what the last one gave, where not the metrics."""
        self._program(tf.constant(order, tf.int32))
        return {name: variable.numpy() for name, variable in self._last.items()} or None

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def _epoch(self, order: tf.Tensor) -> None:
        def one_batch(start: tf.Tensor) -> tf.Tensor:
            end = tf.minimum(start + self._batch_size, self._rows)
            rows = order[start:end]
            self._keep(self._step(keras.tree.map_structure(lambda array: tf.gather(array, rows), self._part)))
            return start + self._batch_size

        tf.while_loop(lambda start: start < self._rows, one_batch, (tf.constant(0),))

    def _keep(self, logs: Mapping[str, Any]) -> None:
        """Keep what a step gave where that is not the metrics, which know it themselves."""
        if set(logs) == set(self._model.get_metrics_result()):
            return
        for name, given in flat(logs):
            value = tf.convert_to_tensor(given)
            if name not in self._last:
                with tf.init_scope():
                    # The last batch may have fewer rows than the others.
                    nothing = tf.zeros([size or 0 for size in value.shape], value.dtype)
                    self._last[name] = tf.Variable(nothing, shape=value.shape, trainable=False)
            self._last[name].assign(value)
