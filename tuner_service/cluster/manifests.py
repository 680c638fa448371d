"""From a pool of workers to Kubernetes' objects, as plain dictionaries. Nothing here talks to a cluster.

Where a field is less than obvious, why it is as it is stands beside it; docs/kubernetes.md says what follows for users.
"""

from __future__ import annotations

import copy
import json
import signal
from collections.abc import Mapping
from typing import Any

from tuner_service.cluster.pool import WorkerPool
from tuner_service.domain.exit_code import ExitCode
from tuner_service.errors import ClusterError, TunerServiceError

Manifest = dict[str, Any]

#: Labels and annotations of what is this service's.
STUDY_LABEL = "tuner-service/study"
POOL_ANNOTATION = "tuner-service/pool"
DIGEST_ANNOTATION = "tuner-service/digest"
#: Of the worker's container.
CONTAINER = "worker"
#: Where Secrets are mounted; a study's code cannot read below it.
SECRETS = "/secrets"

_USER = 10001
#: A child may take 15 s to save its state, and the artifacts' storage some time to take it.
_GRACE_S = 120
#: How long a Job and its code stay after the study's end, for whoever looks for logs.
_KEEP_S = 86_400
_RETRIES_OF_A_WORKER = 3
#: How a worker ends that is told to while it starts, before it answers signals.
_ENDED_BY_SIGTERM = 128 + signal.SIGTERM


def render(pool: WorkerPool, size: int | None = None) -> list[Manifest]:
    """Return what a pool of some size is on a cluster: its code, if it is not in the image, and its Jobs.

    Kueue admits and preempts a Job as a whole, so under a queue every worker is a Job of its own; elsewhere all are one
    Job, which can be scaled.

    Raises:
        ClusterError: If the admin's template breaks what workers rely on.
    """
    size = pool.first if size is None else size
    code = [] if pool.code is None else [render_code(pool)]
    if pool.queue is None:
        return [*code, _job(pool, pool.name, size)]
    return [*code, *(_job(pool, f"{pool.name}-{index}", 1) for index in range(size))]


def selector(study_label: str) -> str:
    """Return the selector of all that belongs to a study."""
    return f"{STUDY_LABEL}={study_label}"


def code_name(pool: WorkerPool) -> str:
    """Return the name of the ConfigMap that holds the study's code: another one for other code."""
    return f"{pool.name}-{'' if pool.code is None else pool.code.digest[:10]}"


def render_code(pool: WorkerPool) -> Manifest:
    """Return the ConfigMap with the study's code; nobody can change it afterwards."""
    assert pool.code is not None  # noqa: S101 - the caller's
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {**_metadata(pool, code_name(pool)), "annotations": {DIGEST_ANNOTATION: pool.code.digest}},
        "immutable": True,
        "data": dict(pool.code.sources),
    }


def kept_pool(pool: WorkerPool) -> str:
    """Return what scaling renders again, as a Job keeps it; the code is in its ConfigMap."""
    return json.dumps(
        pool.model_dump(mode="json", exclude_defaults=True, exclude={"code": {"sources"}}), sort_keys=True
    )


def pool_of(job: Manifest) -> WorkerPool:
    """Return the pool that a Job belongs to, without its code's text.

    Raises:
        ClusterError: If the Job does not say so in this version's words.
    """
    try:
        kept = json.loads(job["metadata"]["annotations"][POOL_ANNOTATION])
        if kept.get("code"):
            kept["code"]["sources"] = {}
        return WorkerPool.check(**kept)
    except (KeyError, TypeError, AttributeError, ValueError, TunerServiceError) as error:
        name = job["metadata"]["name"]
        raise ClusterError(
            f"the Job {name} was made by another version of tuner-service, or changed: its {POOL_ANNOTATION} "
            f"cannot be read ({type(error).__name__}: {error}). Use the version that submitted it, or delete it "
            "and submit again"
        ) from None


def _job(pool: WorkerPool, name: str, pods: int) -> Manifest:
    metadata = _metadata(pool, name)
    metadata["annotations"] = {POOL_ANNOTATION: kept_pool(pool)}
    if pool.queue is not None:
        metadata["labels"]["kueue.x-k8s.io/queue-name"] = pool.queue
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "completionMode": "Indexed",
            "completions": pods,
            "parallelism": pods,
            "backoffLimitPerIndex": _RETRIES_OF_A_WORKER,
            # The next pod of an index waits until the one before is gone, and with it its GPU.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    # Kueue and people delete pods without that condition; the worker itself says what it was.
                    _on_exit("Ignore", ExitCode.INTERRUPTED, _ENDED_BY_SIGTERM),
                    _on_exit("FailJob", ExitCode.MISCONFIGURED),
                ]
            },
            "ttlSecondsAfterFinished": _KEEP_S,
            "template": checked_template(overlay(_pod_template(pool), pool.template)),
        },
    }


def _on_exit(action: str, *codes: int) -> Manifest:
    values = [int(code) for code in codes]
    return {"action": action, "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": values}}


def _metadata(pool: WorkerPool, name: str) -> Manifest:
    return {"name": name, "namespace": pool.namespace, "labels": _labels(pool)}


def _labels(pool: WorkerPool) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "tuner-worker",
        "app.kubernetes.io/managed-by": "tuner",
        STUDY_LABEL: pool.name,
    }


def _pod_template(pool: WorkerPool) -> Manifest:
    pod: Manifest = {
        # A Job counts what happens to its pods; a container that is started again in place would hide it.
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _GRACE_S,
        # A study's code has no business with the API.
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "serviceAccountName": "tuner-worker",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(pool)],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": pool.disk}},
            # What is in it counts as the container's memory; the default of 64 MB stops data loaders.
            {"name": "shm", "emptyDir": {"medium": "Memory"}},
            {"name": "storage", "secret": {"secretName": pool.storage_secret, "defaultMode": 0o440}},
        ],
    }
    if pool.code is not None:
        pod["volumes"].append({"name": "studies", "configMap": {"name": code_name(pool)}})
    if pool.gpus:
        pod["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    return {"metadata": {"labels": _labels(pool)}, "spec": pod}


def _container(pool: WorkerPool) -> Manifest:
    limits: dict[str, object] = {"memory": pool.memory}
    if pool.gpus:
        limits[pool.gpu_resource] = pool.gpus
    mounts: list[Manifest] = [
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - in the container
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 - in the container
        {"name": "storage", "mountPath": f"{SECRETS}/storage", "readOnly": True},
    ]
    if pool.code is not None:
        mounts.append({"name": "studies", "mountPath": pool.studies, "readOnly": True})
    return {
        "name": CONTAINER,
        "image": pool.image,
        "args": [
            *("worker", pool.study, "--studies", pool.studies, "--slots", str(pool.slots), "--id", "$(POD_NAME)"),
            *("--beat", f"{pool.beat_s:g}", "--lease", f"{pool.lease_s:g}"),
        ],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "TUNER_STORAGE_FILE", "value": f"{SECRETS}/storage/url"},
        ],
        "resources": {
            "requests": {"cpu": pool.cpu, "memory": pool.memory, "ephemeral-storage": pool.disk},
            "limits": limits,
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
        # What a worker said last is in `tuner pods` after its node is gone.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def overlay(ours: Any, theirs: Any) -> Any:  # noqa: ANN401 - any part of a manifest
    """Return ours with theirs laid over it: what they name replaces, and lists of named things go together by name.

    >>> overlay({"env": [{"name": "A", "value": "1"}], "n": 1}, {"env": [{"name": "B", "value": "2"}], "n": 2})
    {'env': [{'name': 'A', 'value': '1'}, {'name': 'B', 'value': '2'}], 'n': 2}
    """
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        both = {key: overlay(value, theirs[key]) if key in theirs else value for key, value in ours.items()}
        return both | {key: copy.deepcopy(value) for key, value in theirs.items() if key not in ours}
    if isinstance(ours, list) and isinstance(theirs, list):
        if not all(isinstance(one, Mapping) and "name" in one for one in (*ours, *theirs)):
            return [*ours, *(one for one in theirs if one not in ours)]
        named = {one["name"]: one for one in theirs}
        known = {one["name"] for one in ours}
        mixed = [overlay(one, named.get(one["name"], {})) for one in ours]
        return mixed + [copy.deepcopy(one) for one in theirs if one["name"] not in known]
    return copy.deepcopy(theirs)


def checked_template(template: Manifest) -> Manifest:
    """Return a pod template that keeps what Jobs of workers rely on.

    Raises:
        ClusterError: If an overlay has taken some of it away.
    """
    pod = template["spec"]
    wrong = []
    if pod["restartPolicy"] != "Never":
        wrong.append(f"restartPolicy must be Never, got {pod['restartPolicy']}")
    if pod["containers"][0]["name"] != CONTAINER:
        wrong.append(f"its first container must be {CONTAINER!r}")
    if pod["terminationGracePeriodSeconds"] < 30:
        wrong.append(
            "terminationGracePeriodSeconds must be 30 or more, for a worker to save what it trains, got "
            f"{pod['terminationGracePeriodSeconds']}"
        )
    if pod["automountServiceAccountToken"]:
        wrong.append("automountServiceAccountToken must be false: a study's code must not reach the API")
    if wrong:
        raise ClusterError(f"the profile's pod template cannot be used: {'; '.join(wrong)}")
    return template
