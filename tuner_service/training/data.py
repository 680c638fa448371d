"""The data of a study: a part to train on, a part to judge by, and a part that tuning never sees."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from tuner_service.errors import StudyFileError

#: Inputs and targets, ``(x, y)`` or ``(x, y, sample_weight)`` with NumPy arrays of equal length (x may be a list or
#: dictionary of them), or a ``tf.data.Dataset`` or ``keras.utils.PyDataset`` that yields such batches.
Part = Any


@dataclass(frozen=True)
class Data:
    """What ``load_data`` returns.

    NumPy data is loaded once a worker and shared by its trials. A ``tf.data.Dataset`` or ``PyDataset`` is made anew in
    each trial's process.
    """

    train: Part  #: what the network is fitted to
    validation: Part = None  #: what trials are judged by
    test: Part = None  #: what only the finished model is evaluated on; trials are given ``None`` in its place
    #: for grouped folds: which rows belong together, a label for each row of ``train``, then of ``validation``
    groups: Any = None

    @classmethod
    def split(
        cls,
        x: Any,  # noqa: ANN401 - whatever numpy takes as an array
        y: Any,  # noqa: ANN401
        *,
        validation: float = 0.2,
        test: float = 0.2,
        seed: int = 0,
        stratify: bool = False,
        groups: Any = None,  # noqa: ANN401
    ) -> Self:
        """Return arrays shuffled and cut into three parts.

        Args:
            x: Inputs, shape (n, ...).
            y: Targets, shape (n,) or (n, ...).
            validation: Share of all rows to judge trials by, in (0, 1).
            test: Share of all rows that tuning never sees, in [0, 1).
            seed: Of the shuffle; the same seed gives the same parts.
            stratify: Keep the classes' shares equal in all parts; ``y`` must be class labels.
            groups: A label for each row; the rows of a group stay together, and the shares are those of the groups.

        Raises:
            ValueError: If the lengths differ, the shares leave nothing to train on, or groups are to be stratified.
        """
        from sklearn.model_selection import GroupShuffleSplit, train_test_split

        x, y, groups = np.asarray(x), np.asarray(y), None if groups is None else np.asarray(groups)
        if groups is not None and (stratify or len(groups) != len(x)):
            raise ValueError(
                "groups must be a label for each row, and cannot be stratified: "
                f"got {len(groups)} for {len(x)} rows, stratify={stratify}"
            )
        if len(x) != len(y):
            raise ValueError(f"x and y must have as many rows as each other, got {len(x)} and {len(y)}")
        if not 0 < validation < 1 or not 0 <= test < 1 or validation + test >= 1:
            raise ValueError(
                f"validation and test are shares of all rows and must leave some to train on, got {validation}, {test}"
            )

        def cut(rows: np.ndarray[Any, Any], share: float) -> Any:  # noqa: ANN401 - two arrays of rows
            if groups is None:
                return train_test_split(
                    rows, test_size=share, random_state=seed, stratify=y[rows] if stratify else None
                )
            splitter = GroupShuffleSplit(1, test_size=share, random_state=seed)
            return [rows[part] for part in next(splitter.split(rows, groups=groups[rows]))]

        rows = np.arange(len(x))
        held_out = None
        if test:
            rows, held_out = cut(rows, test)
        train, judged = cut(rows, validation / (1 - test))
        return cls(
            train=(x[train], y[train]),
            validation=(x[judged], y[judged]),
            test=None if held_out is None else (x[held_out], y[held_out]),
            groups=None if groups is None else groups[np.concatenate([train, judged])],
        )

    @classmethod
    def check(cls, loaded: object) -> Data:
        """Return what a study's ``load_data`` returned as ``Data``; two or three parts in a tuple will do.

        Raises:
            StudyFileError: If it is something else, or arrays of a part differ in length.
        """
        match loaded:
            case Data():
                data = loaded
            case (train, validation):
                data = cls(train, validation)
            case (train, validation, test):
                data = cls(train, validation, test)
            case _:
                raise StudyFileError(
                    "load_data must return Data(train=(x, y), validation=(x, y)), such as Data.split(x, y), "
                    f"got {type(loaded).__name__}"
                )
        for name in ("train", "validation", "test"):
            _check_lengths(name, getattr(data, name))
        if data.groups is not None:
            parts = [part for part in (data.train, data.validation) if isinstance(part, tuple)]
            rows = sum(_rows(part[1]) for part in parts)
            if len(data.groups) != rows:
                raise StudyFileError(
                    "Data(groups=...) must be a label for each row of train, then of validation: "
                    f"{rows} rows, got {len(data.groups)}"
                )
        return data

    def for_tuning(self) -> Data:
        """Return the data without its test part."""
        return replace(self, test=None)


def _rows(targets: Any) -> int:  # noqa: ANN401 - an array, or a list or dictionary of them
    if isinstance(targets, dict | list | tuple):
        for one in targets.values() if isinstance(targets, dict) else targets:
            # A list of numbers, or of lists of them, is one of rows.
            return _rows(one) if isinstance(one, dict) or hasattr(one, "shape") else len(targets)
    return len(targets)


def _check_lengths(name: str, part: Part) -> None:
    if not isinstance(part, tuple):
        return
    if len(part) not in (2, 3):
        raise StudyFileError(f"the {name} data must be (x, y) or (x, y, sample_weight), got {len(part)} items")
    lengths = [len(array) for array in part if isinstance(array, Sized) and not isinstance(array, dict | list | tuple)]
    if len(set(lengths)) > 1:
        raise StudyFileError(f"the {name} data's arrays must have as many rows as each other, got {lengths}")
