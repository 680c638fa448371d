"""What Prometheus is told: where each study stands, its workers, and how long the storage takes to answer."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from tuner_service.domain.outcome import State
from tuner_service.errors import StorageError
from tuner_service.serve.reading import Reading, Readings

_log = logging.getLogger(__name__)


class StudyMetrics(Collector):
    """Read anew whenever Prometheus asks; nothing is counted in this process, so any number of them say the same."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def describe(self) -> list[Metric]:
        """Return all metrics, without what the storage has to be asked for."""
        return all_metrics()

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics; of a storage that is away only that it is."""
        began = time.perf_counter()
        try:
            self._readings.storage.now()
            latency = time.perf_counter() - began
            readings = self._readings.studies()
        except StorageError as error:
            _log.warning("%s", error)
            yield _up(0)
            return
        yield _up(1)
        yield _seconds(latency)
        yield from of_studies(readings)


def all_metrics() -> list[Metric]:
    """Return all that there are, without a value."""
    return [_up(), _seconds(), *of_studies([])]


def _up(value: int | None = None) -> Metric:
    return GaugeMetricFamily("tuner_storage_up", "Whether the storage answers.", value)


def _seconds(value: float | None = None) -> Metric:
    return GaugeMetricFamily("tuner_storage_seconds", "Time that the storage took to tell its clock.", value)


def of_studies(readings: list[Reading]) -> Iterator[Metric]:
    """Yield the metrics of each study."""
    trials = GaugeMetricFamily(
        "tuner_trials", "Trials by state; waiting ones are the queue.", labels=("study", "state")
    )
    settled = GaugeMetricFamily("tuner_configurations_settled", "Configurations that count.", labels=("study",))
    budget = GaugeMetricFamily("tuner_configurations_budget", "Configurations in all.", labels=("study",))
    queue = GaugeMetricFamily("tuner_queue_depth", "Configurations that nobody trains yet.", labels=("study",))
    epochs = CounterMetricFamily("tuner_epochs", "Epochs trained.", labels=("study",))
    saved = CounterMetricFamily("tuner_epochs_saved", "Epochs saved by stopping early.", labels=("study",))
    best = GaugeMetricFamily("tuner_best_value", "The best value so far.", labels=("study", "metric"))
    alive = GaugeMetricFamily("tuner_workers_alive", "Workers that are heard of.", labels=("study",))
    late = GaugeMetricFamily(
        "tuner_workers_late", "Of them, those whose last beat is more than two beats ago.", labels=("study",)
    )
    slots = GaugeMetricFamily("tuner_slots", "Trials that the living workers can train at a time.", labels=("study",))
    running = GaugeMetricFamily("tuner_study_running", "Whether the study goes on.", labels=("study",))
    for one in readings:
        name, summary = one.study.name, one.summary
        for state in State:
            trials.add_metric((name, state.lower()), summary.states.get(state, 0))
        settled.add_metric((name,), summary.settled)
        budget.add_metric((name,), one.study.budget)
        open_now = one.study.budget - summary.settled - len(summary.running)
        queue.add_metric((name,), max(open_now, 0) if one.study.ending is None else 0)
        epochs.add_metric((name,), summary.epochs_trained)
        saved.add_metric((name,), summary.epochs_saved)
        if summary.best is not None and summary.best.value is not None and math.isfinite(summary.best.value):
            best.add_metric((name, one.study.spec.metrics[0]), summary.best.value)
        alive.add_metric((name,), len(summary.workers))
        late.add_metric((name,), sum(worker.late(summary.now) for worker in summary.workers))
        slots.add_metric((name,), sum(worker.slots for worker in summary.workers))
        running.add_metric((name,), int(one.study.ending is None))
    yield from (trials, settled, budget, queue, epochs, saved, best, alive, late, slots, running)
