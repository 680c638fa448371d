"""Why a worker on a cluster does not work, in words."""

from __future__ import annotations

from typing import Any

import pytest

from tuner_service.cluster.reasons import job_state, pod_state


def pod(**status: Any) -> dict[str, Any]:
    """Return a pod in this state."""
    return {"metadata": {"name": "tuner-digits-0-abcde"}, "status": {"phase": "Pending", **status}}


def container(**state: Any) -> list[dict[str, Any]]:
    """Return the status of a container in this state."""
    return [{"name": "worker", "image": "worker:1", "state": state}]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        pytest.param(
            pod(conditions=[{"type": "PodScheduled", "status": "False", "message": "0/3 nodes: 3 Insufficient gpu"}]),
            "no node takes it: 0/3 nodes: 3 Insufficient gpu",
            id="no GPU is free",
        ),
        pytest.param(
            pod(containerStatuses=container(waiting={"reason": "ImagePullBackOff", "message": "not found"})),
            "its image worker:1 cannot be pulled: not found",
            id="a misspelt image",
        ),
        pytest.param(
            pod(containerStatuses=container(waiting={"reason": "ContainerCreating"})), "starting", id="on its way"
        ),
        pytest.param(pod(phase="Running", containerStatuses=container(running={})), "running", id="at work"),
        pytest.param(
            pod(
                phase="Failed",
                containerStatuses=container(terminated={"exitCode": 78, "message": "log\nerror: other code"}),
            ),
            "exit code 78: a configuration error: error: other code",
            id="a configuration error, with its last words",
        ),
        pytest.param(
            pod(phase="Failed", containerStatuses=container(terminated={"exitCode": 137, "reason": "OOMKilled"})),
            "exit code 137: out of memory",
            id="out of memory",
        ),
        pytest.param(
            pod(phase="Succeeded", containerStatuses=container(terminated={"exitCode": 0, "message": "bye"})),
            "exit code 0: the study has ended",
            id="done",
        ),
    ],
)
def test_a_pod_is_told_in_words(found: dict[str, Any], words: str) -> None:
    """One line, with what the cluster said where it helps."""
    assert pod_state(found) == words


@pytest.mark.parametrize(
    ("message", "words"),
    [
        pytest.param(
            'MountVolume.SetUp failed for volume "storage" : secret "tuner-storage" not found',
            "the Secret tuner-storage is missing; make it: kubectl create secret generic tuner-storage",
            id="a Secret",
        ),
        pytest.param(
            'configmap "tuner-digits-01" not found', "the ConfigMap tuner-digits-01 is missing", id="the code"
        ),
        pytest.param("Volume is already used by another pod", "Volume is already used", id="anything else, as it is"),
    ],
)
def test_a_pod_that_waits_is_told_by_its_last_warning(message: str, words: str) -> None:
    """What is missing, and what to do about it."""
    events = [{"type": "Normal", "message": "Pulled"}, {"type": "Warning", "message": message}]
    assert pod_state(pod(), events).startswith(words)


def test_a_pod_that_is_deleted_ends() -> None:
    """Whatever else is known of it."""
    found = pod(phase="Running")
    found["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    assert pod_state(found) == "ending"


@pytest.mark.parametrize(
    ("suspend", "queue", "conditions", "words"),
    [
        pytest.param(False, None, [], "running", id="at work"),
        pytest.param(True, None, [], "paused", id="scaled to nothing"),
        pytest.param(True, "research", [], "waiting in the queue research", id="not yet admitted by Kueue"),
        pytest.param(False, None, [{"type": "Complete", "status": "True"}], "done", id="done"),
        pytest.param(
            False, None, [{"type": "Failed", "status": "True", "reason": "PodFailurePolicy"}],
            "failed: PodFailurePolicy", id="failed",
        ),
        pytest.param(False, None, [{"type": "Failed", "status": "False"}], "running", id="a condition that is not so"),
    ],
)  # fmt: skip
def test_a_job_is_told_in_words(suspend: bool, queue: str | None, conditions: list[Any], words: str) -> None:
    """A Job that is suspended without pods is not dead."""
    labels = {} if queue is None else {"kueue.x-k8s.io/queue-name": queue}
    job = {"metadata": {"labels": labels}, "spec": {"suspend": suspend}, "status": {"conditions": conditions}}
    assert job_state(job) == words
