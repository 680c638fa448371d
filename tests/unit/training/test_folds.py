"""The rows of folds: which they are, and what data they cannot be cut from."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest
from sklearn import model_selection

from tuner_service.domain.folds import Folds
from tuner_service.errors import StudyFileError
from tuner_service.training.data import Data
from tuner_service.training.folds import all_rows, fold_data

_N = 30
_X = np.arange(_N * 2, dtype="float32").reshape(_N, 2)
_CLASSES = np.arange(_N) % 3
_GROUPS = np.arange(_N) // 4
_SHUFFLED = {"shuffle": True, "random_state": 5}


def _data(y: Any = _CLASSES, **fields: Any) -> Data:
    return Data((_X[:20], y[:20]), (_X[20:], y[20:]), test=(_X, y), **fields)


@pytest.mark.parametrize(
    ("folds", "splitter"),
    [
        pytest.param(Folds(n=3, seed=5), model_selection.KFold(3, **_SHUFFLED), id="k-fold"),
        pytest.param(Folds(n=3, shuffle=False), model_selection.KFold(3), id="in order"),
        pytest.param(
            Folds(n=3, split="stratified", seed=5), model_selection.StratifiedKFold(3, **_SHUFFLED), id="stratified"
        ),
        pytest.param(Folds(n=3, split="grouped", seed=5), model_selection.GroupKFold(3, **_SHUFFLED), id="grouped"),
        pytest.param(
            Folds(n=2, split="stratified-grouped", seed=5),
            model_selection.StratifiedGroupKFold(2, **_SHUFFLED),
            id="stratified and grouped",
        ),
        pytest.param(Folds(n=4, split="time-series"), model_selection.TimeSeriesSplit(4), id="time series"),
    ],
)
def test_folds_are_those_of_scikit_learn(folds: Folds, splitter: Any) -> None:
    """Over the rows of both parts, to the row; the test part is as it was."""
    data = _data(groups=_GROUPS)
    for fold, (train, validation) in enumerate(
        splitter.split(_X, _CLASSES, _GROUPS if "grouped" in folds.split else None)
    ):
        cut = fold_data(data, folds, fold)
        np.testing.assert_array_equal(cut.train[0], _X[train])
        np.testing.assert_array_equal(cut.train[1], _CLASSES[train])
        np.testing.assert_array_equal(cut.validation[0], _X[validation])
        np.testing.assert_array_equal(cut.test[0], _X)


@pytest.mark.parametrize(
    "targets",
    [
        pytest.param(_CLASSES[:, None], id="a column"),
        pytest.param(np.eye(3)[_CLASSES], id="one column a class"),
    ],
)
def test_classes_are_known_in_the_forms_that_keras_takes(targets: Any) -> None:
    """Each fold has as many rows of each class."""
    cut = fold_data(_data(targets), Folds(n=5, split="stratified", seed=0), 2)
    assert cut.validation[1].sum(axis=0).tolist() in ([2, 2, 2], [6])
    assert len(cut.validation[1]) == 6


def test_inputs_by_name_and_row_weights_are_cut_alike() -> None:
    """Every array of the part has the rows of the fold."""
    part = ({"a": _X[:, 0], "b": _X[:, 1]}, _CLASSES, np.arange(_N))
    cut = fold_data(Data(part), Folds(n=5, seed=1), 4)
    x, y, weights = cut.validation
    np.testing.assert_array_equal(x["a"], _X[weights, 0])
    np.testing.assert_array_equal(y, _CLASSES[weights])


@pytest.mark.parametrize("shape", [(), (1,), (2,)], ids=["a number", "in a column", "for each step"])
def test_rows_without_a_weight_weigh_1(shape: tuple[int, ...]) -> None:
    """Where only one of the two parts has weights."""
    weights = np.arange(20 * math.prod(shape), dtype="float32").reshape(20, *shape)
    data = Data((_X[:20], _CLASSES[:20], weights), (_X[20:], _CLASSES[20:]))
    whole = np.concatenate([weights, np.ones((_N - 20, *shape))])
    for part in (fold_data(data, Folds(n=5, seed=1), 4).validation, all_rows(data)):
        x, _, its_weights = part
        rows = [int(np.flatnonzero((row == _X).all(axis=1))[0]) for row in x]
        np.testing.assert_array_equal(its_weights, whole[rows])


@pytest.mark.parametrize(
    ("data", "folds", "message"),
    [
        pytest.param(
            Data(keras.utils.PyDataset(), (_X, _CLASSES)), Folds(), "load_data must return NumPy arrays", id="a dataset"
        ),
        pytest.param(_data(), Folds(split="grouped"), "give Data\\(groups=...\\)", id="no groups"),
        pytest.param(_data(), Folds(n=31, split="k-fold"), "cannot be cut into 31 k-fold folds", id="too few rows"),
        pytest.param(
            _data(_X[:, 0] + 0.5), Folds(split="stratified"), "cannot be cut into 5 stratified folds", id="no classes"
        ),
        pytest.param(
            Data(({"a": _X}, _CLASSES), (_X, _CLASSES)), Folds(), "cannot be cut into 5 k-fold", id="unlike parts"
        ),
    ],
)
def test_data_that_cannot_be_cut_is_refused(data: Data, folds: Folds, message: str) -> None:
    """The error says what to do."""
    with pytest.raises(StudyFileError, match=message):
        fold_data(data, folds, 0)


class TestGroups:
    """Rows that belong together."""

    def test_splitting_keeps_them_together_and_known(self) -> None:
        """No group is in two parts, and the labels are those of the rows of train, then of validation."""
        data = Data.split(_X, _CLASSES, groups=_GROUPS, validation=0.25, test=0.25, seed=3)
        rows = [part[0][:, 0] // 2 for part in (data.train, data.validation, data.test)]
        parts = [set(_GROUPS[one.astype(int)]) for one in rows]
        assert sum(len(one) for one in parts) == len(set(_GROUPS))
        assert all(parts)
        np.testing.assert_array_equal(data.groups, _GROUPS[np.concatenate(rows[:2]).astype(int)])

    @pytest.mark.parametrize(
        "options",
        [pytest.param({"groups": _GROUPS[:-1]}, id="too few"), pytest.param({"stratify": True}, id="classes")],
    )
    def test_a_split_that_cannot_be_is_refused(self, options: dict[str, Any]) -> None:
        """A label for each row, and no shares of classes beside."""
        with pytest.raises(ValueError, match="groups must be a label for each row, and cannot be stratified"):
            Data.split(_X, _CLASSES, **{"groups": _GROUPS, **options})

    @pytest.mark.parametrize(
        "targets",
        [
            pytest.param({"a": _CLASSES, "b": _X}, id="by name"),
            pytest.param([_CLASSES, _X], id="in a list"),
            pytest.param([float(one) for one in _CLASSES], id="a list of numbers"),
            pytest.param([[float(one)] for one in _CLASSES], id="a list of lists"),
        ],
    )
    def test_a_label_is_for_a_row_of_several_targets(self, targets: Any) -> None:
        """However they are given."""
        assert Data.check(Data((_X, targets), groups=_GROUPS)).groups is _GROUPS
        with pytest.raises(StudyFileError, match="30 rows, got 20"):
            Data.check(Data((_X, targets), groups=_GROUPS[:20]))

    def test_labels_for_other_rows_are_refused(self) -> None:
        """Where the data comes in."""
        with pytest.raises(StudyFileError, match="30 rows, got 20"):
            Data.check(_data(groups=_GROUPS[:20]))
