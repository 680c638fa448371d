"""The data of one fold: scikit-learn's splitters over the rows that tuning may see."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from tuner_service.domain.folds import Folds
from tuner_service.errors import StudyFileError
from tuner_service.training.batches import is_arrays, rows_of
from tuner_service.training.data import Data, Part


def fold_data(data: Data, folds: Folds, fold: int) -> Data:
    """Return the data with its rows for training and validation cut as this fold has them.

    Args:
        data: Its rows are those of ``train``, then those of ``validation``.
        folds: How they are cut; its seed must be given where they are shuffled.
        fold: Which of the folds to validate on, from 0.

    Raises:
        StudyFileError: If the data is not made of NumPy arrays, lacks groups, or cannot be cut so.
    """
    cut = fold_rows(data, folds, fold)
    with _cutting(folds):
        train, validation = (_take(_parts(data), chosen) for chosen in cut)
    return replace(data, train=train, validation=validation, groups=None)


def fold_rows(data: Data, folds: Folds, fold: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the rows of a fold for training and for validation, ascending, counted as ``all_rows`` has them.

    Raises:
        StudyFileError: As ``fold_data`` does.
    """
    parts = _parts(data)
    if not all(is_arrays(part) for part in parts):
        raise StudyFileError(
            "folds need data whose rows can be cut anew: load_data must return NumPy arrays, Data(train=(x, y), ...), "
            "not a dataset or generator; leave folds out to judge trials by its validation part"
        )
    groups = data.groups if folds.split in ("grouped", "stratified-grouped") else None
    if folds.split in ("grouped", "stratified-grouped") and groups is None:
        raise StudyFileError(
            f"{folds.split} folds need to know which rows belong together; give Data(groups=...), a label for each row "
            "of train and then of validation"
        )
    labels = _labels(np.concatenate([np.asarray(keras.tree.flatten(part[1])[0]) for part in parts]))
    rows = np.arange(len(labels))
    with _cutting(folds):
        train, validation = next(itertools.islice(_splitter(folds).split(rows, labels, groups), fold, None))
    return train, validation


@contextlib.contextmanager
def _cutting(folds: Folds) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise StudyFileError(f"the data cannot be cut into {folds.n} {folds.split} folds: {error}") from None


def all_rows(data: Data) -> Part:
    """Return the rows that are cut into folds as one part: those of ``train``, then those of ``validation``."""
    parts = _parts(data)
    return _take(parts, np.arange(sum(rows_of(part) for part in parts))) if len(parts) > 1 else parts[0]


def _parts(data: Data) -> list[Part]:
    """Return the parts whose rows are cut, with weights in all where one has them: rows without one weigh 1."""
    parts = [part for part in (data.train, data.validation) if part is not None]
    weights = [part[2] for part in parts if isinstance(part, tuple) and len(part) > 2]
    if not 0 < len(weights) < len(parts) or not all(is_arrays(part) for part in parts):
        return parts

    def ones(rows: int) -> Any:  # noqa: ANN401 - of the weights' own structure
        return keras.tree.map_structure(lambda one: np.ones((rows, *one.shape[1:]), one.dtype), weights[0])

    return [(*part[:2], *(part[2:] or (ones(rows_of(part)),))) for part in parts]


def _splitter(folds: Folds) -> Any:  # noqa: ANN401 - scikit-learn has no types
    # Here, not above: only studies with folds need it.
    from sklearn import model_selection

    if folds.split == "time-series":
        return model_selection.TimeSeriesSplit(folds.n)
    kinds = {"k-fold": "KFold", "stratified": "StratifiedKFold", "grouped": "GroupKFold"}
    kind = getattr(model_selection, kinds.get(folds.split, "StratifiedGroupKFold"))
    return kind(folds.n, shuffle=folds.shuffled, random_state=folds.seed if folds.shuffled else None)


def _labels(targets: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return targets as scikit-learn wants class labels: a column flat, one column a class as the class's number."""
    if targets.ndim == 2 and targets.shape[1] == 1:
        return targets[:, 0]
    if targets.ndim == 2 and np.isin(targets, (0, 1)).all() and (targets.sum(axis=1) == 1).all():
        return np.asarray(targets.argmax(axis=1))
    return targets


def _take(parts: list[Part], rows: np.ndarray[Any, Any]) -> Part:
    """Return rows of the parts behind one another, in ascending order, without copying the others."""
    if len(parts) == 1:
        return keras.tree.map_structure(lambda array: array[rows], parts[0])
    begin = rows_of(parts[0])
    near, far = rows[rows < begin], rows[rows >= begin] - begin
    return keras.tree.map_structure(lambda one, other: np.concatenate([one[near], other[far]]), *parts)
