"""The direction of a metric, by its name."""

from __future__ import annotations

import math

import pytest

from tuner_service.domain.direction import Direction, best_of, is_better, known_direction


@pytest.mark.parametrize(
    "metric",
    [
        "accuracy", "val_accuracy", "acc", "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy",
        "top_k_categorical_accuracy", "sparse_top_k_categorical_accuracy", "auc", "val_auc_1", "precision",
        "precision_12", "recall", "f1_score", "fbeta_score", "mean_io_u", "binary_io_u", "one_hot_io_u",
        "one_hot_mean_io_u", "r2_score", "r2_score_1", "cosine_similarity", "true_positives", "true_negatives",
        "sensitivity_at_specificity", "specificity_at_sensitivity", "precision_at_recall", "recall_at_precision",
        "val_head_accuracy", "Accuracy",
    ],
)  # fmt: skip
def test_a_metric_of_which_more_is_better_is_maximized(metric: str) -> None:
    """Keras' names of scores are known to be maximized, with the prefixes and numbers that Keras puts on them."""
    assert known_direction(metric) == "maximize"


@pytest.mark.parametrize(
    "metric",
    [
        "loss", "val_loss", "val_head_loss", "huber_loss", "mean_squared_error", "root_mean_squared_error",
        "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_logarithmic_error", "mse", "val_mae",
        "mape", "msle", "hinge", "squared_hinge", "categorical_hinge", "logcosh", "log_cosh", "kl_divergence",
        "poisson", "binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy",
        "false_positives", "val_false_negatives_2", "accuracy_loss",
    ],
)  # fmt: skip
def test_a_metric_of_which_less_is_better_is_minimized(metric: str) -> None:
    """Keras' names of losses and errors are known to be minimized."""
    assert known_direction(metric) == "minimize"


@pytest.mark.parametrize("metric", ["reward", "val_reward", "", "score", "lossless", "accuracy_", "mean", "_1"])
def test_a_metric_whose_name_says_nothing_has_no_direction(metric: str) -> None:
    """A name that is not Keras' own is not guessed at."""
    assert known_direction(metric) is None


@pytest.mark.parametrize(
    ("value", "than", "direction", "better"),
    [
        pytest.param(2.0, 1.0, "maximize", True, id="more, where more is better"),
        pytest.param(2.0, 1.0, "minimize", False, id="more, where less is better"),
        pytest.param(1.0, 2.0, "minimize", True, id="less, where less is better"),
        pytest.param(1.0, 1.0, "maximize", False, id="an equal is not better"),
        pytest.param(-9.0, None, "maximize", True, id="anything beats nothing"),
        pytest.param(-9.0, math.nan, "maximize", True, id="anything beats NaN"),
        pytest.param(math.nan, None, "maximize", False, id="NaN does not even beat nothing"),
        pytest.param(math.nan, 1.0, "minimize", False, id="NaN beats no number"),
    ],
)
def test_better_is_better_in_the_direction(
    value: float, than: float | None, direction: Direction, better: bool
) -> None:
    """A value beats another in the study's direction, and NaN never does."""
    assert is_better(value, than, direction) is better


def test_the_best_of_values_leaves_out_what_is_not_a_number() -> None:
    """NaN is neither the largest nor the smallest; of nothing there is no best."""
    assert best_of([math.nan, 2.0, 3.0], "maximize") == 3.0
    assert best_of([math.nan, 2.0, 3.0], "minimize") == 2.0
    assert best_of([math.nan], "minimize") is None
