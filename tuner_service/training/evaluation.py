"""Measuring a saved model anew, in a fresh process: what was recorded must be what it does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tuner_service.domain.folds import Folds
from tuner_service.errors import ModelError
from tuner_service.training import study_file
from tuner_service.training.data import Data


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a model, by name."""

    part: dict[str, float]  #: on the part that was asked for
    test: dict[str, float] | None  #: on the part that tuning never saw, where there is one


def evaluate_model(
    study_path: Path, model: Path, part: str, batch_size: int | None, seed: int, folds: Folds | None, fold: int | None
) -> Evaluation:
    """Load a model and measure it. This imports the study file, which may define layers that the model has.

    Args:
        study_path: The study file, whose data it is measured on.
        model: A file that Keras saved.
        part: Name of the part to measure it on beside the test part.
        batch_size: Rows at a time.
        seed: Set before the data is loaded.
        folds: How the rows were cut for training and validation, with the seed of their shuffle.
        fold: The fold that the model was trained on; ``None`` without folds.

    Raises:
        ModelError: If the model cannot be loaded.
    """
    # Here, not above: whoever calls this in another process must not import Keras for it.
    import keras

    from tuner_service.training.folds import fold_data
    from tuner_service.training.network import evaluate

    study = study_file.load(study_path)
    assert study.load_data is not None  # noqa: S101 - a study that has models has data
    keras.utils.set_random_seed(seed)
    data = Data.check(study.load_data())
    if folds is not None and fold is not None:
        data = fold_data(data, folds, fold)
    try:
        loaded = keras.models.load_model(model)
    except (ValueError, TypeError, OSError) as error:
        raise ModelError(
            f"the model {model} cannot be loaded: {str(error).strip().splitlines()[0]} A layer, loss or metric of "
            "your own needs @keras.saving.register_keras_serializable()"
        ) from None
    measured = evaluate(loaded, getattr(data, part), batch_size)
    return Evaluation(measured, None if data.test is None else evaluate(loaded, data.test, batch_size))
