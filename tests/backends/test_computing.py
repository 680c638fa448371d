"""Precision, steps in one call and several devices, on the backend that Keras has; one core is shown as two devices."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import optuna
import pytest

from tests.unit.training.fakes import FakePipe, make_study_file, make_task
from tuner_service.domain.engine import Computing
from tuner_service.errors import StudyFileError
from tuner_service.training import runs
from tuner_service.training.assignment import checkpoint_file
from tuner_service.training.data import Data
from tuner_service.training.epoch_watch import EpochWatch, InterruptedTrainingError
from tuner_service.training.keras_settings import KerasSettings

_dice = np.random.default_rng(0)
_X = _dice.normal(size=(44, 6)).astype("float32")
_Y = _X[:, :1] ** 2
_DATA = Data((_X, _Y), (_X[:20], _Y[:20]))


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Leave Keras as it was."""
    settings = KerasSettings()
    yield
    settings.start_anew()


@dataclass(frozen=True)
class _Trained:
    watch: EpochWatch
    model: keras.Model


def _train(
    scratch: Path, data: Data = _DATA, *, interrupt_in: int | None = None, options: Any = None, **fields: Any
) -> _Trained:
    built: list[keras.Model] = []

    def build_model(_: Any) -> keras.Model:
        keras.utils.set_random_seed(3)
        layers = [keras.layers.Dense(4, "tanh"), keras.layers.Dense(1, dtype="float32")]
        built.append(keras.Sequential([keras.Input((6,)), *layers]))
        built[0].compile("adam", "mse")
        return built[0]

    study = make_study_file(build_model=build_model, fit_options=lambda _: {"batch_size": 16, **(options or {})})
    task, pipe = make_task(checkpoint_s=1e9, max_epochs=4, **fields), FakePipe()
    watch = EpochWatch(pipe, task, scratch)

    def interrupt(op: str, *arguments: object) -> None:
        if op == "progress" and arguments[0] == interrupt_in:
            watch.interrupt()

    pipe.when_told = interrupt
    runs.train(study, optuna.trial.FixedTrial({}), data, pipe, task, watch, scratch)
    return _Trained(watch, built[0])


def test_layers_that_name_no_precision_have_the_studys(tmp_path: Path) -> None:
    """They compute in half of it and keep their weights whole; one that names its own has that."""
    trained = _train(tmp_path, computing=Computing(precision="mixed_bfloat16"))
    hidden, last = trained.model.layers
    assert (hidden.compute_dtype, hidden.kernel.dtype, last.compute_dtype) == ("bfloat16", "float32", "float32")
    assert str(trained.watch.path) == "compiled"


def test_several_batches_go_in_one_call(tmp_path: Path) -> None:
    """A callback that acts at batches acts after as many, and the network learns the same."""

    class Counts(keras.callbacks.Callback):  # type: ignore[misc]
        calls = 0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.calls += 1

    curves, calls = [], []
    for steps in (1, 3):
        counts = Counts()
        trained = _train(tmp_path, computing=Computing(steps_per_execution=steps), options={"callbacks": [counts]})
        curves.append(trained.watch.curve["val_loss"])
        calls.append(counts.calls)
    assert calls == [12, 4]
    np.testing.assert_allclose(*curves, rtol=1e-4)


@pytest.mark.soak
def test_a_trial_on_two_devices_learns_the_same(tmp_path: Path) -> None:
    """Each has half of every batch; the network is on both, is trained with ``fit``, and goes on from a checkpoint."""
    one, two = _train(tmp_path), _train(tmp_path, computing=Computing(devices=2))
    assert str(two.watch.path) == "fit: the network is distributed over several devices"
    assert _devices(two.model) == 2
    np.testing.assert_allclose(one.watch.curve["val_loss"], two.watch.curve["val_loss"], rtol=1e-4)
    with pytest.raises(InterruptedTrainingError):
        _train(tmp_path, computing=Computing(devices=2), interrupt_in=2)
    further = _train(tmp_path, computing=Computing(devices=2), checkpoints=[checkpoint_file(2)])
    np.testing.assert_allclose(further.watch.curve["val_loss"], two.watch.curve["val_loss"], rtol=1e-4)


def _devices(model: keras.Model) -> int:
    kernel = model.layers[0].kernel.value
    if keras.backend.backend() == "jax":
        return len(kernel.sharding.device_set)
    return int(model.distribute_strategy.num_replicas_in_sync)


def test_more_devices_than_there_are_is_an_error(tmp_path: Path) -> None:
    """It says how many there are."""
    with pytest.raises(StudyFileError, match="a trial is to have 3 devices, and this process sees 2"):
        _train(tmp_path, computing=Computing(devices=3))


@pytest.mark.soak
def test_batches_that_do_not_come_out_even(tmp_path: Path) -> None:
    """TensorFlow gives one device more; JAX cannot, and the error says what to change."""
    odd = Data((_X[:41], _Y[:41]), _DATA.validation)
    if keras.backend.backend() == "tensorflow":
        assert len(_train(tmp_path, odd, computing=Computing(devices=2)).watch.curve["val_loss"]) == 4
        return
    with pytest.raises(StudyFileError, match=r"41 rows of train data in batches of 16 .* multiples of 2"):
        _train(tmp_path, odd, computing=Computing(devices=2))


def test_a_dataset_is_fetched_ahead(tmp_path: Path) -> None:
    """By its own workers, while the network computes."""

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(workers=2, max_queue_size=4)
            self.threads: set[str] = set()

        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> Any:
            self.threads.add(threading.current_thread().name)
            return _X[index * 10 : (index + 1) * 10], _Y[index * 10 : (index + 1) * 10]

    batches = Batches()
    _train(tmp_path, Data(batches, _DATA.validation), options={"batch_size": None})
    # The first batch, at which Keras looks to see what it is made of, comes before them.
    assert batches.threads - {threading.main_thread().name}
