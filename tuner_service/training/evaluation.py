"""Measuring a saved model anew, in a fresh process: what was recorded must be what it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tuner_service.domain.attempt import Param
from tuner_service.domain.engine import Computing
from tuner_service.domain.folds import Folds
from tuner_service.errors import ModelError
from tuner_service.training import model_file, study_file
from tuner_service.training.data import Data
from tuner_service.training.model_file import Needs


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a model, by name."""

    part: dict[str, float]  #: on the part that was asked for
    test: dict[str, float] | None  #: on the part that tuning never saw, if it was asked for
    needs: Needs  #: to be loaded


def evaluate_model(
    study_path: Path,
    model: Path,
    params: Mapping[str, Param],
    computing: Computing,
    part: str,
    batch_size: int | None,
    seed: int,
    folds: Folds | None,
    fold: int | None,
    looks_at_test: bool,
) -> Evaluation:
    """Load a model and measure it. This imports the study file.

    Args:
        study_path: The study file, whose data it is measured on.
        model: A file that Keras saved.
        params: The hyperparameters, with which the study file builds the network where that is needed.
        computing: How it computes that network.
        part: Name of the part to measure it on.
        batch_size: Rows at a time.
        seed: Set before the data is loaded.
        folds: How the rows were cut for training and validation, with the seed of their shuffle.
        fold: The fold that the model was trained on; ``None`` without folds.
        looks_at_test: Measure it on the test part too.

    Raises:
        ModelError: If the model cannot be loaded, or there is no test part.
    """
    # Here, not above: whoever calls this in another process must not import Keras for it.
    from tuner_service.training.folds import fold_data
    from tuner_service.training.network import evaluate
    from tuner_service.training.seeding import seed_all

    loaded, needs = model_file.load(model, study_path, params, computing)
    study = study_file.load(study_path)
    assert study.load_data is not None  # noqa: S101 - a study that has models has data
    seed_all(seed)
    data = Data.check(study.load_data())
    if looks_at_test and data.test is None:
        raise ModelError(
            f"load_data of {study_path.name} returns no test part to look at; keep one back, as "
            "Data.split(x, y, test=0.2) does"
        )
    if folds is not None and fold is not None:
        data = fold_data(data, folds, fold)
    measured = evaluate(loaded, getattr(data, part), batch_size)
    return Evaluation(measured, evaluate(loaded, data.test, batch_size) if looks_at_test else None, needs)
