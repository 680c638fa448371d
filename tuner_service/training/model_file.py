"""A model in a ``.keras`` file: written, and loaded without running what the file holds."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner_service.domain.attempt import Param
from tuner_service.domain.engine import Computing
from tuner_service.errors import ModelError
from tuner_service.training import study_file

if TYPE_CHECKING:
    import keras

#: What Keras raises where it cannot load a file.
_CANNOT_LOAD = (ValueError, TypeError, OSError, KeyError, NotImplementedError, zipfile.BadZipFile)


class Needs(StrEnum):
    """What a file needs to be loaded."""

    KERAS = "keras"
    STUDY = "study"  # the study file's own layers, losses or metrics
    CODE = "code"  # the network that the study file builds: only the weights are taken from the file


def write(model: keras.Model, path: Path) -> None:
    """Write a model to a ``.keras`` file; of one that Keras cannot describe only the weights.

    Such as one with a layer that was given a function and has no ``get_config``.
    """
    # Here, not above: whoever loads a model in another process must not import Keras for it.
    from tuner_service.training.without_tensorflow import without_tensorflow

    try:
        with without_tensorflow():
            model.save(path)
    except (NotImplementedError, TypeError, ValueError):
        weights = path.with_suffix(".weights.h5")
        model.save_weights(weights)
        with zipfile.ZipFile(path, "w") as archive:
            # Where `load_weights` looks for them in a model that was saved whole.
            archive.write(weights, "model.weights.h5")
        weights.unlink()


def load_model(
    model: str | Path, study: str | Path | None = None, params: Mapping[str, Param] | None = None
) -> keras.Model:
    """Return a model of this service, also one with layers of the study's own or with lambdas.

    Keras' safe mode stays on: no code that the file holds is run. Where it does not suffice, the study file's code
    builds the network, and the file's weights are put into it. This imports the study file, and runs its code.

    Args:
        model: A file that ``tuner export`` or ``tuner refit`` wrote.
        study: The study file.
        params: The hyperparameters; by default those in the ``.json`` file beside the model.

    Raises:
        ModelError: If it cannot be loaded.
    """
    path = Path(model)
    if params is None:
        beside = path.with_suffix(".json")
        params = json.loads(beside.read_text(encoding="utf-8"))["params"] if beside.exists() else {}
    return load(path, None if study is None else Path(study), params or {}, Computing())[0]


def load(
    path: Path, study_path: Path | None, params: Mapping[str, Param], computing: Computing
) -> tuple[keras.Model, Needs]:
    """Return a model, and what it needed to be loaded; the study file is not imported before it is needed.

    Raises:
        ModelError: If it cannot be loaded.
    """
    # Here, not above: whoever calls this in another process must not import Keras for it.
    import keras

    try:
        return keras.models.load_model(path), Needs.KERAS
    except _CANNOT_LOAD as error:
        first = error
    if study_path is None:
        raise _error(path, first, "name the study file, whose code may be needed") from None
    study = study_file.load(study_path)
    try:
        return keras.models.load_model(path), Needs.STUDY
    except _CANNOT_LOAD:
        pass
    try:
        return _rebuilt(study, path, params, computing), Needs.CODE
    except _CANNOT_LOAD as error:
        hint = f"nor do its weights fit the network that {study_path.name} builds: {_line(error)}"
        raise _error(path, first, hint) from None


def needs_of(path: Path, study_path: Path, params: Mapping[str, Param], computing: Computing) -> Needs:
    """Return what a model needs to be loaded by a process that has not imported the study file, such as a new one.

    Raises:
        ModelError: If it cannot be loaded.
    """
    return load(path, study_path, params, computing)[1]


def _rebuilt(study: study_file.StudyFile, path: Path, params: Mapping[str, Param], computing: Computing) -> keras.Model:
    import optuna

    from tuner_service.training import network
    from tuner_service.training.data import Data

    model = network.build(study, optuna.trial.FixedTrial(dict(params)), computing)
    if not model.built:
        # A subclassed model has variables once it has seen data.
        data = Data.check(study.load_data())  # type: ignore[misc]  # a study that has networks has data
        model.evaluate(**network.arguments(data.train), steps=1, verbose=0)
    with warnings.catch_warnings():
        # The optimizer's state is not needed any more.
        warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")
        model.load_weights(path)
    return model


def _error(path: Path, error: Exception, hint: str) -> ModelError:
    return ModelError(f"the model {path} cannot be loaded: {_line(error)} ({hint})")


def _line(error: Any) -> str:  # noqa: ANN401 - any exception
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
