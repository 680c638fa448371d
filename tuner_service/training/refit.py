"""Training one configuration on all data but the test part, in a fresh process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tuner_service.domain.attempt import Param
from tuner_service.domain.engine import Computing, Engine
from tuner_service.errors import StudyFileError
from tuner_service.training import study_file
from tuner_service.training.data import Data, Part


@dataclass(frozen=True)
class Refit:
    """What a training on all data came to."""

    epochs: int
    train: dict[str, float]  #: metrics of the last epoch, on the data that it was trained on
    test: dict[str, float] | None  #: metrics on the part that nothing was tuned or trained on, where there is one
    left_out: list[str]  #: the study's callbacks that watch validation data, which there is none of


def refit_model(
    study_path: Path,
    params: Mapping[str, Param],
    epochs: int,
    max_epochs: int,
    seed: int,
    model_path: Path,
    computing: Computing,
    engine: Engine = "auto",
) -> Refit:
    """Train a configuration on train and validation data, save the model, and measure it on the test part.

    Args:
        study_path: The study file.
        params: The configuration.
        epochs: How long to train: nothing is left to stop early by.
        max_epochs: The study's, which its ``fit_options`` may refer to.
        seed: Of initial weights, shuffling and dropout.
        model_path: Where the model goes; ends in ``.keras``.
        computing: How the network is computed.
        engine: How epochs are trained.

    Raises:
        StudyFileError: If the data cannot be joined, or the study's code failed.
    """
    # Here, not above: whoever calls this in another process must not import Keras for it.
    import keras
    import optuna

    from tuner_service.training import network
    from tuner_service.training.model_file import write
    from tuner_service.training.seeding import seed_all

    study = study_file.load(study_path)
    assert study.load_data is not None  # noqa: S101 - a study that has networks has data
    data = Data.check(study.load_data())
    joined = replace(data.for_tuning(), train=_joined(data), validation=None, groups=None)
    seed_all(seed)
    trial = optuna.trial.FixedTrial(dict(params))
    model = network.build(study, trial, computing)
    stop = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: _stop(model, epoch + 1 >= epochs))
    left_out: list[str] = []
    batch_size = None
    if study.fit is not None:
        # As in tuning: what it may look at, and KerasTuner's kind is given.
        stop.set_params({"epochs": max_epochs})
        study.fit(trial, model, joined, [stop])
    else:
        given = network.options(study, trial, max_epochs)
        batch_size = given.get("validation_batch_size", given.get("batch_size"))
        callbacks = given.pop("callbacks")
        kept = [one for one in callbacks if not str(getattr(one, "monitor", "")).startswith("val_")]
        left_out = [type(one).__name__ for one in callbacks if one not in kept]
        given = {name: value for name, value in given.items() if not name.startswith("validation_")}
        network._fit(model, joined, {**given, "epochs": epochs, "callbacks": kept}, seed, 0, engine)
    trained = network.evaluate(model, joined.train, batch_size)
    test = None if data.test is None else network.evaluate(model, data.test, batch_size)
    write(model, model_path)
    return Refit(epochs, trained, test, left_out)


def _stop(model: Any, is_over: bool) -> None:  # noqa: ANN401 - a Keras model
    model.stop_training = model.stop_training or is_over


def _joined(data: Data) -> Part:
    """Return train and validation as one part."""
    from tuner_service.training.batches import is_arrays
    from tuner_service.training.folds import all_rows

    if data.validation is None:
        return data.train
    if is_arrays(data.train) and is_arrays(data.validation):
        return all_rows(data)
    if hasattr(data.train, "concatenate") and hasattr(data.validation, "concatenate"):
        return data.train.concatenate(data.validation)
    raise StudyFileError(
        "a training on all data needs train and validation as one: load_data must return NumPy arrays, or a "
        "tf.data.Dataset in both parts"
    )
