"""Looking at the workers of a study on a cluster; the cluster is a stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from tuner_service.cluster.api import Cluster
from tuner_service.cluster.manifests import Manifest, render
from tuner_service.cluster.pool import WorkerPool
from tuner_service.cluster.submitting import logs
from tuner_service.errors import ClusterError


class Pods:
    """A pool's Jobs, with a pod for each of their indices, as Kubernetes labels them."""

    def __init__(self, pool: WorkerPool) -> None:
        self.jobs = [one for one in render(pool) if one["kind"] == "Job"]
        self.pods = [
            {
                "metadata": {
                    "name": f"{job['metadata']['name']}-{index}-x1y2z",
                    "labels": {"batch.kubernetes.io/job-name": job["metadata"]["name"]},
                    "annotations": {"batch.kubernetes.io/job-completion-index": str(index)},
                    "creationTimestamp": "2026-11-30T00:00:00Z",
                }
            }
            for job in self.jobs
            for index in range(job["spec"]["completions"])
        ]

    def find(self, _version: str, kind: str, *_: str, **_selectors: str) -> list[Manifest]:
        """Return all of a kind."""
        return self.jobs if kind == "Job" else self.pods

    def logs(self, _namespace: str, pod: str, *, follow: bool) -> Iterator[str]:
        """Yield a pod's name."""
        yield pod


def _pods(**fields: Any) -> Cluster:
    return cast("Cluster", Pods(WorkerPool.check(study="digits", image="worker:1", **fields)))


@pytest.mark.parametrize(
    ("queue", "pod"),
    [
        pytest.param(None, "tuner-digits-2-x1y2z", id="one Job"),
        pytest.param("research", "tuner-digits-2-0-x1y2z", id="a Job for each under a queue"),
    ],
)
@pytest.mark.parametrize("by", ["index", "name"])
def test_a_workers_log_is_found(queue: str | None, pod: str, by: str) -> None:
    """By the worker's number, or by the pod's name."""
    worker = "2" if by == "index" else pod
    assert list(logs(_pods(queue=queue, workers=4), "digits", "default", worker=worker, follow=False)) == [pod]


@pytest.mark.parametrize("worker", [None, "4"], ids=["none said of several", "one that is not there"])
@pytest.mark.parametrize("queue", [None, "research"])
def test_which_workers_there_are_is_told(queue: str | None, worker: str | None) -> None:
    """By their names."""
    with pytest.raises(ClusterError, match=r"say which worker's log .* there are: tuner-digits-0-"):
        list(logs(_pods(queue=queue, workers=4), "digits", "default", worker=worker, follow=False))
