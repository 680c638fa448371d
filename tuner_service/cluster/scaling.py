"""The Jobs whose size the coordinator chooses, in one namespace of a cluster."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tuner_service.cluster.api import Cluster
from tuner_service.cluster.manifests import Manifest, pool_of
from tuner_service.cluster.submitting import has_ended, resize
from tuner_service.coordinator.scaling import ElasticPool
from tuner_service.errors import ClusterError

_log = logging.getLogger(__name__)
_OURS = "app.kubernetes.io/managed-by=tuner"


class JobScaler:
    """Scales what was submitted with a smallest number of workers; what somebody has suspended is left alone."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._jobs: dict[str, list[Manifest]] = {}

    def pools(self) -> Sequence[ElasticPool]:
        """Return the pools whose size is the coordinator's to choose; a Job that cannot be read is none of them."""
        self._jobs = {}
        for job in self._cluster.find("batch/v1", "Job", self._namespace, label_selector=_OURS):
            if has_ended(job):
                continue
            try:
                self._jobs.setdefault(pool_of(job).name, []).append(job)
            except ClusterError as error:
                _log.warning("%s; left alone", error)
        return [found for jobs in self._jobs.values() if (found := _elastic(jobs)) is not None]

    def resize(self, pool: ElasticPool, workers: int) -> None:
        """Make a pool that was just looked at this large."""
        jobs = self._jobs[pool.name]
        resize(self._cluster, pool_of(jobs[0]), jobs, workers)


def _elastic(jobs: list[Manifest]) -> ElasticPool | None:
    """Return what these Jobs are to the coordinator, or ``None`` where their number is somebody else's to choose."""
    pool = pool_of(jobs[0])
    spec = jobs[0]["spec"]
    # Under a queue it is Kueue that suspends, until there is room.
    if pool.min_workers is None or (pool.queue is None and spec.get("suspend")):
        return None
    if pool.queue is None:
        workers = int(spec["completions"])
    else:
        # By their numbers: one that has failed for good leaves a gap, which nothing can fill.
        workers = 1 + max(int(job["metadata"]["name"].rpartition("-")[2]) for job in jobs)
    return ElasticPool(pool.study, pool.name, workers, pool.slots, pool.min_workers, pool.workers)
