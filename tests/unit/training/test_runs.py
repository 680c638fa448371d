"""Configurations of several runs: executions and folds, trained in this process."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import optuna
import pytest
from sklearn import model_selection

from tests.unit.training.fakes import FakePipe, make_study_file, make_task
from tuner_service.domain.folds import Folds
from tuner_service.domain.objective_value import BestEpoch, LastEpoch, MeanOfLast
from tuner_service.errors import StudyFileError
from tuner_service.training import runs
from tuner_service.training.assignment import CURVE_FILE, EVALUATION_FILE, MODEL_FILE, Assignment, checkpoint_file
from tuner_service.training.batches import ShuffledBatches
from tuner_service.training.checkpoint import Checkpoint
from tuner_service.training.data import Data
from tuner_service.training.epoch_watch import DivergedError, EpochWatch, InterruptedTrainingError
from tuner_service.training.study_file import StudyFile

_ROWS, _EPOCHS, _BATCH = 30, 2, 16

_dice = np.random.default_rng(0)
_X = _dice.normal(size=(_ROWS, 3)).astype("float32")
_Y = (_X[:, 0] > _X[:, 1] ** 2).astype("float32")
_DATA = Data((_X[:20], _Y[:20]), (_X[20:], _Y[20:]), test=(_X, _Y))
_FOLDS = Folds(n=3, seed=5)


def _network(rate: float = 0.1) -> keras.Model:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, "tanh"), keras.layers.Dropout(0.2)])
    model.add(keras.layers.Dense(1))
    # Eagerly: to trace a function takes longer than these few steps.
    model.compile(keras.optimizers.SGD(rate, momentum=0.5), "mse", run_eagerly=True)
    return model


def _study(**functions: Any) -> StudyFile:
    given = {"build_model": lambda _: _network(), "fit_options": lambda _: {"batch_size": _BATCH}}
    return make_study_file(**{**given, **functions})


class _Training:
    """One attempt; the supervisor asks it to end in the given epoch, counted over all runs."""

    def __init__(
        self,
        scratch: Path,
        task: Assignment,
        study: StudyFile | None = None,
        *,
        data: Data = _DATA,
        interrupt_in: int | None = None,
        **answers: Any,
    ) -> None:
        scratch.mkdir(exist_ok=True)
        self.pipe = FakePipe(**answers)
        self.watch = EpochWatch(self.pipe, task, scratch)
        self.value: float | None = None

        def interrupt(op: str, *arguments: object) -> None:
            if op == "progress" and arguments[0] == interrupt_in:
                self.watch.interrupt()

        self.pipe.when_told = interrupt
        trial = optuna.trial.FixedTrial({"units": 3, "late": 1})
        try:
            (self.value,) = runs.train(study or _study(), trial, data, self.pipe, task, self.watch, scratch)
        except InterruptedTrainingError:
            assert interrupt_in is not None
        finally:
            runs.save_curves(self.watch, scratch)

    @property
    def values(self) -> list[float]:
        """The values of its finished runs."""
        return [one.record.value for one in self.watch.finished]


def _task(**fields: Any) -> Assignment:
    return make_task(**{"max_epochs": _EPOCHS, "reported": frozenset({1, 2}), "checkpoint_s": 1e9, **fields})


def _by_hand(task: Assignment, folds: Folds) -> list[float]:
    """Return the best epoch's ``val_loss`` of each run, as a loop over scikit-learn's splitter has them."""
    found = []
    for run in task.runs:
        splitter = model_selection.KFold(folds.n, shuffle=True, random_state=folds.seed)
        train, validation = list(splitter.split(_X))[run.fold or 0]
        keras.utils.set_random_seed(run.seed)
        model = _network()
        batches = ShuffledBatches((_X[train], _Y[train]), _BATCH, seed=run.seed)
        history = model.fit(
            batches, validation_data=(_X[validation], _Y[validation]), validation_batch_size=_BATCH, shuffle=False,
            epochs=_EPOCHS, verbose=0,
        )  # fmt: skip
        found.append(min(history.history["val_loss"]))
    return found


def test_a_metric_without_a_name_is_called_the_same_in_each_run(tmp_path: Path) -> None:
    """Keras counts them, auc_1 for the second of a process, and the study watches one name."""

    def build_model(trial: optuna.trial.BaseTrial) -> keras.Model:
        trial.suggest_int("units", 1, 3)
        model = _network()
        model.compile("sgd", "mse", metrics=[keras.metrics.AUC()], run_eagerly=True)
        return model

    keras.utils.clear_session()
    done = _Training(tmp_path, _task(executions=3, metric="val_auc"), _study(build_model=build_model))
    assert len(done.values) == 3


def test_folds_and_executions_are_what_a_loop_over_the_splitter_gives(tmp_path: Path) -> None:
    """Every run to the last bit, and the value is their mean; each is kept with its fold, execution and seed."""
    folds = Folds(n=2, seed=5)
    task = _task(executions=2, folds=folds)
    done = _Training(tmp_path, task)
    assert done.values == _by_hand(task, folds)
    assert done.value == statistics.fmean(done.values)
    records = [one.record for one in done.watch.finished]
    assert [(one.execution, one.fold) for one in records] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert len({one.seed for one in records}) == 4
    assert records[0].seed == task.seed
    curves = json.loads((tmp_path / CURVE_FILE).read_text())
    assert [min(one["val_loss"]) for one in curves] == done.values
    assert [epoch for epoch, *_ in done.pipe.of("progress")] == list(range(1, 9)), "epochs count over all runs"


def test_a_single_run_is_what_it_was_without_any(tmp_path: Path) -> None:
    """The first of several executions has the seed, and so the value, of the only one."""
    alone = _Training(tmp_path / "alone", _task())
    several = _Training(tmp_path / "several", _task(executions=3))
    assert several.values[0] == alone.value
    assert len(set(several.values)) == 3


def test_only_the_first_run_is_judged_and_reported(tmp_path: Path) -> None:
    """Optuna is told its epochs alone, and the pruner asked at its rungs alone."""
    done = _Training(tmp_path, _task(executions=3, rungs=frozenset({1})))
    assert [step for step, _, _ in done.pipe.of("report")] == [1, 2]
    assert [epoch for epoch, *_ in done.pipe.of("should_prune")] == [1]


def test_a_trial_that_is_stopped_in_its_first_run_trains_no_other(tmp_path: Path) -> None:
    """Its value is the last one of that run."""
    watch = EpochWatch(pipe := FakePipe(should_prune=lambda *_: True), task := _task(executions=3), tmp_path)
    task = replace(task, rungs=frozenset({1}))
    watch._task = task
    with pytest.raises(optuna.TrialPruned):
        runs.train(_study(), optuna.trial.FixedTrial({}), _DATA, pipe, task, watch, tmp_path)
    assert (watch.epochs_of_all, watch.value_if_stopped) == (1, watch.last)


def test_a_trial_may_be_stopped_between_its_runs(tmp_path: Path) -> None:
    """Asked after each run with the values so far; where it stops, its value is their mean."""
    task, asked = _task(executions=4, judges_runs=True), []

    def should_stop_after(values: list[float]) -> bool:
        asked.append(list(values))
        return len(values) == 2

    watch = EpochWatch(pipe := FakePipe(should_stop_after=should_stop_after), task, tmp_path)
    with pytest.raises(optuna.TrialPruned):
        runs.train(_study(), optuna.trial.FixedTrial({}), _DATA, pipe, task, watch, tmp_path)
    values = [one.record.value for one in watch.finished]
    assert asked == [values[:1], values]
    assert watch.value_if_stopped == statistics.fmean(values)


class TestGoingOn:
    """A training on 3 folds, 2 epochs each, that is interrupted and goes on in another process."""

    _TASK = _task(folds=_FOLDS)

    @pytest.fixture(scope="class")
    @classmethod
    def at_once(cls, tmp_path_factory: pytest.TempPathFactory) -> tuple[_Training, Path]:
        """Provide the training without an interruption, and its folder."""
        folder = tmp_path_factory.mktemp("at_once")
        return _Training(folder, cls._TASK, keep_model=lambda _: True), folder

    @pytest.mark.parametrize(
        ("interrupt_in", "saved"),
        [
            pytest.param(1, checkpoint_file(1), id="in the first run"),
            pytest.param(3, checkpoint_file(1, 1), id="in the second run"),
            pytest.param(4, checkpoint_file(0, 2), id="at the end of a run"),
            pytest.param(5, checkpoint_file(1, 2), id="in the last run"),
        ],
    )
    def test_it_ends_as_if_it_had_never_stopped(
        self, tmp_path: Path, at_once: tuple[_Training, Path], interrupt_in: int, saved: str
    ) -> None:
        """Values, records, curves, reports and the model kept are those of the training at once."""
        whole, folder = at_once
        begun = _Training(tmp_path / "begun", self._TASK, interrupt_in=interrupt_in)
        assert begun.value is None
        assert begun.pipe.of("checkpoint") == [[interrupt_in, saved]]

        scratch = tmp_path / "elsewhere"
        scratch.mkdir()
        (tmp_path / "begun" / saved).rename(scratch / saved)
        keras.utils.set_random_seed(99)
        ended = _Training(scratch, replace(self._TASK, checkpoints=[saved]), keep_model=lambda _: True)

        assert ended.value == whole.value
        assert ended.watch.finished == whole.watch.finished
        assert ended.watch.curves == whole.watch.curves
        assert ended.pipe.of("report") == whole.pipe.of("report")
        ((resumed, run),) = ended.pipe.of("resumed")
        assert (resumed, run) == (interrupt_in, len(begun.watch.finished))
        evaluations = [json.loads((one / EVALUATION_FILE).read_text()) for one in (scratch, folder)]
        assert evaluations[0] == evaluations[1]

    def test_a_fit_of_its_own_goes_on_with_the_run_that_was_cut_off(self, tmp_path: Path) -> None:
        """It cannot go on in the middle of a run, but does not train finished ones again."""

        def fit(trial: Any, model: keras.Model, data: Data, callbacks: list[Any]) -> Any:
            return model.fit(
                *data.train, validation_data=data.validation, epochs=_EPOCHS, shuffle=False, callbacks=callbacks,
                verbose=0,
            )  # fmt: skip

        study = _study(fit=fit)
        at_once = _Training(tmp_path / "at_once", self._TASK, study)
        begun = _Training(tmp_path, self._TASK, study, interrupt_in=5)
        saved = checkpoint_file(0, 2)
        assert begun.pipe.of("checkpoint") == [[4, saved]]
        ended = _Training(tmp_path, replace(self._TASK, checkpoints=[saved]), study)
        assert ended.values == at_once.values
        assert [epoch for epoch, *_ in ended.pipe.of("progress")] == [5, 6]

    def test_finished_runs_are_saved_now_and_then(self, tmp_path: Path) -> None:
        """Between runs as within them."""
        done = _Training(tmp_path, replace(self._TASK, checkpoint_s=0.0))
        assert [name for _, name in done.pipe.of("checkpoint")][:4] == [
            checkpoint_file(1), checkpoint_file(0, 1), checkpoint_file(1, 1), checkpoint_file(0, 2),
        ]  # fmt: skip

    def test_a_checkpoint_of_more_runs_than_there_are_is_passed_over(self, tmp_path: Path) -> None:
        """It is of another specification."""
        finished = [{"record": {}, "curve": {}}] * 3
        Checkpoint(finished=finished).save(tmp_path / "c")
        done = _Training(tmp_path, replace(self._TASK, checkpoints=["c"]))
        assert (len(done.values), done.pipe.of("resumed")) == (3, [])


class TestKeptModel:
    """Which model a trial of several runs leaves."""

    def test_it_is_the_best_run_s_with_what_it_does_on_its_fold(self, tmp_path: Path) -> None:
        """The file has the weights of that run's best epoch, and the record says of which fold it is."""
        done = _Training(tmp_path, _task(folds=_FOLDS), keep_model=lambda _: True)
        best = done.values.index(min(done.values))
        record = json.loads((tmp_path / EVALUATION_FILE).read_text())
        assert (record["part"], record["fold"]) == ("validation", best)
        assert record["metrics"]["loss"] == pytest.approx(done.values[best], rel=1e-6)
        assert record["value"] == done.values[best]
        validation = list(model_selection.KFold(3, shuffle=True, random_state=5).split(_X))[best][1]
        model = keras.models.load_model(tmp_path / MODEL_FILE)
        assert model.evaluate(_X[validation], _Y[validation], verbose=0) == pytest.approx(done.values[best], rel=1e-6)

    def test_the_supervisor_is_asked_with_the_mean(self, tmp_path: Path) -> None:
        """And where another trial's is better, nothing is left."""
        done = _Training(tmp_path, _task(executions=2))
        assert done.pipe.of("keep_model") == [[(done.value,)]]
        assert [one.name for one in tmp_path.iterdir()] == [CURVE_FILE]


class _Values(keras.callbacks.Callback):  # type: ignore[misc]
    """Says what the metric was in each epoch, and marks the weights with the epoch."""

    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self._series = values

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Put the value in."""
        assert logs is not None
        logs["val_loss"] = self._series[epoch]
        self.model.set_weights([np.full_like(one, epoch + 1) for one in self.model.get_weights()])


@pytest.mark.parametrize(
    ("value", "expected", "epoch"),
    [
        pytest.param(BestEpoch(), 0.2, 2, id="the best epoch"),
        pytest.param(LastEpoch(), 0.6, 4, id="the last epoch"),
        pytest.param(MeanOfLast(epochs=2), 0.5, 4, id="the mean of the last two"),
        pytest.param(MeanOfLast(epochs=9), 0.4, 4, id="the mean of more than there are"),
    ],
)
def test_which_epoch_counts_is_the_study_s_choice(tmp_path: Path, value: Any, expected: float, epoch: int) -> None:
    """The value is made of those epochs, the model has the weights that belong to it, and rungs see it so far."""
    series = [0.4, 0.2, 0.4, 0.6]
    stop = keras.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)
    study = _study(fit_options=lambda _: {"callbacks": [_Values(series), stop]})
    task = _task(value=value, max_epochs=4, rungs=frozenset({3}))
    done = _Training(tmp_path, task, study, keep_model=lambda _: True)
    assert done.value == pytest.approx(expected)
    assert done.watch.best_epoch == epoch
    assert float(np.ravel(keras.models.load_model(tmp_path / MODEL_FILE).get_weights()[0])[0]) == epoch
    assert json.loads((tmp_path / EVALUATION_FILE).read_text())["value"] == series[epoch - 1]
    assert done.pipe.of("should_prune") == [[3, pytest.approx(value.of(series[:3], "minimize")), tuple(series[:3])]]


def test_options_and_their_callbacks_are_made_for_each_run(tmp_path: Path) -> None:
    """So that the patience of an early stopping is not used up by the runs before."""
    given = []

    def fit_options(_: Any) -> dict[str, Any]:
        given.append(keras.callbacks.EarlyStopping("loss", min_delta=10.0, patience=2))
        return {"callbacks": [given[-1]]}

    done = _Training(tmp_path, _task(executions=3, max_epochs=6), _study(fit_options=fit_options))
    assert len(given) == 3
    assert [one.record.epochs for one in done.watch.finished] == [3, 3, 3]


def test_a_run_that_diverges_ends_the_trial(tmp_path: Path) -> None:
    """A mean with a number that is none is none."""
    task = _task(executions=3)
    watch = EpochWatch(pipe := FakePipe(), task, tmp_path)
    series = iter([[0.5, 0.4], [0.3, math.nan], [0.1, 0.1]])
    study = _study(fit_options=lambda _: {"callbacks": [_Values(next(series))]})
    with pytest.raises(DivergedError, match="val_loss became nan in epoch 2"):
        runs.train(study, optuna.trial.FixedTrial({}), _DATA, pipe, task, watch, tmp_path)
    assert [one.record.value for one in watch.finished] == [0.4]


def test_a_build_that_asks_for_other_parameters_is_an_error(tmp_path: Path) -> None:
    """Every run is of one configuration."""
    builds = []

    def build_model(trial: optuna.trial.BaseTrial) -> keras.Model:
        trial.suggest_int("units", 1, 3)
        if builds:
            trial.suggest_int("late", 1, 3)
        builds.append(1)
        return _network()

    with pytest.raises(StudyFileError, match="run 2 of this configuration asked for late, which"):
        _Training(tmp_path, _task(executions=3), _study(build_model=build_model))
