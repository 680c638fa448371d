"""A fake of the Kubernetes API for tests, whose pods are processes of this machine. It is no cluster.

It has a store, the part of the Job controller that workers rely on, and a "kubelet" that starts a pod's first container
as a process group, mounts Secrets and ConfigMaps as folders, and sends SIGTERM, then SIGKILL. Objects are checked
strictly against Kubernetes' schemas and by the Job rules that these do not hold. There is no scheduler, no image and no
RBAC; the requests are written down instead, so that a test can compare them with the Role that is shipped.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import datetime
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from aiohttp import web

VERSION = "1.37"
Manifest = dict[str, Any]
Key = tuple[str, str, str]  # plural, namespace, name

#: Kinds by their plural, with their API group and version.
KINDS = {
    "pods": ("", "v1", "Pod"),
    "secrets": ("", "v1", "Secret"),
    "configmaps": ("", "v1", "ConfigMap"),
    "events": ("", "v1", "Event"),
    "jobs": ("batch", "v1", "Job"),
}
_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
_INDEX = "batch.kubernetes.io/job-completion-index"
_IMMUTABLE = ("template", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "podReplacementPolicy")


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """What the API answers instead of an object."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


@dataclass
class _Counts:
    """What the Job controller remembers of a Job."""

    done: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    failures: dict[int, int] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)


class FakeKube:
    """The fake, served on a port of 127.0.0.1 from a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects: dict[Key, Manifest] = {}
        self.namespaces = {"default"}  #: those that objects can be made in
        self.requests: set[tuple[str, str]] = set()  #: verb and resource
        self.forbidden: set[tuple[str, str]] = set()  #: those that it refuses, as for somebody without the Role
        self.away = False  #: answers 503 to everything
        self.turned_away = 0  #: how often it did
        self._processes: dict[Key, subprocess.Popen[bytes]] = {}
        self._counts: dict[str, _Counts] = {}
        self._version = 0
        self.port = 0

    # ---- what tests do

    def kubeconfig(self) -> Path:
        """Return a kubeconfig that leads here."""
        path = self.folder / "kubeconfig"
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "fake",
                    "clusters": [{"name": "fake", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
                    "users": [{"name": "fake", "user": {}}],
                    "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
                }
            )
        )
        return path

    def of(self, plural: str) -> list[Manifest]:
        """Return the objects of a kind, the oldest first."""
        return [copy.deepcopy(one) for (kind, _, _), one in list(self.objects.items()) if kind == plural]

    def log(self, pod: str) -> str:
        """Return what a pod has said."""
        path = self.folder / f"{pod}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @contextmanager
    def serving(self) -> Iterator[FakeKube]:
        """Serve until the end of the block, and leave no process behind."""
        started = threading.Event()
        loop = asyncio.new_event_loop()

        async def serve() -> None:
            app = web.Application(client_max_size=2**24)
            app.router.add_route("*", "/{path:.*}", self._handle)
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.port = runner.addresses[0][1]
            started.set()
            try:
                while True:
                    self._control()
                    await asyncio.sleep(0.1)
            finally:
                await runner.cleanup()

        task = loop.create_task(serve())

        def run() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(task)

        thread = threading.Thread(target=run)
        thread.start()
        if not started.wait(30):
            raise RuntimeError("the fake did not start")
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(task.cancel)
            thread.join()
            loop.close()
            for process in self._processes.values():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    # ---- the store

    def _put(self, key: Key, found: Manifest) -> None:
        self._version += 1
        found["metadata"]["resourceVersion"] = str(self._version)
        self.objects[key] = found

    def _create(self, plural: str, namespace: str, found: Manifest, *, dry_run: bool = False) -> Manifest:
        if namespace not in self.namespaces:
            # Only that: a list of one that is not there is empty.
            raise Refused(404, "NotFound", f'namespaces "{namespace}" not found')
        group, version, kind = KINDS[plural]
        found.setdefault("apiVersion", f"{group}/{version}" if group else version)
        found.setdefault("kind", kind)
        metadata = found["metadata"]
        metadata["namespace"] = namespace
        key = (plural, namespace, metadata["name"])
        if key in self.objects:
            raise Refused(409, "AlreadyExists", f'{plural} "{metadata["name"]}" already exists')
        _validate(found)
        if plural == "secrets":
            text = found.pop("stringData", {})
            found.setdefault("data", {}).update({name: _encoded(value) for name, value in text.items()})
        if dry_run:
            return found
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": _now()}
        if plural == "jobs":
            spec = found["spec"]
            spec.setdefault("suspend", False)
            labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
            labels |= {"batch.kubernetes.io/job-name": metadata["name"]}
            found["status"] = {}
        if plural == "pods":
            found["status"] = {"phase": "Pending"}
        self._put(key, found)
        return found

    def _remove(self, key: Key) -> None:
        found = self.objects[key]
        if key[0] == "pods":
            self._end_pod(key)
            return
        if key[0] == "jobs":
            for pod in self._pods_of(found):
                self._end_pod(("pods", key[1], pod["metadata"]["name"]))
        self.objects.pop(key, None)

    # ---- the Job controller

    def _control(self) -> None:
        for key, process in list(self._processes.items()):
            if process.poll() is not None:
                self._note_exit(key, process.returncode)
        for key, found in list(self.objects.items()):
            if key[0] == "jobs":
                self._sync(found)
            elif key[0] == "pods" and found["status"]["phase"] == "Pending" and key not in self._processes:
                self._start_pod(key, found)

    def _pods_of(self, job: Manifest) -> list[Manifest]:
        uid = job["metadata"]["uid"]
        return [
            pod
            for (plural, _, _), pod in self.objects.items()
            if plural == "pods" and any(one["uid"] == uid for one in pod["metadata"].get("ownerReferences", []))
        ]

    def _sync(self, job: Manifest) -> None:
        spec, status = job["spec"], job["status"]
        if any(one["type"] in ("Complete", "Failed") for one in status.get("conditions", [])):
            return
        counts = self._counts.setdefault(job["metadata"]["uid"], _Counts())
        pods = self._pods_of(job)
        for pod in pods:
            self._count(job, pod, counts)
        active = [pod for pod in pods if pod["status"]["phase"] in ("Pending", "Running")]
        size = 0 if spec["suspend"] else spec["completions"]
        for pod in active:
            if _index(pod) >= size or _condition(job, "Failed"):
                self._end_pod(("pods", job["metadata"]["namespace"], pod["metadata"]["name"]))
        # podReplacementPolicy Failed: an index whose pod still ends gets no other.
        used = {_index(pod) for pod in active}
        if not _condition(job, "Failed"):
            for index in range(size):
                if index not in counts.done | counts.failed | used:
                    self._create_pod(job, index)
            ended = {index for index in counts.done | counts.failed if index < size}
            if not spec["suspend"] and len(ended) == size and not active:
                _set_condition(job, "Failed" if counts.failed & ended else "Complete", "", "")
        status["active"] = len([pod for pod in self._pods_of(job) if pod["status"]["phase"] in ("Pending", "Running")])
        status["succeeded"] = len([index for index in counts.done if index < spec["completions"]])
        status["failed"] = sum(counts.failures.values())

    def _count(self, job: Manifest, pod: Manifest, counts: _Counts) -> None:
        uid, phase, index = pod["metadata"]["uid"], pod["status"]["phase"], _index(pod)
        if uid in counts.seen or phase not in ("Succeeded", "Failed"):
            return
        counts.seen.add(uid)
        if index >= job["spec"]["completions"]:
            # The Job was made smaller: its controller counts no pod beyond (kubernetes, job_controller.go,
            # trackJobStatusAndRemoveFinalizers).
            return
        if phase == "Succeeded":
            counts.done.add(index)
            return
        action = _matching_action(job, pod)
        if action == "FailJob":
            name = pod["metadata"]["name"]
            _set_condition(job, "Failed", "PodFailurePolicy", f"pod {name} failed with exit code 78")
        elif action == "Count":
            counts.failures[index] = counts.failures.get(index, 0) + 1
            if counts.failures[index] > job["spec"]["backoffLimitPerIndex"]:
                counts.failed.add(index)

    def _create_pod(self, job: Manifest, index: int) -> None:
        pod = copy.deepcopy(job["spec"]["template"])
        metadata = pod.setdefault("metadata", {})
        metadata["name"] = f"{job['metadata']['name']}-{index}-{uuid.uuid4().hex[:5]}"
        metadata.setdefault("annotations", {})[_INDEX] = str(index)
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"]}
        metadata["ownerReferences"] = [{**owner, "uid": job["metadata"]["uid"], "controller": True}]
        self._create("pods", job["metadata"]["namespace"], pod)

    # ---- the kubelet

    def _start_pod(self, key: Key, pod: Manifest) -> None:
        container = pod["spec"]["containers"][0]
        try:
            mounts = self._mounts(key, pod, container)
        except LookupError as error:
            state = {"waiting": {"reason": "CreateContainerConfigError", "message": str(error.args[0])}}
            pod["status"]["containerStatuses"] = [{**_container_status(container), "state": state}]
            return
        environment = {}
        for one in container.get("env", []):
            path = one.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
            environment[one["name"]] = pod["metadata"]["name"] if path == "metadata.name" else one["value"]

        def local(text: str) -> str:
            text = re.sub(r"\$\((\w+)\)", lambda found: environment[found[1]], text)
            for mount, folder in mounts.items():
                text = text.replace(mount, str(folder)) if text.startswith(mount) else text
            return text

        with (self.folder / f"{key[2]}.log").open("wb") as log:
            self._processes[key] = subprocess.Popen(
                # The image's entry point.
                [Path(sys.executable).with_name("tuner"), *map(local, container["args"])],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self.folder,
                env={**os.environ, **{name: local(value) for name, value in environment.items()}},
            )  # fmt: skip
        pod["status"] |= {
            "phase": "Running",
            "containerStatuses": [{**_container_status(container), "state": {"running": {"startedAt": _now()}}}],
        }
        self._put(key, pod)

    def _mounts(self, key: Key, pod: Manifest, container: Manifest) -> dict[str, Path]:
        volumes = {one["name"]: one for one in pod["spec"].get("volumes", [])}
        mounts = {}
        for mount in container.get("volumeMounts", []):
            volume = volumes[mount["name"]]
            for plural, name in (
                ("secrets", volume.get("secret", {}).get("secretName")),
                ("configmaps", volume.get("configMap", {}).get("name")),
            ):
                if name is None:
                    continue
                source = self.objects.get((plural, key[1], name))
                if source is None:
                    raise LookupError(f'{plural.removesuffix("s")} "{name}" not found')
                folder = self.folder / key[2] / mount["name"]
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                for file, text in source.get("data", {}).items():
                    content = base64.b64decode(text) if plural == "secrets" else text.encode()
                    (folder / file).write_bytes(content)
                mounts[mount["mountPath"]] = folder
        return mounts

    def _note_exit(self, key: Key, code: int) -> None:
        del self._processes[key]
        pod = self.objects.get(key)
        if pod is None:
            return
        code = 128 - code if code < 0 else code
        pod["status"]["phase"] = "Succeeded" if code == 0 else "Failed"
        ended = {"exitCode": code, "reason": "Completed" if code == 0 else "Error", "finishedAt": _now()}
        pod["status"]["containerStatuses"][0]["state"] = {"terminated": ended}
        self._put(key, pod)
        for job in self.of("jobs"):
            self._sync(self.objects[("jobs", key[1], job["metadata"]["name"])])
        if "deletionTimestamp" in pod["metadata"]:
            self.objects.pop(key, None)

    def _end_pod(self, key: Key) -> None:
        pod = self.objects.get(key)
        if pod is None or "deletionTimestamp" in pod["metadata"]:
            return
        process = self._processes.get(key)
        if process is None:
            self.objects.pop(key)
            return
        pod["metadata"]["deletionTimestamp"] = _now()
        grace = pod["spec"]["terminationGracePeriodSeconds"]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)

        def kill() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        asyncio.get_running_loop().call_later(grace, kill)

    # ---- HTTP

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if self.away:
            self.turned_away += 1
            return _failure(503, "ServiceUnavailable", "the fake is away")
        parts = [one for one in request.path.split("/") if one]
        try:
            return _discovery(parts) or await self._objects(request, parts)
        except Refused as refused:
            return _failure(refused.status, refused.reason, refused.message)

    def _note(self, verb: str, resource: str) -> None:
        self.requests.add((verb, resource))
        if (verb, resource) in self.forbidden:
            raise Refused(403, "Forbidden", f'{resource} is forbidden: User "fake" cannot {verb} resource "{resource}"')

    async def _objects(self, request: web.Request, parts: list[str]) -> web.StreamResponse:
        parts = parts[2:] if parts[0] == "api" else parts[3:]
        namespace = parts[1] if parts[0] == "namespaces" else ""
        plural, *rest = parts[2:] if namespace else parts
        if plural not in KINDS:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        text = await request.text()
        body: Manifest = yaml.safe_load(text) if text.strip() else {}
        dry_run = request.query.get("dryRun") == "All"
        if not rest:
            self._note({"GET": "list", "POST": "create"}[request.method], plural)
            if request.method == "POST":
                return _answer(self._create(plural, namespace, body, dry_run=dry_run), 201)
            group, version, kind = KINDS[plural]
            matches = _selector(request.query)
            items = [
                one
                for (found, where, _), one in self.objects.items()
                if found == plural and where == namespace and matches(one)
            ]
            return _answer(
                {
                    "kind": f"{kind}List",
                    "apiVersion": f"{group}/{version}" if group else version,
                    "metadata": {"resourceVersion": str(self._version)},
                    "items": items,
                }
            )
        key = (plural, namespace, rest[0])
        found = self.objects.get(key)
        if found is None and request.method == "PATCH" and "apply" in request.content_type:
            return _answer(self._create(plural, namespace, body, dry_run=dry_run), 201)
        if found is None:
            raise Refused(404, "NotFound", f'{plural} "{rest[0]}" not found')
        if rest[1:] == ["log"]:
            self._note("get", "pods/log")
            return web.Response(text=self.log(rest[0]))
        if rest[1:] == ["eviction"]:
            _set_condition(found, "DisruptionTarget", "EvictionByEvictionAPI", "")
            self._end_pod(key)
            return _answer({"kind": "Status", "apiVersion": "v1", "status": "Success"}, 201)
        self._note(request.method.lower(), plural)
        if request.method == "DELETE":
            self._remove(key)
        elif request.method == "PATCH":
            changed = _merged(copy.deepcopy(found), body)
            _check_change(found, changed)
            if not dry_run:
                self._put(key, changed)
            return _answer(changed)
        return _answer(found)


def _validate(found: Manifest) -> None:
    try:
        kubernetes_validate.validate(found, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        raise Refused(400, "BadRequest", f"strict decoding error: {list(error.path)}: {error.message}") from None
    if found["kind"] == "Job" and (wrong := _broken_rules(found["spec"])):
        raise Refused(422, "Invalid", f'Job.batch "{found["metadata"]["name"]}" is invalid: {"; ".join(wrong)}')


def _broken_rules(spec: Manifest) -> list[str]:
    indexed, never = spec.get("completionMode") == "Indexed", spec["template"]["spec"].get("restartPolicy") == "Never"
    wrong = []
    if indexed and spec.get("completions") is None:
        wrong.append("completions: required when completion mode is Indexed")
    if "backoffLimitPerIndex" in spec and not (indexed and never):
        wrong.append("backoffLimitPerIndex: only with Indexed and restartPolicy Never")
    if "podFailurePolicy" in spec and not (never and spec.get("podReplacementPolicy", "Failed") == "Failed"):
        wrong.append("podFailurePolicy: only with restartPolicy Never and podReplacementPolicy Failed")
    for rule in spec.get("podFailurePolicy", {}).get("rules", []):
        codes = rule.get("onExitCodes", {"values": [1], "operator": "In"})
        if codes["values"] != sorted(set(codes["values"])) or (codes["operator"] == "In" and 0 in codes["values"]):
            wrong.append("onExitCodes: ordered, unique, and without 0 for In")
    return wrong


def _check_change(before: Manifest, after: Manifest) -> None:
    if before["kind"] != "Job":
        return
    old, new = before["spec"], after["spec"]
    changed = [name for name in _IMMUTABLE if old.get(name) != new.get(name)]
    if old["completions"] != new["completions"] and new["completions"] != new["parallelism"]:
        changed.append("completions")
    if changed:
        raise Refused(422, "Invalid", f"spec.{changed[0]}: Invalid value: field is immutable")


def _matching_action(job: Manifest, pod: Manifest) -> str:
    code = pod["status"].get("containerStatuses", [{}])[0].get("state", {}).get("terminated", {}).get("exitCode")
    for rule in job["spec"]["podFailurePolicy"]["rules"]:
        if code in rule.get("onExitCodes", {}).get("values", []):
            return str(rule["action"])
        if any(_condition(pod, one["type"]) for one in rule.get("onPodConditions", [])):
            return str(rule["action"])
    return "Count"


def _discovery(parts: list[str]) -> web.Response | None:
    groups = sorted({(group, version) for group, version, _ in KINDS.values() if group})
    if parts == ["version"]:
        return _answer({"major": "1", "minor": VERSION.split(".")[1], "gitVersion": f"v{VERSION}.0"})
    if parts == ["api"]:
        return _answer({"kind": "APIVersions", "versions": ["v1"]})
    if parts == ["apis"]:
        offered = [
            {
                "name": group,
                "versions": [{"groupVersion": f"{group}/{version}", "version": version}],
                "preferredVersion": {"groupVersion": f"{group}/{version}", "version": version},
            }
            for group, version in groups
        ]
        return _answer({"kind": "APIGroupList", "apiVersion": "v1", "groups": offered})
    if parts == ["openapi", "v3"]:
        paths = ["api/v1", *(f"apis/{group}/{version}" for group, version in groups)]
        return _answer({"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in paths}})
    if parts[:2] == ["openapi", "v3"]:
        return _answer(_openapi(parts[2:]))
    if parts in (["api", "v1"], *(["apis", *one] for one in groups)):
        group, version = ("", "v1") if parts[0] == "api" else (parts[1], parts[2])
        resources = [
            {"name": plural, "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": _VERBS}
            for plural, (of, _, kind) in KINDS.items()
            if of == group
        ]
        listed = {"kind": "APIResourceList", "apiVersion": "v1", "resources": resources}
        return _answer({**listed, "groupVersion": f"{group}/{version}" if group else version})
    return None


def _openapi(parts: list[str]) -> Manifest:
    """Return as much as makes kubectl leave the validation to the server."""
    group, version = ("", "v1") if parts[0] == "api" else (parts[1], parts[2])
    paths = {}
    for plural, (of, _, kind) in KINDS.items():
        if of == group:
            names = ("fieldValidation", "dryRun", "fieldManager")
            operation = {
                "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names],
                "responses": {},
                "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
            }
            paths[f"/{'/'.join(parts)}/namespaces/{{namespace}}/{plural}/{{name}}"] = {"patch": operation}
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": f"v{VERSION}"}, "paths": paths}


def _selector(query: Any) -> Callable[[Manifest], bool]:
    labels = dict(one.split("=", 1) for one in query.get("labelSelector", "").replace("==", "=").split(",") if one)
    fields = dict(one.split("=", 1) for one in query.get("fieldSelector", "").split(",") if one)

    def matches(found: Manifest) -> bool:
        has = found["metadata"].get("labels", {})
        if any(has.get(name) != value for name, value in labels.items()):
            return False
        for path, value in fields.items():
            at: Any = found
            for name in path.split("."):
                at = at.get(name, {})
            if at != value:
                return False
        return True

    return matches


def _merged(target: Manifest, patch: Manifest) -> Manifest:
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        elif isinstance(value, dict) and isinstance(target.get(name), dict):
            _merged(target[name], value)
        else:
            target[name] = value
    return target


def _condition(found: Manifest, kind: str) -> bool:
    return any(one["type"] == kind and one["status"] == "True" for one in found["status"].get("conditions", []))


def _set_condition(found: Manifest, kind: str, reason: str, message: str) -> None:
    condition = {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": _now()}
    found["status"].setdefault("conditions", []).append(condition)


def _container_status(container: Manifest) -> Manifest:
    return {"name": container["name"], "image": container["image"], "imageID": "fake", "ready": True, "restartCount": 0}


def _index(pod: Manifest) -> int:
    return int(pod["metadata"]["annotations"][_INDEX])


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _answer(found: Manifest, status: int = 200) -> web.Response:
    return web.json_response(json.loads(json.dumps(found)), status=status)


def _failure(status: int, reason: str, message: str) -> web.Response:
    failure = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": status}
    return web.json_response({**failure, "reason": reason, "message": message}, status=status)


@contextmanager
def fake_kube() -> Iterator[FakeKube]:
    """Provide a fake with a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="tuner-kube-") as folder, FakeKube(Path(folder)).serving() as kube:
        yield kube
