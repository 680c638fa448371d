"""Which Jobs the coordinator may make larger and smaller, and how it does; the cluster is a stand-in."""

from __future__ import annotations

import copy
from typing import Any, cast

import pytest

from tuner_service.cluster import submitting
from tuner_service.cluster.api import Cluster
from tuner_service.cluster.manifests import POOL_ANNOTATION, Manifest, pool_of, render
from tuner_service.cluster.pool import WorkerPool
from tuner_service.cluster.scaling import JobScaler
from tuner_service.coordinator.scaling import ElasticPool
from tuner_service.errors import ClusterError


class Jobs:
    """The Jobs of a namespace."""

    def __init__(self, *pools: WorkerPool) -> None:
        self.there = {one["metadata"]["name"]: one for pool in pools for one in render(pool)}

    def find(self, *_: str, label_selector: str) -> list[Manifest]:
        """Return those with the labels."""
        wanted = dict([label_selector.split("=")])
        found = (one for one in self.there.values() if wanted.items() <= one["metadata"]["labels"].items())
        return [copy.deepcopy(one) for one in found]

    def patch(self, _version: str, _kind: str, _namespace: str, name: str, changes: Manifest) -> None:
        """Change one as a merge patch does."""
        _merge(self.there[name], changes)

    def create(self, manifest: Manifest) -> bool:
        """Make one that is not there."""
        return self.there.setdefault(manifest["metadata"]["name"], manifest) is manifest

    def delete(self, _version: str, _kind: str, _namespace: str, name: str) -> None:
        """Delete one."""
        del self.there[name]

    @property
    def sizes(self) -> dict[str, int]:
        """How many pods each has; none while it is suspended."""
        return {
            name: 0 if one["spec"].get("suspend") else one["spec"]["completions"] for name, one in self.there.items()
        }


def _merge(target: dict[str, Any], changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        if isinstance(value, dict):
            _merge(target[name], value)
        else:
            target[name] = value


def pool(study: str = "digits", **fields: object) -> WorkerPool:
    """Return a pool of 2 to 8 workers."""
    return WorkerPool.check(**{"study": study, "image": "worker:1", "workers": 8, "min_workers": 2, **fields})


def test_an_elastic_pool_begins_small() -> None:
    """The coordinator makes it larger; where there is none, it stays as it is."""
    assert Jobs(pool()).sizes == {"tuner-digits": 2}


def test_only_elastic_pools_are_the_coordinators() -> None:
    """A number that somebody has said, and a Job that somebody has suspended, are left alone."""
    jobs = Jobs(pool(), pool("fixed", min_workers=None), pool("paused"), pool("ended"))
    jobs.there["tuner-paused"]["spec"]["suspend"] = True
    jobs.there["tuner-ended"]["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    found = JobScaler(cast("Cluster", jobs), "default").pools()
    assert found == [ElasticPool("digits", "tuner-digits", workers=2, slots=2, minimum=2, maximum=8)]


@pytest.mark.parametrize(
    "annotations",
    [
        pytest.param({}, id="none"),
        pytest.param({POOL_ANNOTATION: "workers: 8"}, id="no JSON"),
        pytest.param({POOL_ANNOTATION: "[]"}, id="no mapping"),
        pytest.param({POOL_ANNOTATION: '{"study": "other", "image": "x", "priority": 3}'}, id="an unknown field"),
    ],
)
def test_a_job_of_another_version_is_left_alone(annotations: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """The others are scaled; who asks for this one in particular is told what to do."""
    jobs = Jobs(pool(), pool("other"))
    jobs.there["tuner-other"]["metadata"]["annotations"] = annotations
    (found,) = JobScaler(cast("Cluster", jobs), "default").pools()
    assert found.study == "digits"
    assert "the Job tuner-other was made by another version" in caplog.text
    with pytest.raises(ClusterError, match="delete it and submit again"):
        pool_of(jobs.there["tuner-other"])


@pytest.mark.parametrize(
    ("queue", "sizes"),
    [
        pytest.param(None, {"tuner-digits": 3}, id="one Job"),
        pytest.param("research", {f"tuner-digits-{index}": 1 for index in range(3)}, id="a Job for each under a queue"),
    ],
)
def test_pools_grow_and_shrink(queue: str | None, sizes: dict[str, int]) -> None:
    """Those with the highest numbers go."""
    jobs = Jobs(pool(queue=queue))
    scaler = JobScaler(cast("Cluster", jobs), "default")
    for size in (5, 3):
        (found,) = scaler.pools()
        scaler.resize(found, size)
    assert jobs.sizes == sizes


def test_a_worker_that_failed_for_good_is_not_asked_for_again() -> None:
    """Under a queue its Job stays for whoever looks for logs, and its number with it."""
    jobs = Jobs(pool(queue="research", min_workers=3))
    jobs.there["tuner-digits-0"]["status"] = {"conditions": [{"type": "Failed", "status": "True"}]}
    (found,) = JobScaler(cast("Cluster", jobs), "default").pools()
    assert found.workers == 3


@pytest.mark.parametrize("queue", [None, "research"])
def test_who_says_a_number_takes_it_over(queue: str | None) -> None:
    """After `tuner scale` the coordinator leaves it alone, until limits are said again."""
    jobs = Jobs(pool(queue=queue))
    cluster = cast("Cluster", jobs)
    submitting.scale(cluster, "digits", "default", 4)
    assert sum(jobs.sizes.values()) == 4
    assert JobScaler(cluster, "default").pools() == []
    submitting.scale(cluster, "digits", "default", 16, 6)
    assert sum(jobs.sizes.values()) == 6
    (found,) = JobScaler(cluster, "default").pools()
    assert (found.minimum, found.maximum) == (6, 16)


def test_a_suspended_job_goes_on_with_the_number_it_is_given() -> None:
    """None suspends it, and keeps what it was."""
    jobs = Jobs(pool(min_workers=None))
    cluster = cast("Cluster", jobs)
    submitting.scale(cluster, "digits", "default", 0)
    assert jobs.sizes == {"tuner-digits": 0}
    submitting.scale(cluster, "digits", "default", 3)
    assert jobs.sizes == {"tuner-digits": 3}


def test_limits_are_in_order() -> None:
    """A smallest number above the largest is refused before anything is changed."""
    jobs = Jobs(pool())
    with pytest.raises(ClusterError, match=r"min_workers must be at most workers \(4\), got 5"):
        submitting.scale(cast("Cluster", jobs), "digits", "default", 4, 5)
    assert jobs.sizes == {"tuner-digits": 2}


@pytest.mark.parametrize("queue", [None, "research"])
def test_workers_that_have_ended_cannot_be_scaled(queue: str | None) -> None:
    """Whoever asks for more is told, and nothing is changed."""
    jobs = Jobs(pool(queue=queue))
    for job in jobs.there.values():
        job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    before = copy.deepcopy(jobs.there)
    with pytest.raises(ClusterError, match=r"digits in default have ended; start others with `tuner submit digits`"):
        submitting.scale(cast("Cluster", jobs), "digits", "default", 4)
    assert jobs.there == before
