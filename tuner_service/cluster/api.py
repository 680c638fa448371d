"""A thin way to the Kubernetes API: plain dictionaries in and out, time limits, and errors in this service's words.

The official client's typed models change with every major version, so they are not used.
"""

from __future__ import annotations

import codecs
import importlib
import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import stamina

from tuner_service.cluster.manifests import Manifest
from tuner_service.errors import ClusterError, how_to_install

T = TypeVar("T")

#: To connect, and to get an answer, in seconds.
_TIMEOUT = (5, 30)
#: The same where a log is followed, in which a worker may say nothing for hours.
_LOG_TIMEOUT = (5, 86_400)
#: How long a server that does not answer is asked again.
PATIENCE_S = 60.0
_MERGE = "application/merge-patch+json"


class Unreachable(Exception):  # noqa: N818 - it becomes a ClusterError where it is not mended
    """The API server did not answer, or said that it cannot now."""


class Cluster:
    """One cluster, by the current context of the user's kubeconfig or, in a pod, by its service account."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        try:
            # By name: its types differ from version to version.
            kubernetes: Any = importlib.import_module("kubernetes")
            importlib.import_module("kubernetes.dynamic")
        except ModuleNotFoundError:
            raise ClusterError(f"the Kubernetes client is not installed: {how_to_install('k8s')}") from None
        try:
            kubernetes.config.load_config()
        except kubernetes.config.ConfigException as error:
            raise ClusterError(f"no cluster is configured: {error}. Make `kubectl get pods` work first") from None
        self._kubernetes = kubernetes
        configuration = kubernetes.client.Configuration.get_default_copy()
        configuration.retries = False  # repeated here, where it is known what may be
        self._client = kubernetes.client.ApiClient(configuration)
        self._dynamic: Any = None

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> bool:
        """Make an object, and return whether it was not there before. One that is there stays as it is."""
        options = {"dry_run": "All"} if dry_run else {}

        def call() -> bool:
            resource = self._resource(manifest["apiVersion"], manifest["kind"])
            resource.create(
                body=manifest, namespace=manifest["metadata"]["namespace"], _request_timeout=_TIMEOUT, **options
            )
            return True

        what = f"create {manifest['kind']} {manifest['metadata']['name']} in {manifest['metadata']['namespace']}"
        try:
            return self._ask(call, what, let_out=409)
        except self._kubernetes.client.ApiException as error:
            if error.status != 409:
                raise
            return False

    def find(self, api_version: str, kind: str, namespace: str, **selectors: str) -> list[Manifest]:
        """Return the objects of a kind that selectors (label_selector, field_selector) choose."""

        def call() -> list[Manifest]:
            resource = self._resource(api_version, kind)
            found = resource.get(namespace=namespace, _request_timeout=_TIMEOUT, **selectors)
            items: list[Manifest] = found.to_dict()["items"]
            return items

        return self._ask(call, f"list {kind}s in {namespace}")

    def patch(self, api_version: str, kind: str, namespace: str, name: str, changes: Manifest) -> None:
        """Merge changes into an object."""

        def call() -> None:
            self._resource(api_version, kind).patch(
                body=changes, namespace=namespace, name=name, content_type=_MERGE, _request_timeout=_TIMEOUT
            )

        self._ask(call, f"change {kind} {name} in {namespace}")

    def delete(self, api_version: str, kind: str, namespace: str, name: str) -> None:
        """Delete an object with what belongs to it, in the background; one that is gone is none to delete."""

        def call() -> None:
            self._resource(api_version, kind).delete(
                name=name, namespace=namespace, body={"propagationPolicy": "Background"}, _request_timeout=_TIMEOUT
            )

        try:
            self._ask(call, f"delete {kind} {name}", let_out=404)
        except self._kubernetes.client.ApiException as error:
            if error.status != 404:
                raise

    def logs(self, namespace: str, pod: str, *, follow: bool) -> Iterator[str]:
        """Yield what a worker has said, in pieces; with ``follow`` until it ends."""
        import urllib3

        core = self._kubernetes.client.CoreV1Api(self._client)

        def call() -> Any:  # noqa: ANN401 - urllib3's response
            # Without preloading: version 36 returns the text of a bytes literal otherwise.
            return core.read_namespaced_pod_log(
                name=pod, namespace=namespace, follow=follow, _preload_content=False, _request_timeout=_LOG_TIMEOUT
            )

        response = self._ask(call, f"read the log of {pod} in {namespace}")
        # A character may be cut in two between pieces.
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        try:
            for piece in response.stream():
                yield decode(piece)
        except urllib3.exceptions.HTTPError as error:
            raise ClusterError(
                f"the log of {pod} in {namespace} broke off: {error}; the same command goes on"
            ) from None

    def _resource(self, api_version: str, kind: str) -> Any:  # noqa: ANN401 - the client's
        if self._dynamic is None:
            self._dynamic = self._kubernetes.dynamic.DynamicClient(self._client)
        return self._dynamic.resources.get(api_version=api_version, kind=kind)

    def _ask(self, call: Callable[[], T], what: str, *, let_out: int | None = None) -> T:
        """Call, again while the server does not answer; raise what it answers otherwise, in words.

        Only an answer of the status ``let_out`` is raised as it is, for who asks knows what it means.
        """
        import urllib3

        def once() -> T:
            try:
                return call()
            except (urllib3.exceptions.HTTPError, ConnectionError) as error:
                raise Unreachable(str(error)) from error
            except self._kubernetes.client.ApiException as error:
                if error.status in (429, 500, 502, 503, 504) or not error.status:
                    raise Unreachable(_message(error)) from error
                if error.status == let_out:
                    raise
                raise ClusterError(_refusal(error.status, what, _message(error))) from None

        try:
            for attempt in stamina.retry_context(on=Unreachable, attempts=None, timeout=self._patience_s, wait_max=2.0):
                with attempt:
                    return once()
            raise AssertionError  # pragma: no cover - the last attempt returns or raises
        except Unreachable as error:
            raise ClusterError(f"the cluster does not answer: cannot {what}: {error}") from None


def _message(error: Any) -> str:  # noqa: ANN401 - an ApiException
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)


def _refusal(status: int, what: str, message: str) -> str:
    remedies = {
        401: "; log in to the cluster again",
        403: "; ask for the chart's Role tuner-submit",
        404: "; say with --namespace where it is",
    }
    return f"the cluster refuses to {what}: {message}{remedies.get(status, '')}"
