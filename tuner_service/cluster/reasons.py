"""Why a worker on a cluster does not work, in words, from what the cluster says of its Job and pod."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tuner_service.domain.exit_code import ExitCode

_MISSING = re.compile(r'(secret|configmap|serviceaccount) "([^"]+)" not found', re.IGNORECASE)
_REMEDIES = {
    "secret": "make it: kubectl create secret generic {name} --from-file=url=FILE",
    "configmap": "submit the study again, which sends its code along",
    "serviceaccount": "install the chart, or make it: kubectl create serviceaccount {name}",
}
_PULLING = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}


def job_state(job: Mapping[str, Any]) -> str:
    """Return where a Job stands: running, waiting in a queue, paused, done, or failed and why."""
    for condition in job.get("status", {}).get("conditions", []):
        if condition["status"] != "True":
            continue
        if condition["type"] == "Complete":
            return "done"
        if condition["type"] == "Failed":
            return f"failed: {condition.get('message') or condition.get('reason')}"
    if job["spec"].get("suspend"):
        queue = job["metadata"].get("labels", {}).get("kueue.x-k8s.io/queue-name")
        return "paused" if queue is None else f"waiting in the queue {queue}"
    return "running"


def pod_state(pod: Mapping[str, Any], events: Iterable[Mapping[str, Any]] = ()) -> str:
    """Return where a pod stands, and what keeps it from working."""
    status = pod.get("status", {})
    if "deletionTimestamp" in pod["metadata"]:
        return "ending"
    for container in status.get("containerStatuses", []):
        state = container.get("state", {})
        if waiting := state.get("waiting"):
            reason, message = waiting.get("reason", "waiting"), waiting.get("message", "")
            if reason in _PULLING:
                return f"its image {container['image']} cannot be pulled: {message or reason}"
            if reason not in ("ContainerCreating", "PodInitializing"):
                return _in_words(message) or f"{reason}: {message}"
        if ended := state.get("terminated"):
            return _ended(ended)
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"no node takes it: {condition.get('message') or condition.get('reason')}"
    if status.get("phase") != "Pending":
        return str(status.get("phase", "unknown")).lower()
    messages = [str(event.get("message", "")) for event in events if event.get("type") == "Warning"]
    if messages:
        return _in_words(messages[-1]) or messages[-1]
    return "starting"


def _ended(ended: Mapping[str, Any]) -> str:
    meanings: dict[int, str] = {
        ExitCode.DONE: "the study has ended",
        ExitCode.INTERRUPTED: "interrupted, another takes its place",
        ExitCode.MISCONFIGURED: "a configuration error",
    }
    code = ended.get("exitCode")
    meaning = "out of memory" if ended.get("reason") == "OOMKilled" else meanings.get(int(code or 0), "failed")
    last_words = str(ended.get("message") or "").strip().splitlines()
    return f"exit code {code}: {meaning}" + (f": {last_words[-1]}" if last_words and code != 0 else "")


def _in_words(message: str) -> str | None:
    found = _MISSING.search(message)
    if found is None:
        return None
    kind, name = found[1].lower(), found[2]
    proper = {"secret": "Secret", "configmap": "ConfigMap", "serviceaccount": "ServiceAccount"}[kind]
    return f"the {proper} {name} is missing; {_REMEDIES[kind].format(name=name)}"
