"""Compiled epochs and ``fit``: one meaning, for every kind of network and option, on the backend that Keras has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.backends.training import dense, sequential, train
from tests.unit.training.fakes import FakePipe, make_study_file, make_task
from tuner_service.errors import StudyFileError
from tuner_service.training import compiled
from tuner_service.training.assignment import checkpoint_file
from tuner_service.training.checkpoint import variables_of
from tuner_service.training.data import Data
from tuner_service.training.epoch_watch import EpochWatch

_ROWS, _JUDGED, _EPOCHS, _BATCH = 44, 20, 3, 16

_dice = np.random.default_rng(0)
_X = _dice.normal(size=(_ROWS + _JUDGED, 6)).astype("float32")
_Y = (_X[:, :1] - _X[:, 1:2] ** 2).astype("float32")
_LABELS = (_X[:, 0] > 0).astype("int64") + (_X[:, 1] > 1)
_ONE_HOT = np.eye(3, dtype="float32")[_LABELS]
_WORDS = _dice.integers(0, 20, size=(_ROWS + _JUDGED, 5))
_WEIGHTS = np.abs(_X[:, 2])

_backend = keras.backend.backend()


def _data(*parts: Any) -> Data:
    def rows(chosen: slice) -> Any:
        return keras.tree.map_structure(lambda array: array[chosen], parts)

    return Data(rows(slice(_ROWS)), rows(slice(_ROWS, None)))


_REGRESSION = _data(_X, _Y)


def _classifier(**options: Any) -> keras.Model:
    given = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], **options}
    return sequential(keras.layers.Dense(4, "tanh"), keras.layers.Dense(3, "softmax"), **given)


def _regularized() -> keras.Model:
    layers = keras.layers
    return sequential(
        # A bias before a batch normalisation has no gradient but rounding, of which Adam makes steps.
        layers.Dense(4, use_bias=False, kernel_regularizer="l2", activity_regularizer=keras.regularizers.L1(0.01)),
        layers.BatchNormalization(),
        layers.GaussianNoise(0.1),
        layers.Dropout(0.3),
        layers.Dense(1, kernel_constraint=keras.constraints.MaxNorm(0.5)),
    )


def _own_loss() -> keras.Model:
    return dense(loss=lambda y, predicted: keras.ops.log(keras.ops.cosh(predicted - y)), metrics=["mae", "mse"])


def _scheduled() -> keras.Model:
    schedule = keras.optimizers.schedules.ExponentialDecay(0.05, decay_steps=2, decay_rate=0.7)
    return dense(optimizer=keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, global_clipnorm=0.5))


def _averaged() -> keras.Model:
    return dense(optimizer=keras.optimizers.AdamW(0.02, use_ema=True, gradient_accumulation_steps=2))


def _measured() -> keras.Model:
    one_hot = ["accuracy", keras.metrics.AUC(name="auc"), keras.metrics.F1Score(average="macro")]
    return _classifier(loss="categorical_crossentropy", metrics=one_hot, weighted_metrics=["mae"])


def _convolution() -> keras.Model:
    layers = keras.layers
    return sequential(
        layers.Reshape((3, 2, 1)),
        layers.Conv2D(4, 2, padding="same", activation="relu"),
        layers.BatchNormalization(),
        layers.MaxPooling2D((2, 1)),
        layers.Flatten(),
        layers.Dense(1),
    )


def _recurrent() -> keras.Model:
    layers = keras.layers
    return sequential(
        layers.Reshape((3, 2)),
        layers.GRU(4, dropout=0.2, recurrent_dropout=0.2, unroll=True, return_sequences=True),
        layers.LSTM(3),
        layers.Dense(1),
    )


def _embedding() -> keras.Model:
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((5,), dtype="int32"), layers.Embedding(20, 3, mask_zero=True), layers.GlobalAveragePooling1D()]
    )
    model.add(layers.Dense(3, "softmax"))
    model.compile("rmsprop", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _named_ports() -> keras.Model:
    a, b = keras.Input((2,), name="a"), keras.Input((4,), name="b")
    both = keras.layers.Concatenate()([keras.layers.Dense(2)(a), keras.layers.Dropout(0.5)(b)])
    outputs = {
        "number": keras.layers.Dense(1, name="number")(both),
        "label": keras.layers.Dense(3, "softmax", name="label")(both),
    }
    model = keras.Model({"a": a, "b": b}, outputs)
    losses = {"number": "mse", "label": "sparse_categorical_crossentropy"}
    model.compile("adam", losses, loss_weights={"number": 0.5, "label": 2.0}, metrics={"label": ["accuracy"]})
    return model


def _listed_ports() -> keras.Model:
    a, b = keras.Input((2,)), keras.Input((4,))
    both = keras.layers.Concatenate()([a, b])
    outputs = [keras.layers.Dense(1, name="one")(both), keras.layers.Dense(3, "softmax", name="three")(both)]
    model = keras.Model([a, b], outputs)
    model.compile("adam", ["mse", "sparse_categorical_crossentropy"], metrics=[["mae"], ["accuracy"]])
    return model


class Subclassed(keras.Model):  # type: ignore[misc]
    """Has no variables before it has seen data."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = keras.Sequential([keras.layers.Dense(3), keras.layers.BatchNormalization()])
        self.dropout = keras.layers.Dropout(0.5)
        self.outer = keras.layers.Dense(1)

    def call(self, x: Any, training: bool = False) -> Any:
        """Compute, with dropout in training."""
        return self.outer(self.dropout(self.inner(x), training=training))


def _subclassed() -> keras.Model:
    model = Subclassed()
    model.compile(optimizer="adamw", loss="mse", metrics=["mae"])
    return model


class Scaled(keras.Model):  # type: ignore[misc]
    """Trains on a target of its own, by the backend's own step."""

    def train_step(self, *arguments: Any) -> Any:
        """Train on twice the target."""
        *state, (x, y) = arguments
        return super().train_step(*state, (x, y * 2.0))


def _own_step() -> keras.Model:
    inputs = keras.Input((6,))
    model = Scaled(inputs, keras.layers.Dense(1)(inputs))
    model.compile("adam", "mse", metrics=["mae"])
    return model


class Renamed(Scaled):
    """Reports other names than its metrics', of the last batch."""

    def train_step(self, *arguments: Any) -> Any:
        """Report a number, and beside others one for each row."""
        *_, (x, y) = arguments
        returned = super().train_step(*arguments)
        rows = {"rows": keras.ops.sum(keras.ops.ones_like(x), axis=0), "each": keras.ops.sum(x, axis=1)}
        own = {"last": keras.ops.mean(y), "more": rows}
        return own if _backend == "tensorflow" else (own, returned[1])


def _own_logs() -> keras.Model:
    inputs = keras.Input((6,))
    model = Renamed(inputs, keras.layers.Dense(1)(inputs))
    model.compile("adam", "mse")
    return model


def _mixed_precision() -> keras.Model:
    layers = keras.layers
    policy = keras.DTypePolicy("mixed_bfloat16")
    return sequential(layers.Dense(8, "relu", dtype=policy), layers.Dense(1, dtype="float32"))


def _stopping() -> dict[str, Any]:
    watched = {"monitor": "loss", "min_delta": 10.0}
    plateau = keras.callbacks.ReduceLROnPlateau(**watched, factor=0.5, patience=1)
    return {
        "epochs": 6,
        "callbacks": [plateau, keras.callbacks.EarlyStopping(**watched, patience=3, restore_best_weights=True)],
    }


def _scheduler() -> dict[str, Any]:
    return {"callbacks": [keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / (epoch + 1))]}


def _case(name: str, build: Callable[[], keras.Model], data: Data = _REGRESSION, options: Any = dict) -> Any:
    return pytest.param(build, data, options, id=name)


_CASES = (
    _case("regularizers, constraint, batch norm, noise, dropout", _regularized),
    _case("a loss of its own, two metrics", _own_loss),
    _case("schedule, momentum, clipping", _scheduled),
    _case("averaged weights, accumulated gradients", _averaged),
    _case("row weights", _classifier, _data(_X, _LABELS, _WEIGHTS)),
    _case("class weights, one-hot labels, many metrics", _measured, _data(_X, _ONE_HOT),
          lambda: {"class_weight": {1: 2.0}}),
    _case("convolution", _convolution),
    _case("recurrent", _recurrent),
    _case("embedding", _embedding, _data(_WORDS, _LABELS)),
    _case("inputs and outputs by name", _named_ports,
          _data({"a": _X[:, :2], "b": _X[:, 2:]}, {"number": _Y, "label": _LABELS})),
    _case("inputs and outputs in lists", _listed_ports, _data([_X[:, :2], _X[:, 2:]], [_Y, _LABELS])),
    _case("subclassed", _subclassed),
    _case("a step of its own", _own_step),
    _case("a step that reports other names", _own_logs),
    _case("mixed precision", _mixed_precision),
    _case("plateau and early stopping", dense, options=_stopping),
    _case("a callback that schedules, XLA", lambda: dense(jit_compile=True), options=_scheduler),
    _case("no validation, one batch", dense, Data(_REGRESSION.train), lambda: {"batch_size": 100}),
    _case("float64, not shuffled, whole batches", lambda: dense(steps_per_execution=3),
          _data(_X.astype("float64"), _Y.astype("float64")),
          lambda: {"shuffle": False, "batch_size": 11, "validation_batch_size": 7}),
)  # fmt: skip


class _Diary(keras.callbacks.Callback):  # type: ignore[misc]
    """Writes down what it is called with, and what it could see then."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[Any] = []

    def _write(self, what: str, *entry: Any) -> None:
        self.entries.append((what, *entry, float(self.model.optimizer.learning_rate), self.params["steps"]))

    def on_train_begin(self, logs: Any = None) -> None:
        self._write("train begins")

    def on_train_end(self, logs: Any = None) -> None:
        self._write("train ends", dict(logs))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._write("epoch begins", epoch, dict(logs or {}))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._write("epoch ends", epoch, dict(logs))

    def on_test_begin(self, logs: Any = None) -> None:
        self._write("test begins", dict(logs or {}))

    def on_test_end(self, logs: Any = None) -> None:
        self._write("test ends", dict(logs))


@dataclass(frozen=True)
class _Trained:
    value: list[float] | None
    watch: EpochWatch
    variables: list[Any]
    diary: list[Any]
    history: dict[str, list[Any]]


def _train(
    build: Callable[[], keras.Model],
    data: Data,
    options: dict[str, Any],
    engine: str,
    scratch: Path,
    *,
    interrupt_in: int | None = None,
    **task_fields: Any,
) -> _Trained:
    built: list[keras.Model] = []
    diary = _Diary()

    def build_model(_: Any) -> keras.Model:
        keras.utils.set_random_seed(3)
        built.append(build())
        return built[0]

    given = {"epochs": _EPOCHS, "batch_size": _BATCH, **options}
    given["callbacks"] = [*given.get("callbacks", []), diary]
    study = make_study_file(build_model=build_model, fit_options=lambda _: given)
    metric = "last" if build is _own_logs else "loss"
    task = make_task(engine=engine, metric=metric, checkpoint_s=1e9, **task_fields)
    watch, value = train(study, data, FakePipe(), task, scratch, interrupt_in)
    variables = [keras.ops.convert_to_numpy(one) for one in variables_of(built[0])]
    return _Trained(value, watch, variables, diary.entries, built[0].history.history)


@pytest.mark.parametrize(("build", "data", "options"), _CASES)
def test_compiled_epochs_and_fit_agree(
    tmp_path: Path, build: Callable[[], keras.Model], data: Data, options: Callable[[], dict[str, Any]]
) -> None:
    """Curve, history, what callbacks are called with, weights, moments and seed states are the same."""
    compiled, fitted = (_train(build, data, options(), engine, tmp_path) for engine in ("compiled", "fit"))
    assert (compiled.watch.path.name, fitted.watch.path.name) == ("compiled", "fit")  # type: ignore[union-attr]
    tolerance = 2e-2 if build is _mixed_precision else 1e-4
    assert [_shape(entry) for entry in compiled.diary] == [_shape(entry) for entry in fitted.diary]
    for ours, theirs in (
        (compiled.watch.curve, fitted.watch.curve),
        (compiled.history, fitted.history),
        (compiled.diary, fitted.diary),
        (compiled.variables, fitted.variables),
        (compiled.value, fitted.value),
    ):
        for one, other in zip(keras.tree.flatten(ours), keras.tree.flatten(theirs), strict=True):
            if isinstance(one, str):
                assert one == other
            else:
                np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance / 10)
    assert len(compiled.watch.curve["last" if build is _own_logs else "loss"]) == compiled.watch.epochs > 1


def _shape(entry: Any) -> Any:
    return keras.tree.map_structure(lambda leaf: leaf if isinstance(leaf, str | int) else type(leaf), entry)


class Untraceable(keras.Model):  # type: ignore[misc]
    """Trains where a step is compiled, and refuses to be part of a larger program."""

    refused = False

    def train_step(self, *arguments: Any) -> Any:
        """Raise the first time."""
        if not self.refused:
            self.refused = True
            raise NotImplementedError("not in a loop")
        return super().train_step(*arguments)


def _untraceable() -> keras.Model:
    inputs = keras.Input((6,))
    hidden = keras.layers.Dropout(0.3)(keras.layers.Dense(4)(inputs))
    model = Untraceable(inputs, keras.layers.Dense(1)(hidden))
    model.compile("adam", "mse")
    return model


def _traceable() -> keras.Model:
    model = _untraceable()
    model.refused = True
    return model


def test_what_does_not_compile_goes_to_fit(tmp_path: Path) -> None:
    """Nothing has changed by then: weights are those of ``fit`` alone, and callbacks hear of each beginning once."""
    tried = _train(_untraceable, _REGRESSION, {}, "auto", tmp_path)
    fitted = _train(_traceable, _REGRESSION, {}, "fit", tmp_path)
    assert str(tried.watch.path) == "fit: its epochs do not compile (NotImplementedError: not in a loop)"
    assert tried.diary == fitted.diary
    for one, other in zip(tried.variables, fitted.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(StudyFileError, match=r"is not possible here: its epochs do not compile .* set engine=.auto."):
        _train(_untraceable, _REGRESSION, {}, "compiled", tmp_path)


@pytest.mark.parametrize(("first", "then"), [("compiled", "fit"), ("fit", "compiled")])
def test_a_training_goes_on_along_the_other_path(tmp_path: Path, first: str, then: str) -> None:
    """A checkpoint of the one is a checkpoint of the other: order, seed states and moments go on."""
    at_once = _train(_regularized, _REGRESSION, {}, then, tmp_path)
    begun = _train(_regularized, _REGRESSION, {}, first, tmp_path, interrupt_in=2)
    ended = _train(_regularized, _REGRESSION, {}, then, tmp_path, checkpoints=[checkpoint_file(2)])
    assert (begun.value, begun.watch.epochs, ended.watch.epochs) == (None, 2, _EPOCHS)
    for one, other in zip(at_once.variables, ended.variables, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def _loss_scaled() -> keras.Model:
    return dense(optimizer=keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.02)))


@pytest.mark.parametrize("build", [_regularized, _loss_scaled], ids=["regularized", "scaled loss"])
def test_a_training_may_be_interrupted_again_and_again(tmp_path: Path, build: Callable[[], keras.Model]) -> None:
    """Each checkpoint has all that training changes, once."""
    at_once = _train(build, _REGRESSION, {}, "compiled", tmp_path)
    _train(build, _REGRESSION, {}, "compiled", tmp_path, interrupt_in=1)
    _train(build, _REGRESSION, {}, "compiled", tmp_path, checkpoints=[checkpoint_file(1)], interrupt_in=2)
    ended = _train(build, _REGRESSION, {}, "compiled", tmp_path, checkpoints=[checkpoint_file(2)])
    assert ended.watch.epochs == _EPOCHS
    for one, other in zip(at_once.variables, ended.variables, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "y",
    [
        pytest.param(np.array([0, 2, 1, 2]), id="integers"),
        pytest.param(np.array([[0.0], [2.0], [1.0], [2.0]]), id="numbers in a column"),
        pytest.param(np.eye(3)[[0, 2, 1, 2]], id="one-hot"),
    ],
)
def test_a_class_weight_is_a_row_weight(y: Any) -> None:
    """A class that has none weighs 1."""
    x, same, weights = compiled.weighted((y, y), {0: 0.5, 2: 3.0})
    assert (x is y, same is y, list(weights)) == (True, True, [0.5, 3.0, 1.0, 3.0])
    part = (y, y)
    assert compiled.weighted(part, None) is part
