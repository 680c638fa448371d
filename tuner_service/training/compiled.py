"""Training in compiled epochs: what ``fit`` does, with the batches of an epoch gathered inside one program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np

from tuner_service.training.batches import BATCH_SIZE, order_of, rows_of, standardized
from tuner_service.training.data import Data, Part

Logs = Mapping[str, Any]


class EpochProgram(Protocol):
    """The batches of an epoch as one program of a backend.

    Args:
        model: Its ``train_step`` or ``test_step`` is what a batch is computed with.
        part: NumPy arrays; they are copied to the device.
        batch_size: Rows of a batch; the last one has what is left.
        trains: Whether it is ``train_step``.
    """

    def __init__(self, model: keras.Model, part: Part, batch_size: int, *, trains: bool) -> None: ...

    def prepare(self) -> None:
        """Compile it; nothing is computed. Raises whatever the network's code raises."""

    def run(self, order: np.ndarray[Any, Any]) -> Logs | None:
        """Compute the batches of the rows in this order, the last one with what is left, and return what that one gave.

        It may be ``None`` where that is the metrics.
        """


class NotCompiledError(Exception):
    """The network cannot be compiled for whole epochs; nothing of it has changed.

    ``callbacks`` is what to hand to ``fit``: it does not say the beginning of the training again.
    """

    def __init__(self, message: str, callbacks: keras.callbacks.CallbackList) -> None:
        super().__init__(message)
        self.callbacks = callbacks


class _Callbacks(keras.callbacks.CallbackList):  # type: ignore[misc]  # Keras has no types
    """Callbacks that ``fit`` can take over after the beginning of the first epoch."""

    _taken_over = False

    def take_over(self) -> None:
        self._taken_over = True

    def on_train_begin(self, logs: Logs | None = None) -> None:
        if not self._taken_over:
            super().on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if not self._taken_over:
            super().on_epoch_begin(epoch, logs)
        self._taken_over = False


def fit(model: keras.Model, data: Data, given: Mapping[str, Any], *, seed: int, initial_epoch: int) -> None:
    """Train a network from ``initial_epoch`` on, as ``fit`` does with ``ShuffledBatches`` of this seed.

    Raises:
        NotCompiledError: If it cannot be compiled; ``fit`` is to take over.
    """
    size = given.get("batch_size") or BATCH_SIZE
    rows, epochs = rows_of(data.train), given["epochs"]
    programs = _programs(model, data, size, given)
    callbacks = _Callbacks(
        given["callbacks"],
        add_history=True,
        add_progbar=given["verbose"] != 0,
        verbose=given["verbose"],
        epochs=epochs,
        steps=-(-rows // size),
        model=model,
    )
    model.stop_training = False
    callbacks.on_train_begin()
    logs: dict[str, Any] = {}
    for epoch in range(initial_epoch, epochs):
        model.reset_metrics()
        callbacks.on_epoch_begin(epoch)
        if epoch == initial_epoch:
            # Not before: what a callback sets at the beginning is compiled into the program, as it is in `fit`.
            _prepare(programs, callbacks)
        order = order_of(rows, seed, epoch) if given.get("shuffle", True) else np.arange(rows)
        logs = logs_of(model, programs.train.run(order))
        if programs.validation is not None:
            callbacks.on_test_begin()
            model.reset_metrics()
            judged = logs_of(model, programs.validation.run(np.arange(rows_of(data.validation))))
            callbacks.on_test_end(judged)
            logs |= {f"val_{name}": value for name, value in judged.items()}
        callbacks.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    model.optimizer.finalize_variable_values(model.trainable_weights)
    callbacks.on_train_end(logs)


@dataclass(frozen=True)
class _Programs:
    train: EpochProgram
    validation: EpochProgram | None


def _programs(model: keras.Model, data: Data, size: int, given: Mapping[str, Any]) -> _Programs:
    program = _kind_of_program()
    train = weighted(standardized(data.train), given.get("class_weight"))
    judged = None
    if data.validation is not None:
        judged = program(model, standardized(data.validation), given.get("validation_batch_size") or size, trains=False)
    return _Programs(program(model, train, size, trains=True), judged)


def _kind_of_program() -> type[EpochProgram]:
    # Here, not above: only one of the backends is to be imported.
    if keras.backend.backend() == "jax":
        from tuner_service.training.jax_epoch import JaxEpoch

        return JaxEpoch
    from tuner_service.training.tensorflow_epoch import TensorFlowEpoch

    return TensorFlowEpoch


def _prepare(programs: _Programs, callbacks: _Callbacks) -> None:
    try:
        programs.train.prepare()
        if programs.validation is not None:
            programs.validation.prepare()
    except Exception as error:
        # Whatever it is, `fit` either does not mind or raises it where the study's author expects it.
        callbacks.take_over()
        lines = str(error).strip().splitlines() or [""]
        message = f"its epochs do not compile ({type(error).__name__}: {lines[0][:200]})"
        raise NotCompiledError(message, callbacks) from error


def weighted(part: Part, class_weight: Mapping[int, float] | None) -> Part:
    """Return ``(x, y)`` with a weight for each row, its class's; a class that is not named weighs 1.

    Source: ``class_weight_to_sample_weights`` in ``keras/src/trainers/data_adapters/data_adapter_utils.py``.
    """
    if class_weight is None:
        return part
    x, y = part
    labels = y
    if y.ndim > 1:
        labels = np.argmax(y, axis=-1) if y.shape[-1] != 1 else np.squeeze(y, axis=-1)
    classes, members = np.unique(np.round(labels).astype("int32"), return_inverse=True)
    weights = np.array([class_weight.get(int(one), 1.0) for one in classes], dtype=keras.config.floatx())
    return x, y, weights[members]


def logs_of(model: keras.Model, last: Logs | None) -> dict[str, Any]:
    """Return an epoch's logs: the metrics, or what the last batch gave where a step of its own names other things."""
    metrics = model.get_metrics_result()
    return dict(metrics if last is None or set(last) == set(metrics) else flat(last))


def flat(logs: Logs) -> Iterator[tuple[str, Any]]:
    """Yield names and values of what a step gave, those within dictionaries too.

    Source: ``_pythonify_logs`` in ``keras/src/trainers/trainer.py``.
    """
    for name, value in logs.items():
        if isinstance(value, Mapping):
            yield from flat(value)
        else:
            yield name, value
