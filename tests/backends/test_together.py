"""Executions and folds as one program, on JAX: what each comes to alone."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import optuna
import pytest

from tests.backends.training import dense, sequential, train
from tests.unit.training.fakes import FakePipe, make_study_file, make_task
from tuner_service.domain.folds import Folds
from tuner_service.errors import StudyFileError
from tuner_service.training import runs, together
from tuner_service.training.assignment import EVALUATION_FILE, MODEL_FILE, Assignment, checkpoint_file
from tuner_service.training.data import Data
from tuner_service.training.epoch_watch import DivergedError, EpochWatch

pytestmark = pytest.mark.skipif(keras.backend.backend() != "jax", reason="elsewhere runs follow one another")

_ROWS, _BATCH = 49, 16

_dice = np.random.default_rng(0)
_X = _dice.normal(size=(_ROWS, 6)).astype("float32")
_Y = (_X[:, :1] - _X[:, 1:2] ** 2).astype("float32")
_LABELS = (_X[:, 0] > 0).astype("int64") + (_X[:, 1] > 1)
_REGRESSION = Data((_X, _Y))
_FOLDS = Folds(n=3, seed=5)  # of 32, 33 and 33 rows to train on


def _noisy() -> keras.Model:
    layers = keras.layers
    hidden = layers.Dense(4, "relu", kernel_regularizer="l2")
    return sequential(hidden, layers.BatchNormalization(), layers.Dropout(0.3), layers.Dense(1), metrics=["mae"])


def _classifier() -> keras.Model:
    layers = keras.layers
    loss = "sparse_categorical_crossentropy"
    return sequential(layers.Dense(4, "tanh"), layers.Dense(3, "softmax"), loss=loss, metrics=["accuracy"])


def _convolution() -> keras.Model:
    layers = keras.layers
    return sequential(
        layers.Reshape((3, 2, 1)), layers.Conv2D(4, 2), layers.MaxPooling2D((2, 1)), layers.Flatten(), layers.Dense(1)
    )


def _recurrent() -> keras.Model:
    return sequential(keras.layers.Reshape((3, 2)), keras.layers.GRU(4, dropout=0.2), keras.layers.Dense(1))


class Subclassed(keras.Model):  # type: ignore[misc]
    """Has no variables before it has seen data."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = keras.layers.Dense(3, "relu")
        self.dropout = keras.layers.Dropout(0.5)
        self.outer = keras.layers.Dense(1)

    def call(self, x: Any, training: bool = False) -> Any:
        """Compute, with dropout in training."""
        return self.outer(self.dropout(self.inner(x), training=training))


def _subclassed() -> keras.Model:
    model = Subclassed()
    model.compile("adamw", "mse")
    return model


#: Of the runs of an attempt, which asks for options three times.
_PATIENCE = itertools.cycle((2, 4, 3))


def _stopping() -> dict[str, Any]:
    callbacks = keras.callbacks
    watched = {"monitor": "val_loss", "min_delta": 1e3}
    return {
        "epochs": 12,
        "callbacks": [
            callbacks.LearningRateScheduler(lambda epoch, rate: rate * (3 if epoch == 2 else 1)),
            callbacks.ReduceLROnPlateau(**watched, patience=1, factor=0.3),
            callbacks.EarlyStopping(**watched, patience=next(_PATIENCE), restore_best_weights=True),
        ],
    }


class _Attempt:
    """One attempt, its runs together or alone; the supervisor asks it to end once so many epochs are told."""

    def __init__(
        self,
        scratch: Path,
        build: Callable[[], keras.Model] = dense,
        data: Data = _REGRESSION,
        options: Callable[[], dict[str, Any]] = dict,
        *,
        interrupt_in: int | None = None,
        **fields: Any,
    ) -> None:
        scratch.mkdir(exist_ok=True)
        self.models: list[keras.Model] = []
        self.pipe = FakePipe(keep_model=lambda _: True)

        def build_model(trial: Any) -> keras.Model:
            # Of a later run the parameters are known.
            trial.suggest_int("units", 1, 9)
            self.models.append(build())
            return self.models[-1]

        study = make_study_file(build_model=build_model, fit_options=lambda _: {"batch_size": _BATCH, **options()})
        self.watch, values = train(study, data, self.pipe, _task(**fields), scratch, interrupt_in)
        (self.value,) = values or [None]

    @property
    def path(self) -> str:
        """How it was trained."""
        return str(self.watch.path)


def _task(**fields: Any) -> Assignment:
    given = {"metric": "val_loss", "max_epochs": 12, "reported": frozenset({1, 2}), "checkpoint_s": 1e9, **fields}
    return make_task(**given)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Callable[..., _Attempt]:
    """Provide an attempt whose runs follow one another."""

    def train(*arguments: Any, **fields: Any) -> _Attempt:
        with monkeypatch.context() as patch:
            patch.setattr(together, "obstacle", lambda *_: "")
            return _Attempt(*arguments, **fields)

    return train


def _assert_same(ours: _Attempt, theirs: _Attempt) -> None:
    assert len(ours.watch.finished) == len(theirs.watch.finished) > 1
    for one, other in zip(ours.watch.finished, theirs.watch.finished, strict=True):
        mine, others = dataclasses.asdict(one.record), dataclasses.asdict(other.record)
        assert mine.pop("value") == pytest.approx(others.pop("value"), rel=1e-4)
        assert mine == others
        assert one.curve.keys() == other.curve.keys()
        for name, series in one.curve.items():
            np.testing.assert_allclose(series, other.curve[name], rtol=1e-4, atol=1e-5)
    assert ours.value == pytest.approx(theirs.value, rel=1e-4)


def _assert_same_networks(ours: _Attempt, theirs: _Attempt) -> None:
    for model, other in zip(ours.models, theirs.models, strict=True):
        for mine, others in zip(_learned(model), _learned(other), strict=True):
            np.testing.assert_allclose(mine, others, rtol=1e-3, atol=1e-4)


def _learned(model: keras.Model) -> list[Any]:
    # Not the states of seeds, which go on where a model is evaluated before it is kept.
    return [one for one in (*model.variables, *model.optimizer.variables) if one.dtype != "uint32"]


_WEIGHED = Data((_X[:30], _LABELS[:30], np.abs(_X[:30, 2])), (_X[30:], _LABELS[30:], np.abs(_X[30:, 2])))


@pytest.mark.parametrize(
    ("build", "data", "options", "fields"),
    [
        pytest.param(_noisy, _REGRESSION, dict, {"folds": _FOLDS}, id="batch norm, dropout, folds of unequal size"),
        pytest.param(dense, _REGRESSION, _stopping, {"folds": _FOLDS}, id="stopped at different epochs"),
        pytest.param(_classifier, _WEIGHED, lambda: {"epochs": 3}, {"executions": 3}, id="executions, row weights"),
        pytest.param(
            _classifier,
            Data((_X[:30], _LABELS[:30]), (_X[30:], _LABELS[30:])),
            lambda: {"class_weight": {1: 3.0}, "epochs": 3, "validation_batch_size": 5},
            {"folds": Folds(n=2, seed=1, split="stratified"), "executions": 2},
            id="executions of folds, class weights",
        ),
        pytest.param(
            dense, _REGRESSION, lambda: {"epochs": 3}, {"folds": Folds(n=3, split="time-series")}, id="time series"
        ),
        pytest.param(_convolution, _REGRESSION, lambda: {"epochs": 2}, {"folds": _FOLDS}, id="convolution"),
        pytest.param(_recurrent, _REGRESSION, lambda: {"epochs": 2}, {"folds": _FOLDS}, id="recurrent"),
        pytest.param(_subclassed, _REGRESSION, lambda: {"epochs": 2}, {"folds": _FOLDS}, id="subclassed"),
        pytest.param(
            dense, _REGRESSION, lambda: {"epochs": 2, "shuffle": False}, {"executions": 2, "metric": "loss"},
            id="no validation, not shuffled",
        ),
    ],
)  # fmt: skip
def test_a_run_comes_to_what_it_comes_to_alone(
    tmp_path: Path,
    alone: Callable[..., _Attempt],
    build: Callable[[], keras.Model],
    data: Data,
    options: Callable[[], dict[str, Any]],
    fields: dict[str, Any],
) -> None:
    """Records, curves, variables, moments and the model that is kept are the same."""
    one = _Attempt(tmp_path / "together", build, data, options, **fields)
    other = alone(tmp_path / "alone", build, data, options, **fields)
    assert (one.path, other.path) == (f"compiled: runs 1 to {len(one.models)} as one program", "compiled")
    _assert_same(one, other)
    _assert_same_networks(one, other)
    if options is _stopping:
        assert [run.record.epochs for run in one.watch.finished] == [3, 5, 4]
    records = [json.loads((tmp_path / name / EVALUATION_FILE).read_text()) for name in ("together", "alone")]
    assert records[0].keys() == records[1].keys()
    assert records[0]["value"] == pytest.approx(records[1]["value"], rel=1e-4)
    assert records[0]["fold"] == records[1]["fold"]
    if build is not _subclassed:
        kept = [keras.models.load_model(tmp_path / name / MODEL_FILE).get_weights() for name in ("together", "alone")]
        for mine, others in zip(*kept, strict=True):
            np.testing.assert_allclose(mine, others, rtol=1e-3, atol=1e-4)


def test_a_metric_without_a_name_is_called_the_same_in_each_run(tmp_path: Path, alone: Callable[..., _Attempt]) -> None:
    """Together and alone."""
    given = (lambda: dense(metrics=[keras.metrics.RootMeanSquaredError()]), _REGRESSION, lambda: {"epochs": 2})
    one = _Attempt(tmp_path / "together", *given, folds=_FOLDS)
    assert one.path == "compiled: runs 1 to 3 as one program"
    _assert_same(one, alone(tmp_path / "alone", *given, folds=_FOLDS))


def test_large_networks_take_turns_within_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: Callable[..., _Attempt]
) -> None:
    """Each comes to the same, and those that have ended are passed over."""
    from tuner_service.training import jax_together

    monkeypatch.setattr(jax_together, "_SMALL_STEP", 0.0)
    one = _Attempt(tmp_path / "together", _noisy, options=_stopping, folds=_FOLDS)
    other = alone(tmp_path / "alone", _noisy, options=_stopping, folds=_FOLDS)
    assert one.path == "compiled: runs 1 to 3 as one program"
    _assert_same(one, other)
    _assert_same_networks(one, other)


def test_progress_counts_the_epochs_of_all(tmp_path: Path) -> None:
    """It is told once for all of them, and Optuna hears the first run."""
    done = _Attempt(tmp_path, options=lambda: {"epochs": 3}, folds=_FOLDS)
    assert [epochs for epochs, *_ in done.pipe.of("progress")] == [3, 6, 9]
    assert [step for step, *_ in done.pipe.of("report")] == [1, 2]
    assert done.watch.epochs_of_all == 9


def test_an_interrupted_attempt_goes_on_with_all_its_runs(tmp_path: Path, alone: Callable[..., _Attempt]) -> None:
    """Two have ended by then; values, curves and networks are those of the training at once."""
    at_once = _Attempt(tmp_path / "at_once", _noisy, options=_stopping, folds=_FOLDS)
    # In the fourth epoch of all, the third run's last; the first run had three.
    begun = _Attempt(tmp_path / "begun", _noisy, options=_stopping, folds=_FOLDS, interrupt_in=11)
    name = checkpoint_file(11)
    assert (begun.value, begun.pipe.of("checkpoint")) == (None, [[11, name]])
    assert [len(curve["loss"]) for curve in begun.watch.curves] == [3, 4, 4]
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(tmp_path / "begun" / name, tmp_path / "elsewhere")
    keras.utils.set_random_seed(99)
    ended = _Attempt(tmp_path / "elsewhere", _noisy, options=_stopping, folds=_FOLDS, checkpoints=[name])
    assert ended.pipe.of("resumed") == [[11, 0]]
    assert ended.pipe.of("report") == at_once.pipe.of("report")
    assert ended.path == at_once.path
    _assert_same(ended, at_once)
    _assert_same(ended, alone(tmp_path / "alone", _noisy, options=_stopping, folds=_FOLDS))


def test_the_first_run_is_judged_before_the_others_begin(tmp_path: Path, alone: Callable[..., _Attempt]) -> None:
    """A pruner asks after its epochs alone, and what it stops trains no other."""
    fields = {"folds": _FOLDS, "rungs": frozenset({1})}
    done = _Attempt(tmp_path / "together", _noisy, options=lambda: {"epochs": 3}, **fields)
    assert done.path == "compiled: runs 2 to 3 as one program"
    assert [epochs for epochs, *_ in done.pipe.of("progress")] == [1, 2, 3, 5, 7, 9]
    _assert_same(done, alone(tmp_path / "alone", _noisy, options=lambda: {"epochs": 3}, **fields))


_PATIENT = keras.callbacks.EarlyStopping("loss", patience=50)


@functools.cache
def _shared() -> keras.metrics.Metric:
    return keras.metrics.MeanAbsoluteError(name="mae")


def _fickle() -> keras.Model:
    """Return a network that has another constant in its graph each time."""
    offset = np.random.default_rng().normal(size=4).astype("float32")
    return sequential(keras.layers.Dense(4), keras.layers.Lambda(lambda x: x + offset), keras.layers.Dense(1))


@pytest.mark.parametrize(
    ("build", "options", "fields", "path"),
    [
        pytest.param(
            dense, dict, {"judges_runs": True},
            "compiled: runs one after the other, because the pruner may end the trial after each", id="Wilcoxon",
        ),
        pytest.param(
            dense, lambda: {"callbacks": [keras.callbacks.LambdaCallback()]}, {},
            "compiled: runs one after the other, because they have a LambdaCallback among their callbacks",
            id="a callback that may do anything",
        ),
        pytest.param(
            dense, lambda: {"callbacks": [_PATIENT]}, {},
            "compiled: runs one after the other, because fit_options gives them the same callback",
            id="one callback for all",
        ),
        pytest.param(
            _fickle, dict, {}, "compiled: runs one after the other, because build_model makes another network for each",
            id="another constant in each network",
        ),
        pytest.param(
            lambda: dense(metrics=[_shared()]), dict, {},
            "compiled: runs one after the other, because their networks share a metric or a layer",
            id="one metric object for all",
        ),
        pytest.param(
            lambda: dense(run_eagerly=True), dict, {}, "fit: the network is compiled with run_eagerly=True",
            id="not to be compiled",
        ),
        pytest.param(dense, dict, {"engine": "fit"}, "fit: the specification says so", id="not wanted"),
    ],
)  # fmt: skip
def test_where_it_would_not_mean_the_same_runs_follow_one_another(
    tmp_path: Path, build: Callable[[], keras.Model], options: Callable[[], Any], fields: dict[str, Any], path: str
) -> None:
    """The trial says why."""
    done = _Attempt(tmp_path, build, options=lambda: {"epochs": 2, **options()}, executions=3, metric="loss", **fields)
    assert done.path == path
    assert [epochs for epochs, *_ in done.pipe.of("progress")] == [1, 2, 3, 4, 5, 6]


def test_runs_that_need_too_much_memory_follow_one_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their state and what they compute must fit beside what is there."""
    monkeypatch.setattr(together, "_SHARE_OF_FREE", 1e-9)
    done = _Attempt(tmp_path, executions=2, metric="loss", options=lambda: {"epochs": 2})
    assert done.path.startswith("compiled: runs one after the other, because together they need ")


def test_a_run_that_diverges_ends_the_trial(tmp_path: Path) -> None:
    """The last of the folds meets a target that is none."""
    y = _Y.copy()
    y[: _ROWS // 2] = math.inf
    with pytest.raises(DivergedError, match=r"became (nan|inf) in epoch 1"):
        _Attempt(tmp_path, data=Data((_X, y)), folds=Folds(n=2, shuffle=False, seed=1))


def test_a_build_that_asks_for_other_parameters_is_an_error(tmp_path: Path) -> None:
    """Every run is of one configuration."""
    trial = optuna.trial.FixedTrial({"units": 3, "late": 1})
    built: list[int] = []

    def build_model(trial: optuna.trial.BaseTrial) -> keras.Model:
        trial.suggest_int("units", 1, 3)
        if built:
            trial.suggest_int("late", 1, 3)
        built.append(1)
        return dense()

    task, pipe = _task(executions=3), FakePipe()
    watch = EpochWatch(pipe, task, tmp_path)
    with pytest.raises(StudyFileError, match="run 2 of this configuration asked for late, which"):
        runs.train(
            make_study_file(build_model=build_model), trial, Data((_X, _Y), (_X, _Y)), pipe, task, watch, tmp_path
        )
