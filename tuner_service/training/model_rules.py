"""What can be said against the networks of a study, built but not trained."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tuner_service.domain.finding import Finding, Level
from tuner_service.errors import did_you_mean
from tuner_service.training.data import Data
from tuner_service.training.data_rules import arrays
from tuner_service.training.seeding import seed_all


def unknown_arguments(model: keras.Model, options: Mapping[str, Any]) -> list[str]:
    """Return a message for each option that the model's ``fit`` does not take."""
    parameters = inspect.signature(model.fit).parameters
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
        return []
    takes = f" It takes {', '.join(parameters)}"
    return [
        f"fit_options gives {name}={options[name]!r}, which fit does not know.{did_you_mean(name, parameters) or takes}"
        for name in options
        if name not in parameters
    ]


def of_labels(model: keras.Model, data: Data, line: int | None) -> list[Finding]:
    """Return what is wrong with the labels of a network that ends in one sparse cross-entropy."""
    loss = model.loss
    name = loss if isinstance(loss, str) else getattr(loss, "name", getattr(loss, "__name__", ""))
    shape = getattr(model, "output_shape", None)
    if name != "sparse_categorical_crossentropy" or not isinstance(shape, tuple) or not isinstance(shape[-1], int):
        return []
    classes, ignored = shape[-1], getattr(loss, "ignore_class", None)
    wrong: dict[str, list[str]] = {}
    for part in ("train", "validation", "test"):
        labels = arrays(getattr(data, part)).get("y")
        if labels is None or labels.dtype.kind not in "iufb":
            continue
        outside = (labels < 0) | (labels >= classes) | (labels != np.floor(labels))
        if ignored is not None:
            outside &= labels != ignored
        for label in np.unique(labels[outside])[:5].tolist():
            wrong.setdefault(f"{label:g}", []).append(part)
    if not wrong:
        return []
    some = ", ".join(f"{label} ({', '.join(parts)})" for label, parts in wrong.items())
    return [
        Finding(
            Level.ERROR,
            "labels-out-of-range",
            f"there are the labels {some}, and the network's {classes} outputs stand for the classes 0 to "
            f"{classes - 1}. Number the classes from 0, or give the last layer more units",
            line,
        )
    ]


def of_metrics(metrics: Sequence[str], reported: Mapping[str, float], line: int | None) -> list[Finding]:
    """Return which metrics are the training part's, where Keras reports the validation part's too."""
    return [
        Finding(
            Level.WARNING,
            "metric-of-training",
            f"Keras measures {metric!r} on the training part, so that a network which knows that part by heart is "
            f"called good. Say 'val_{metric}', which is of the validation part",
            line,
        )
        for metric in metrics
        if metric in reported and f"val_{metric}" in reported
    ]


def difference(build: Callable[[], keras.Model], *, seed: int) -> str | None:
    """Return in what two networks differ that are built from the same seed, or ``None`` where they are the same."""
    prints = []
    for _ in range(2):
        # Also starts the numbers in the names of layers from the beginning.
        keras.utils.clear_session()
        seed_all(seed)
        prints.append(_fingerprint(build()))
    one, other = prints
    return next((what for what in one if one[what] != other[what]), None)


def _fingerprint(model: keras.Model) -> dict[str, str]:
    shapes = str([tuple(one.shape) for one in model.weights])
    prints = {"the shapes of the weights": shapes}
    described: dict[str, Callable[[], object]] = {
        "the optimizer": model.optimizer.get_config,
        "the layers": model.get_config,
        "the arguments of compile": model.get_compile_config,
    }
    for what, config in described.items():
        try:
            text = json.dumps(config(), sort_keys=True, default=str)
        except (NotImplementedError, AttributeError, TypeError, ValueError):
            # A model of one's own need not be able to describe itself.
            continue
        # Where an object lies in memory is none of its properties.
        prints[what] = re.sub(r"0x[0-9a-f]+", "", text)
    return prints
