"""Objectives of a trained network: those that Keras reported, and those that are measured on it now."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tuner_service.domain.measured import MEASURED
from tuner_service.errors import StudyFileError
from tuner_service.training.data import Data
from tuner_service.training.model_file import write

#: Predictions before the clock starts: the first ones compile and fill caches.
_WARM_UP = 3
#: Timed predictions, and seconds after which no further one is begun.
_PREDICTIONS, _PREDICTING_S = 50, 2.0


def objectives(
    metrics: Sequence[str], reported: Mapping[str, float], model: keras.Model, data: Data, scratch: Path
) -> tuple[float, ...]:
    """Return the values of the metrics, in their order, from what Keras reported of a model and from measuring it.

    Raises:
        StudyFileError: If a metric is neither reported nor measured.
    """
    return tuple(
        _measure(metric, model, data, scratch) if metric in MEASURED else reported_one(reported, metric)
        for metric in metrics
    )


def reported_one(reported: Mapping[str, Any], metric: str) -> float:
    """Return a metric of an epoch, or raise ``StudyFileError``: it is not there, or is more than one number."""
    if metric not in reported:
        raise StudyFileError(
            f"Keras reported no metric {metric!r}, only {', '.join(sorted(reported)) or 'none at all'}. "
            "Add it to model.compile(metrics=[...]), or change `metric` in the specification"
        )
    if np.ndim(reported[metric]):
        raise StudyFileError(
            f"the metric {metric!r} is an array of {np.size(reported[metric])} numbers, maybe one for each class, and "
            "a trial is judged by one. Have the metric average them, such as with "
            "keras.metrics.F1Score(average='macro'), or change `metric` in the specification"
        )
    return float(reported[metric])


def check_names(metrics: Sequence[str], reported: Mapping[str, float]) -> None:
    """Raise ``StudyFileError`` where a metric of the network has the name of an objective that is measured."""
    clash = [metric for metric in metrics if metric in MEASURED and metric in reported]
    if clash:
        raise StudyFileError(
            f"the network reports a metric {clash[0]!r}, and the objective of that name is measured: "
            f"{MEASURED[clash[0]]}. Give the network's metric another name"
        )


def _measure(metric: str, model: keras.Model, data: Data, scratch: Path) -> float:
    match metric:
        case "parameters":
            return float(model.count_params())
        case "model_bytes":
            file = scratch / "measured.keras"
            write(model, file)
            size = file.stat().st_size
            file.unlink()
            return float(size)
    return _latency_s(model, data)


def _latency_s(model: keras.Model, data: Data) -> float:
    """Return the median time, in seconds, of predicting one row of the data."""
    row = keras.tree.map_structure(lambda values: values[:1], _inputs(data))
    times: list[float] = []
    stop_at = time.perf_counter() + _PREDICTING_S
    for number in range(_WARM_UP + _PREDICTIONS):
        began = time.perf_counter()
        model.predict_on_batch(row)
        ended = time.perf_counter()
        if number >= _WARM_UP:
            times.append(ended - began)
        if times and ended > stop_at:
            break
    return statistics.median(times)


def _inputs(data: Data) -> Any:  # noqa: ANN401 - arrays, or dictionaries and lists of them
    if isinstance(data.train, tuple):
        return data.train[0]
    # A dataset, generator or the like gives batches: inputs, or inputs with targets and weights.
    batch = next(iter(data.train))
    return batch[0] if isinstance(batch, tuple) else batch
