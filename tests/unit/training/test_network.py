"""Networks that are trained, in this process: how a trial goes on, and how it ends."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import optuna
import pytest

from tests.unit.training.fakes import MAX_EPOCHS, FakePipe, make_study_file, make_task
from tuner_service.errors import StudyFileError
from tuner_service.training import network, runs
from tuner_service.training.assignment import CURVE_FILE, EVALUATION_FILE, MODEL_FILE, Assignment, checkpoint_file
from tuner_service.training.checkpoint import Checkpoint, variables_of
from tuner_service.training.data import Data
from tuner_service.training.epoch_watch import DivergedError, EpochWatch, InterruptedTrainingError
from tuner_service.training.inspection import probe_trial
from tuner_service.training.keras_settings import KerasSettings
from tuner_service.training.remote_trial import RemoteTrial
from tuner_service.training.study_file import StudyFile

_ROWS, _FEATURES, _BATCH = 44, 4, 16

_dice = np.random.default_rng(0)
_X = _dice.normal(size=(_ROWS, _FEATURES)).astype("float32")
_Y = (_X[:, :1] - _X[:, 1:2] ** 2).astype("float32")
_DATA = Data((_X[:28], _Y[:28]), (_X[28:], _Y[28:]))


@dataclass(frozen=True)
class Trained:
    """A training that has come to its end, or to an interruption."""

    value: float | None
    model: keras.Model
    watch: EpochWatch
    pipe: FakePipe

    @property
    def variables(self) -> list[Any]:
        """All that training has changed."""
        return [one.numpy() for one in variables_of(self.model)]


def _train(
    study: StudyFile,
    scratch: Path,
    task: Assignment | None = None,
    *,
    data: Data = _DATA,
    seed: int = 7,
    **options: Any,
) -> Trained:
    """Train as a child does; ``interrupt_in`` is the epoch in which the supervisor asks it to end."""
    interrupt_in = options.pop("interrupt_in", None)
    task, pipe, built = task or make_task(), FakePipe(**options), []
    watch = EpochWatch(pipe, task, scratch)

    def interrupt(op: str, *arguments: object) -> None:
        if op == "progress" and arguments[0] == interrupt_in:
            watch.interrupt()

    def build_model(trial: Any) -> Any:
        assert study.build_model is not None
        built.append(study.build_model(trial))
        return built[-1]

    pipe.when_told = interrupt
    keras.utils.set_random_seed(seed)
    watched = make_study_file(build_model=build_model, fit=study.fit, fit_options=study.fit_options)
    try:
        values = runs.train(watched, optuna.trial.FixedTrial({}), data, pipe, task, watch, scratch)
    except InterruptedTrainingError:
        values = ()
    return Trained(next(iter(values), None), built[-1], watch, pipe)


def _dense(**compile_options: Any) -> keras.Model:
    model = keras.Sequential([keras.Input((_FEATURES,)), keras.layers.Dense(3, "tanh"), keras.layers.Dense(1)])
    model.compile(**{"optimizer": "sgd", "loss": "mse", **compile_options})
    return model


def _dense_study(fit_options: dict[str, Any] | None = None, **compile_options: Any) -> StudyFile:
    return make_study_file(
        build_model=lambda _: _dense(**compile_options), fit_options=lambda _: dict(fit_options or {})
    )


class TestGoingOn:
    """A training that is interrupted after its third epoch and goes on in another process from the checkpoint."""

    @staticmethod
    def layered() -> keras.Model:
        """Return a network whose layers have moving averages and random numbers, with a schedule."""
        model = keras.Sequential(
            [
                keras.Input((_FEATURES,)),
                keras.layers.Dense(4),
                keras.layers.BatchNormalization(),
                keras.layers.GaussianNoise(0.1),
                keras.layers.Dropout(0.3),
                keras.layers.Dense(1),
            ]
        )
        schedule = keras.optimizers.schedules.CosineDecay(0.05, decay_steps=10)
        model.compile(optimizer=keras.optimizers.Adam(schedule), loss="mse", metrics=["mae"])
        return model

    @staticmethod
    def two_inputs() -> keras.Model:
        """Return a functional network of two inputs."""
        a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
        both = keras.layers.Concatenate()([keras.layers.Dense(2)(a), keras.layers.Dropout(0.5)(b)])
        model = keras.Model({"a": a, "b": b}, keras.layers.Dense(1)(both))
        model.compile(optimizer=keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True), loss="mse")
        return model

    @staticmethod
    def subclassed() -> keras.Model:
        """Return a network that has no variables before it has seen data."""

        class Subclassed(keras.Model):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.inner = keras.Sequential([keras.layers.Dense(3), keras.layers.BatchNormalization()])
                self.dropout = keras.layers.Dropout(0.5)
                self.outer = keras.layers.Dense(1)

            def call(self, x: Any, training: bool = False) -> Any:
                return self.outer(self.dropout(self.inner(x), training=training))

        model = Subclassed()
        model.compile(optimizer="adamw", loss="mse", weighted_metrics=["mae"])
        return model

    @staticmethod
    def recurrent() -> keras.Model:
        """Return a recurrent network with both of its dropouts."""
        model = keras.Sequential(
            [
                keras.Input((_FEATURES,)),
                keras.layers.Reshape((2, _FEATURES // 2)),
                keras.layers.GRU(3, dropout=0.3, recurrent_dropout=0.3, unroll=True),
                keras.layers.Dense(1),
            ]
        )
        model.compile(optimizer="rmsprop", loss="mse")
        return model

    @staticmethod
    def patient() -> keras.Model:
        """Return a network that learns too fast, so that callbacks have something to do."""
        return _dense(optimizer=keras.optimizers.Adam(0.3))

    _CASES = (
        pytest.param(layered, _DATA, lambda: {"batch_size": _BATCH}, id="batch norm, noise, dropout, schedule"),
        pytest.param(
            two_inputs,
            Data(
                ({"a": _X[:28, :2], "b": _X[:28, 2:]}, _Y[:28]),
                ({"a": _X[28:, :2], "b": _X[28:, 2:]}, _Y[28:]),
            ),
            lambda: {"batch_size": _BATCH},
            id="two inputs, momentum",
        ),
        pytest.param(
            subclassed, Data((_X[:28], _Y[:28], _Y[:28, 0] ** 2), _DATA.validation), dict, id="subclassed, row weights"
        ),
        pytest.param(recurrent, _DATA, lambda: {"batch_size": _BATCH}, id="recurrent"),
        pytest.param(
            patient,
            _DATA,
            lambda: {
                "batch_size": _BATCH,
                "callbacks": [
                    keras.callbacks.ReduceLROnPlateau(monitor="loss", min_delta=10.0, factor=0.5, patience=2),
                    keras.callbacks.EarlyStopping(monitor="loss", min_delta=10.0, patience=4),
                ],
            },
            id="plateau and early stopping",
        ),
    )

    @pytest.mark.parametrize(("build", "data", "options"), _CASES)
    def test_it_ends_as_if_it_had_never_stopped(
        self, tmp_path: Path, build: Callable[[], keras.Model], data: Data, options: Callable[[], dict[str, Any]]
    ) -> None:
        """Curve, value, weights, moments and seed states are those of the training at once, to the last bit."""
        study = make_study_file(build_model=lambda _: build(), fit_options=lambda _: options())
        at_once = _train(study, tmp_path, make_task(checkpoint_s=1e9), data=data)
        begun = _train(study, tmp_path, make_task(checkpoint_s=1e9), data=data, interrupt_in=3)
        assert begun.value is None
        assert begun.pipe.of("checkpoint") == [[3, checkpoint_file(3)]]
        # Another process, whose random numbers are others: what matters comes with the checkpoint.
        ended = _train(study, tmp_path, make_task(checkpoints=[checkpoint_file(3)]), data=data, seed=8)

        assert ended.watch.curve == at_once.watch.curve
        assert ended.value == at_once.value
        assert (ended.watch.best_epoch, ended.watch.epochs) == (at_once.watch.best_epoch, at_once.watch.epochs)
        for one, other in zip(ended.variables, at_once.variables, strict=True):
            np.testing.assert_array_equal(one, other)

        assert ended.pipe.of("resumed") == [[3, 0]]
        assert [epoch for epoch, *_ in ended.pipe.of("progress")] == list(range(4, at_once.watch.epochs + 1))
        assert ended.pipe.of("report") == at_once.pipe.of("report"), "what the earlier attempt reported is not lost"

    def test_each_epoch_is_saved_where_that_is_asked_for(self, tmp_path: Path) -> None:
        """With no time from one checkpoint to the next; the last epoch is not, since nothing would go on from there."""
        trained = _train(_dense_study(), tmp_path, make_task(max_epochs=3))
        assert trained.pipe.of("checkpoint") == [[1, checkpoint_file(1)], [2, checkpoint_file(2)]]

    def test_a_training_that_is_in_its_last_epoch_is_finished(self, tmp_path: Path) -> None:
        """Told to end there, it ends by itself: what is left takes less time than to train it again."""
        stops = {"callbacks": [keras.callbacks.EarlyStopping(monitor="loss", min_delta=10.0, patience=2)]}
        for options in (stops, {"epochs": 3}):
            trained = _train(_dense_study(options), tmp_path, make_task(checkpoint_s=1e9), interrupt_in=3)
            assert (trained.value is not None, trained.watch.epochs) == (True, 3)
            assert trained.pipe.of("checkpoint") == []

    def test_a_rung_after_the_checkpoint_sees_the_curve_up_to_it_and_nothing_later(self, tmp_path: Path) -> None:
        """The epoch that was trained after the checkpoint, and is trained again, counts as it went this time."""
        task = make_task(rungs=frozenset({1, 3}))
        _train(_dense_study({"callbacks": [_Values([0.9, 0.8, 0.1, 0.5, 0.5, 0.5])]}), tmp_path, task, interrupt_in=2)
        again = make_task(rungs=frozenset({1, 3}), checkpoints=[checkpoint_file(2)])
        trained = _train(_dense_study({"callbacks": [_Values([0.9, 0.8, 0.7, 0.5, 0.5, 0.5])]}), tmp_path, again)
        assert trained.pipe.of("should_prune") == [[3, 0.7, (0.9, 0.8, 0.7)]]

    def test_a_checkpoint_that_does_not_fit_is_passed_over(self, tmp_path: Path) -> None:
        """The next one is taken, and where none is left the training begins anew."""
        _train(_dense_study(optimizer="adam"), tmp_path, interrupt_in=2)
        (tmp_path / checkpoint_file(2)).rename(tmp_path / "of_another_shape")
        _train(_dense_study(), tmp_path, interrupt_in=1)
        (tmp_path / "torn").write_bytes((tmp_path / checkpoint_file(1)).read_bytes()[:-100])
        bad = ["torn", "of_another_shape", "not_there"]
        resumed = _train(_dense_study(), tmp_path, make_task(checkpoints=[*bad, checkpoint_file(1)]))
        assert resumed.pipe.of("resumed") == [[1, 0]]
        begun = _train(_dense_study(), tmp_path, make_task(checkpoints=bad))
        assert begun.pipe.of("resumed") == []
        assert [epoch for epoch, *_ in begun.pipe.of("progress")] == list(range(1, MAX_EPOCHS + 1))


class _Values(keras.callbacks.Callback):  # type: ignore[misc]
    """Says what the metric was in each epoch, and marks the weights with the epoch."""

    def __init__(self, values: Sequence[float], metric: str = "val_loss") -> None:
        super().__init__()
        self._series, self._metric = values, metric

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Put the value in."""
        assert logs is not None
        logs[self._metric] = self._series[epoch]
        self.model.set_weights([np.full_like(one, epoch + 1) for one in self.model.get_weights()])


def _marked(model: keras.Model) -> float:
    """Return the epoch whose weights a model has."""
    return float(np.ravel(model.get_weights()[0])[0])


class TestEnding:
    """How a training ends."""

    def test_the_best_epoch_is_what_counts_and_what_is_kept(self, tmp_path: Path) -> None:
        """Its value is the objective's, its weights are in the saved model, whatever the last epoch was."""
        values = [0.9, 0.5, 0.2, 0.7, 0.2, 0.8]
        study = _dense_study({"callbacks": [_Values(values)]})
        trained = _train(study, tmp_path, keep_model=lambda _: True)
        assert (trained.value, trained.watch.best_epoch, trained.watch.last) == (0.2, 3, 0.8)
        assert trained.watch.curve["val_loss"] == values
        assert _marked(keras.models.load_model(tmp_path / MODEL_FILE)) == 3
        record = json.loads((tmp_path / EVALUATION_FILE).read_text())
        assert (record["part"], list(record["metrics"])) == ("validation", ["loss"])

    def test_early_stopping_does_not_choose_another_epoch(self, tmp_path: Path) -> None:
        """It may restore the best epoch of another metric: the model is that of the objective's all the same."""
        stop = keras.callbacks.EarlyStopping(monitor="other", mode="min", patience=1, restore_best_weights=True)
        study = _dense_study({"callbacks": [_Values([1, 2, 3], "other"), _Values([0.9, 0.5, 0.2]), stop]})
        trained = _train(study, tmp_path)
        assert (trained.watch.epochs, trained.watch.best_epoch, _marked(trained.model)) == (2, 2, 2)

    def test_a_model_that_was_beaten_is_not_kept(self, tmp_path: Path) -> None:
        """The supervisor is asked with the value, and says no."""
        trained = _train(_dense_study(), tmp_path, make_task(checkpoint_s=1e9))
        assert trained.pipe.of("keep_model") == [[(trained.value,)]]
        assert list(tmp_path.iterdir()) == []

    def test_a_trial_is_pruned_at_a_rung(self, tmp_path: Path) -> None:
        """It is judged by its best value and its curve so far, at rungs only, and stops where the answer says so."""
        pipe, task = FakePipe(should_prune=lambda epoch, *_: epoch == 3), make_task(rungs=frozenset({1, 3}))
        watch = EpochWatch(pipe, task, tmp_path)
        study = _dense_study({"callbacks": [_Values([0.2, 0.3, 0.4])]})
        with pytest.raises(optuna.TrialPruned):
            runs.train(study, optuna.trial.FixedTrial({}), _DATA, pipe, task, watch, tmp_path)
        assert pipe.of("should_prune") == [[1, 0.2, (0.2,)], [3, 0.2, (0.2, 0.3, 0.4)]]
        assert (watch.epochs, watch.last) == (3, 0.4)
        runs.save_curves(watch, tmp_path)
        assert json.loads((tmp_path / CURVE_FILE).read_text())[0]["val_loss"] == [0.2, 0.3, 0.4]

    @pytest.mark.parametrize(
        ("metric", "value"),
        [
            pytest.param("val_loss", math.nan, id="the metric is not a number"),
            pytest.param("val_loss", -math.inf, id="the metric is infinite"),
            pytest.param("loss", math.nan, id="the loss is not a number"),
        ],
    )
    def test_what_diverges_ends_at_once(self, tmp_path: Path, metric: str, value: float) -> None:
        """The epoch is named, its value is reported, and it is not the best."""
        pipe, task = FakePipe(), make_task()
        watch = EpochWatch(pipe, task, tmp_path)
        study = _dense_study({"callbacks": [_Values([0.5, value], metric)]})
        with pytest.raises(DivergedError, match=rf"{metric} became (nan|-inf) in epoch 2"):
            runs.train(study, optuna.trial.FixedTrial({}), _DATA, pipe, task, watch, tmp_path)
        assert (watch.epochs, watch.best_epoch, len(pipe.of("report"))) == (2, 1, 2)

    def test_a_metric_that_keras_does_not_report_is_an_error(self, tmp_path: Path) -> None:
        """Those that there are, are named."""
        with pytest.raises(StudyFileError, match=r"no metric 'val_accuracy', only loss, val_loss\. Add it"):
            _train(_dense_study(), tmp_path, make_task(metric="val_accuracy"))

    def test_a_metric_of_several_numbers_is_left_out(self, tmp_path: Path) -> None:
        """F1Score gives one for each class: the trial is judged by another metric all the same."""
        classes = np.eye(2, dtype="float32")[(_Y[:, 0] > 0).astype(int)]

        def build(_: Any) -> keras.Model:
            model = keras.Sequential([keras.Input((_FEATURES,)), keras.layers.Dense(2, "softmax")])
            model.compile("sgd", "categorical_crossentropy", metrics=["accuracy", keras.metrics.F1Score()])
            return model

        study = make_study_file(build_model=build, fit_options=lambda _: {"epochs": 1})
        data = Data((_X[:28], classes[:28]), (_X[28:], classes[28:]))
        trained = _train(study, tmp_path, data=data, keep_model=lambda _: True)
        assert set(trained.watch.curve) == {"loss", "accuracy", "val_loss", "val_accuracy"}
        assert set(json.loads((tmp_path / EVALUATION_FILE).read_text())["metrics"]) == {"loss", "accuracy"}
        with pytest.raises(StudyFileError, match=r"'val_f1_score' is an array of 2 numbers.*average='macro'"):
            _train(study, tmp_path, make_task(metric="val_f1_score"), data=data)
        with pytest.raises(StudyFileError, match=r"'val_f1_score' is an array of 2 numbers.*average='macro'"):
            _train(study, tmp_path, make_task(metrics=("val_loss", "val_f1_score")), data=data)

    def test_a_trial_may_train_fewer_epochs(self, tmp_path: Path) -> None:
        """The number of epochs is a hyperparameter like any other."""
        assert _train(_dense_study({"epochs": 2}), tmp_path).watch.epochs == 2

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            pytest.param([1], "must return a dictionary of arguments for fit, got list", id="not a dictionary"),
            pytest.param({"x": _X}, "must not give x: the data comes from load_data", id="data"),
            pytest.param(
                {"validation_split": 0.5, "initial_epoch": 1}, "must not give initial_epoch, validation_split", id="two"
            ),
            pytest.param({"epochs": MAX_EPOCHS + 1}, f"gave epochs={MAX_EPOCHS + 1}; it must be", id="too many epochs"),
            pytest.param({"epochs": 0}, "gave epochs=0; it must be", id="no epoch"),
            pytest.param({"epochs": 2.0}, "gave epochs=2.0; it must be", id="epochs that are no whole number"),
        ],
    )
    def test_options_that_are_not_the_studys_to_give_are_refused(self, given: Any, message: str) -> None:
        """The error says what was received, and what it may be."""
        study = make_study_file(fit_options=lambda _: given)
        with pytest.raises(StudyFileError) as error:
            network.options(study, optuna.trial.FixedTrial({}), MAX_EPOCHS)
        assert message in str(error.value)

    @pytest.mark.parametrize(
        ("made", "message"),
        [
            pytest.param("model", "must return a compiled keras.Model, got str", id="something else"),
            pytest.param(keras.Sequential([keras.layers.Dense(1)]), "is not compiled", id="not compiled"),
        ],
    )
    def test_what_is_no_network_is_refused(self, made: Any, message: str) -> None:
        """Before any training."""
        study = make_study_file(build_model=lambda _: made)
        with pytest.raises(StudyFileError, match=message):
            network.build(study, optuna.trial.FixedTrial({}))


class TestDrawing:
    """Parameters that another configuration has are drawn again, before anything is trained."""

    def test_the_network_is_built_again_as_if_it_were_the_first(self, tmp_path: Path) -> None:
        """With the new parameters, the same initial weights, and nothing of what was said of the one before."""
        units, taken = iter([3, 5, 3]), iter([False, False, True])
        pipe = FakePipe(suggest=lambda *_: next(units), drawn=lambda *_: next(taken))
        trial, task, built = RemoteTrial(pipe, 0, 0.0), make_task(), []

        def build_model(trial: Any) -> keras.Model:
            model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(trial.suggest_int("units", 1, 9))])
            model.compile("sgd", "mse")
            trial.set_user_attr(f"width of network {len(built)}", trial.params["units"])
            trial.set_constraint("width", trial.params["units"] - 4)
            built.append((model.count_params(), model.get_weights()[0], model.layers[0].name))
            return model

        study = make_study_file(build_model=build_model, fit_options=lambda trial: {"epochs": trial.params["units"]})
        model, given = network.prepare(study, trial, pipe, task, task.seed, KerasSettings())
        assert [size for size, *_ in built] == [9, 15, 9]
        assert (trial.params, given["epochs"], model.layers[0].units) == ({"units": 3}, 3, 3)
        assert (trial.user_attrs, trial.constraints) == ({"width of network 2": 3}, {"width": -1})
        assert built[2][2] == built[0][2]
        np.testing.assert_array_equal(built[2][1], built[0][1])

    @pytest.mark.parametrize("fit", [None, lambda *_: 0.5])
    def test_where_fit_may_ask_for_more_nothing_is_compared(self, fit: Any) -> None:
        """Two configurations that are alike so far may differ later."""
        pipe = FakePipe()
        study = make_study_file(build_model=lambda _: _dense(), fit=fit)
        network.prepare(study, optuna.trial.FixedTrial({}), pipe, make_task(), 7, KerasSettings())
        assert pipe.of("drawn") == [[fit is not None]]


class TestOwnFit:
    """A study that trains with a function of its own."""

    @staticmethod
    def _train(returned: Any, tmp_path: Path, **task: Any) -> float | None:
        study = make_study_file(
            build_model=lambda _: _dense(), fit=lambda _trial, model, _data, callbacks: returned(model, callbacks)
        )
        return _train(study, tmp_path, make_task(**task)).value

    @pytest.mark.parametrize(
        ("returned", "value"),
        [
            pytest.param(lambda *_: np.array([0.25]), 0.25, id="a number"),
            pytest.param(lambda *_: {"val_loss": np.float32(0.5), "more": 1}, 0.5, id="metrics"),
        ],
    )
    def test_its_number_or_its_metrics_are_the_value(self, tmp_path: Path, returned: Any, value: float) -> None:
        """As it returned them."""
        assert self._train(returned, tmp_path) == value

    @pytest.mark.parametrize("passes_callbacks", [True, False])
    def test_its_history_counts_by_its_best_epoch(self, tmp_path: Path, passes_callbacks: bool) -> None:
        """Whether or not it passed the callbacks on, and whatever the direction."""

        def fit(model: keras.Model, callbacks: list[Any]) -> Any:
            watched = callbacks if passes_callbacks else []
            values = _Values([0.5, 0.9, 0.7])
            return model.fit(
                *_DATA.train, validation_data=_DATA.validation, epochs=3, callbacks=[values, *watched], verbose=0
            )

        assert self._train(fit, tmp_path, direction="maximize") == 0.9

    @pytest.mark.parametrize(
        ("returned", "message"),
        [
            pytest.param(lambda *_: None, "fit returned nothing and reported no epoch", id="nothing"),
            pytest.param(lambda *_: "0.5", "must be a number, got '0.5', a str", id="a text"),
            pytest.param(lambda *_: {"loss": 1.0}, "no metric 'val_loss', only loss", id="other metrics"),
        ],
    )
    def test_what_is_no_value_is_refused(self, tmp_path: Path, returned: Any, message: str) -> None:
        """The error says what to return."""
        with pytest.raises(StudyFileError, match=message):
            self._train(returned, tmp_path)

    def test_a_value_that_is_not_finite_has_diverged(self, tmp_path: Path) -> None:
        """It is no value to compare others with."""
        with pytest.raises(DivergedError, match="val_loss is inf"):
            self._train(lambda *_: math.inf, tmp_path)


def test_a_checkpoint_holds_what_the_study_needs_to_see(tmp_path: Path) -> None:
    """Its curve, its best epoch and that epoch's weights."""
    _train(_dense_study({"callbacks": [_Values([0.9, 0.2, 0.5])]}), tmp_path, interrupt_in=3)
    checkpoint = Checkpoint.load(tmp_path / checkpoint_file(3))
    assert checkpoint is not None
    assert (checkpoint.epoch, checkpoint.best_epoch, checkpoint.finished) == (3, 2, [])
    assert checkpoint.curve["val_loss"] == [0.9, 0.2, 0.5]
    assert float(np.ravel(checkpoint.best_weights[0])[0]) == 2


_INITIALIZERS = (
    "uniform", "lecun_uniform", "normal", "zeros", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform",
)  # fmt: skip
_OPTIMIZERS = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD, "rmsprop": keras.optimizers.RMSprop}


def _everything(trial: Any) -> keras.Model:
    """Return a network all of whose settings are hyperparameters."""
    optimizer = trial.suggest_categorical("optimizer", list(_OPTIMIZERS))
    settings = {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)}
    if optimizer != "adam":
        settings["momentum"] = trial.suggest_float("momentum", 0.0, 0.9, step=0.1)
    layers: list[Any] = [keras.Input((_FEATURES,))]
    for number in range(trial.suggest_int("layers", 1, 3)):
        largest = trial.suggest_int(f"max_norm_{number}", 0, 4)
        layers.append(
            keras.layers.Dense(
                trial.suggest_int(f"units_{number}", 2, 8, step=2),
                activation=trial.suggest_categorical("activation", ["relu", "tanh", "sigmoid"]),
                kernel_initializer=trial.suggest_categorical("initializer", _INITIALIZERS),
                kernel_constraint=keras.constraints.MaxNorm(largest) if largest else None,
            )
        )
        layers.append(keras.layers.Dropout(trial.suggest_float("dropout", 0.0, 0.5, step=0.1)))
    model = keras.Sequential([*layers, keras.layers.Dense(1)])
    model.compile(optimizer=_OPTIMIZERS[optimizer](**settings), loss="mse")
    return model


@pytest.mark.parametrize("seed", range(3))
def test_all_that_tutorials_tune_is_a_hyperparameter(tmp_path: Path, seed: int) -> None:
    """Batch size, epochs, optimizer, learning rate, momentum, activation, weights, constraints, units and layers."""
    trial = probe_trial(seed)
    study = make_study_file(
        build_model=lambda _: _everything(trial),
        fit_options=lambda _: {
            "batch_size": trial.suggest_categorical("batch_size", [4, 16]),
            "epochs": trial.suggest_int("epochs", 1, 2),
        },
    )
    trained = _train(study, tmp_path)
    asked = {"optimizer", "learning_rate", "layers", "units_0", "max_norm_0", "activation", "initializer", "dropout"}
    assert trial.params.keys() >= asked | {"batch_size", "epochs"}
    assert trained.watch.epochs == trial.params["epochs"]
    assert trained.model.layers[0].units == trial.params["units_0"]
    assert ("momentum" in trial.params) == (trial.params["optimizer"] != "adam")


class TestSeveralObjectives:
    """Networks that are judged by more than one number."""

    both = ("val_loss", "parameters")

    def test_values_are_those_of_the_epoch_that_the_first_one_reported_chooses(self, tmp_path: Path) -> None:
        """One network of one epoch has them all, and what is measured is measured on it."""
        values = ("parameters", "val_loss", "loss", "model_bytes", "latency_s")
        pipe, task = FakePipe(keep_model=lambda _: True), make_task(metrics=values)
        watch = EpochWatch(pipe, task, tmp_path)
        study = _dense_study({"epochs": 3, "callbacks": [_Values([0.5, 0.2, 0.3])]})
        parameters, val_loss, loss, size, latency = runs.train(
            study, optuna.trial.FixedTrial({}), _DATA, pipe, task, watch, tmp_path
        )
        assert (parameters, val_loss) == (19, 0.2)
        assert loss == watch.curve["loss"][1]
        assert size == pytest.approx((tmp_path / MODEL_FILE).stat().st_size, rel=0.01)
        assert 0 < latency < 10
        assert pipe.of("keep_model") == [[(parameters, val_loss, loss, size, latency)]]
        assert [file.name for file in tmp_path.glob("*.keras")] == [MODEL_FILE], "what was measured is removed"

    def test_the_pruner_hears_the_metric_that_it_judges(self, tmp_path: Path) -> None:
        """Its best value so far, in its own direction."""
        pipe = FakePipe(should_prune=lambda epoch, *_: epoch == 2)
        task = make_task(metrics=self.both, judged="loss", judged_direction="maximize", rungs=frozenset({1, 2}))
        watch = EpochWatch(pipe, task, tmp_path)
        study = _dense_study({"callbacks": [_Values([0.5, 0.4], "loss")]})
        with pytest.raises(optuna.TrialPruned):
            runs.train(study, optuna.trial.FixedTrial({}), _DATA, pipe, task, watch, tmp_path)
        assert pipe.of("should_prune") == [[1, 0.5, (0.5,)], [2, 0.5, (0.5, 0.4)]]

    def test_a_metric_of_the_network_with_a_measured_ones_name_is_refused(self, tmp_path: Path) -> None:
        """The two would be taken for each other."""
        study = _dense_study({"callbacks": [_Values([3.0], "parameters")]})
        with pytest.raises(StudyFileError, match="reports a metric 'parameters', and the objective of that name"):
            _train(study, tmp_path, make_task(metrics=self.both))

    @pytest.mark.parametrize(
        ("returned", "values"),
        [
            pytest.param({"val_loss": 0.5, "more": 1}, (0.5, 19), id="metrics"),
            pytest.param(0.25, (0.25, 19), id="a number for the one that is not measured"),
        ],
    )
    def test_a_study_s_own_fit_returns_what_is_not_measured(
        self, tmp_path: Path, returned: Any, values: tuple[float, ...]
    ) -> None:
        """The rest is measured on the network that it trained."""
        study = make_study_file(build_model=lambda _: _dense(), fit=lambda *_: returned)
        pipe, task = FakePipe(), make_task(metrics=self.both)
        watch = EpochWatch(pipe, task, tmp_path)
        assert runs.train(study, optuna.trial.FixedTrial({}), _DATA, pipe, task, watch, tmp_path) == values

    def test_a_number_is_not_enough_for_two_that_are_not_measured(self, tmp_path: Path) -> None:
        """The one that is missing is named."""
        study = make_study_file(build_model=lambda _: _dense(), fit=lambda *_: 0.5)
        with pytest.raises(StudyFileError, match="no metric 'loss', only val_loss"):
            _train(study, tmp_path, make_task(metrics=("val_loss", "loss")))
