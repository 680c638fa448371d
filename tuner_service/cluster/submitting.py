"""What people do with the workers of a study on a cluster: submit, scale, look at them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from tuner_service.cluster.api import Cluster
from tuner_service.cluster.manifests import POOL_ANNOTATION, Manifest, kept_pool, pool_of, render, selector
from tuner_service.cluster.pool import WorkerPool
from tuner_service.cluster.reasons import job_state, pod_state
from tuner_service.errors import ClusterError

_JOBS = ("batch/v1", "Job")
_PODS = ("v1", "Pod")
#: How long the cluster may take to remove what has ended, in seconds.
_REMOVAL_S = 60


@dataclass(frozen=True)
class PodLine:
    """A pod of a study, or a Job that has none, as people read it."""

    name: str
    state: str


def submit(cluster: Cluster, pool: WorkerPool, *, dry_run: bool = False) -> list[Manifest]:
    """Make a study's workers on a cluster, and return what was sent; with ``dry_run`` the cluster only checks it.

    Raises:
        ClusterError: If the study has workers there already, or the cluster refuses.
    """
    manifests = render(pool)
    there = _jobs(cluster, pool.namespace, pool.name)
    active = [job["metadata"]["name"] for job in there if not has_ended(job)]
    if active:
        raise ClusterError(
            f"{pool.study} has workers in {pool.namespace} already ({', '.join(active)}); change their number with "
            f"`tuner scale {pool.study} --workers N`"
        )
    if there and not dry_run:
        _remove(cluster, pool, there)
    for manifest in manifests:
        cluster.create(manifest, dry_run=dry_run)
    return manifests


def scale(cluster: Cluster, study: str, namespace: str, workers: int, min_workers: int | None = None) -> None:
    """Change how many workers a study has, or between which limits the coordinator chooses from now on.

    None leaves its Job suspended, or without one under a queue.

    Raises:
        ClusterError: If it has no workers there, or none any more.
    """
    pool, jobs = _pool(cluster, study, namespace)
    jobs = [job for job in jobs if not has_ended(job)]
    if not jobs:
        raise ClusterError(
            f"the workers of {study} in {namespace} have ended; start others with `tuner submit {study}`"
        )
    pool = WorkerPool.check(**{**dict(pool), "workers": workers or pool.workers, "min_workers": min_workers})
    changed = {"metadata": {"annotations": {POOL_ANNOTATION: kept_pool(pool)}}}
    for job in jobs:
        cluster.patch(*_JOBS, namespace, job["metadata"]["name"], changed)
    now = len(jobs) if pool.queue else int(jobs[0]["spec"]["completions"])
    size = workers if min_workers is None else min(max(now, min_workers), workers)
    if pool.queue is None:
        spec = {"suspend": False, **_size(size)} if workers else {"suspend": True}
        cluster.patch(*_JOBS, namespace, jobs[0]["metadata"]["name"], {"spec": spec})
    else:
        resize(cluster, pool, jobs, size)


def resize(cluster: Cluster, pool: WorkerPool, jobs: list[Manifest], workers: int) -> None:
    """Make a pool, whose Jobs these are, this large; one that is suspended stays so."""
    if pool.queue is None:
        cluster.patch(*_JOBS, pool.namespace, jobs[0]["metadata"]["name"], {"spec": _size(workers)})
        return
    wanted = {one["metadata"]["name"]: one for one in render(pool, workers) if one["kind"] == "Job"}
    for job in jobs:
        if job["metadata"]["name"] not in wanted and not has_ended(job):
            cluster.delete(*_JOBS, pool.namespace, job["metadata"]["name"])
    for manifest in wanted.values():
        cluster.create(manifest)


def _size(workers: int) -> Manifest:
    # Both at once: only together may they change.
    return {"completions": workers, "parallelism": workers}


def pods(cluster: Cluster, study: str, namespace: str) -> list[PodLine]:
    """Return the pods of a study with their state in words, and Jobs that have none."""
    _, jobs = _pool(cluster, study, namespace)
    lines = []
    for job in jobs:
        name, state = job["metadata"]["name"], job_state(job)
        found = cluster.find(*_PODS, namespace, label_selector=f"batch.kubernetes.io/job-name={name}")
        if not found or state != "running":
            lines.append(PodLine(name, state))
        lines += [PodLine(pod["metadata"]["name"], pod_state(pod, _events(cluster, pod))) for pod in found]
    return lines


def logs(cluster: Cluster, study: str, namespace: str, *, worker: str | None, follow: bool) -> Iterator[str]:
    """Yield what a worker, a pod by its name or its index, has said; the only one where none is named.

    Raises:
        ClusterError: If there is no such worker, or there are several and none is named.
    """
    pool, _ = _pool(cluster, study, namespace)
    found = cluster.find(*_PODS, namespace, label_selector=selector(pool.name))
    chosen = [pod for pod in found if worker is None or worker in (pod["metadata"]["name"], _index(pool, pod))]
    chosen.sort(key=lambda pod: pod["metadata"]["creationTimestamp"])
    names = ", ".join(sorted(pod["metadata"]["name"] for pod in found)) or "none"
    if not chosen or (worker is None and len(chosen) > 1):
        raise ClusterError(f"say which worker's log with --worker, by its name or index; there are: {names}")
    yield from cluster.logs(namespace, chosen[-1]["metadata"]["name"], follow=follow)


def _index(pool: WorkerPool, pod: Manifest) -> str:
    """Return which worker of its pool a pod is."""
    if pool.queue is None:
        return str((pod["metadata"].get("annotations") or {}).get("batch.kubernetes.io/job-completion-index"))
    # Of one Job a worker; each has the completion index 0.
    return str(pod["metadata"]["labels"]["batch.kubernetes.io/job-name"]).rpartition("-")[2]


def has_ended(job: Manifest) -> bool:
    """Return whether a Job is complete, or has failed."""
    return job_state(job) == "done" or job_state(job).startswith("failed")


def _remove(cluster: Cluster, pool: WorkerPool, jobs: list[Manifest]) -> None:
    """Remove Jobs that have ended, so that others can have their names."""
    for job in jobs:
        cluster.delete(*_JOBS, pool.namespace, job["metadata"]["name"])
    for _ in range(_REMOVAL_S):
        if not _jobs(cluster, pool.namespace, pool.name):
            return
        time.sleep(1.0)
    raise ClusterError(f"the ended Jobs of {pool.study} in {pool.namespace} do not go away; look at them with kubectl")


def _pool(cluster: Cluster, study: str, namespace: str) -> tuple[WorkerPool, list[Manifest]]:
    name = WorkerPool.check(study=study, image="-", namespace=namespace).name
    jobs = _jobs(cluster, namespace, name)
    if not jobs:
        raise ClusterError(f"{study} has no workers in {namespace}; start some with `tuner submit {study}`")
    return pool_of(jobs[0]), jobs


def _jobs(cluster: Cluster, namespace: str, name: str) -> list[Manifest]:
    return cluster.find(*_JOBS, namespace, label_selector=selector(name))


def _events(cluster: Cluster, pod: Manifest) -> list[Manifest]:
    if pod.get("status", {}).get("phase") != "Pending":
        return []
    about = f"involvedObject.name={pod['metadata']['name']}"
    return cluster.find("v1", "Event", pod["metadata"]["namespace"], field_selector=about)
