"""Which way is better: the direction of a metric, known from its name or said by the user."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Literal

from tuner_service.domain.measured import MEASURED

Direction = Literal["minimize", "maximize"]

# Names that Keras itself gives to its losses and metrics, without the prefix of the output or of the validation.
_MINIMIZED = {
    "loss", "error", "mse", "mae", "mape", "msle", "rmse", "hinge", "squared_hinge", "categorical_hinge", "logcosh",
    "log_cosh", "kl_divergence", "kld", "poisson", "crossentropy", "false_positives", "false_negatives",
}  # fmt: skip
_MAXIMIZED = {
    "accuracy", "acc", "auc", "precision", "recall", "f1", "f1_score", "fbeta_score", "iou", "mean_io_u",
    "binary_io_u", "one_hot_io_u", "r2_score", "r2", "true_positives", "true_negatives", "cosine_similarity",
    "sensitivity_at_specificity", "specificity_at_sensitivity", "precision_at_recall", "recall_at_precision",
}  # fmt: skip


def known_direction(metric: str) -> Direction | None:
    """Return the direction of a metric that Keras names, or ``None`` where the name does not tell.

    >>> known_direction("val_sparse_categorical_accuracy"), known_direction("val_loss"), known_direction("val_reward")
    ('maximize', 'minimize', None)
    """
    if metric in MEASURED:
        return "minimize"
    # Keras numbers a repeated metric: auc_1.
    words = re.sub(r"_\d+$", "", metric.lower()).split("_")
    # The last words decide: of "val_head_mean_squared_error" that is "error".
    for start in range(len(words)):
        ending = "_".join(words[start:])
        if ending in _MAXIMIZED:
            return "maximize"
        if ending in _MINIMIZED:
            return "minimize"
    return None


def is_better(value: float, than: float | None, direction: Direction) -> bool:
    """Return whether a value beats another; any number beats none, and nothing that is not a number beats anything."""
    if math.isnan(value):
        return False
    if than is None or math.isnan(than):
        return True
    return value > than if direction == "maximize" else value < than


def best_of(values: Iterable[float], direction: Direction) -> float | None:
    """Return the best of some values, leaving out those that are not numbers; ``None`` where none is left."""
    numbers = [value for value in values if not math.isnan(value)]
    if not numbers:
        return None
    return max(numbers) if direction == "maximize" else min(numbers)
