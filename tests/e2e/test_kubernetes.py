"""Workers on a fake of Kubernetes that starts them as processes, on a real PostgreSQL; see tests/fakekube.py."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3
import yaml

from tests.e2e.tuner import Tuner, opened, run_python, settled, until
from tests.fakekube import FakeKube, fake_kube
from tuner_service.cluster.api import Cluster
from tuner_service.errors import ClusterError

ROOT = Path(__file__).parents[2]
_SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tuner-storage"}}
#: Options that make a worker of this size.
_SMALL = ("--image", "worker:test", "--cpu", "1", "--memory", "1Gi")


@pytest.fixture
def kube() -> Iterator[FakeKube]:
    """Provide a fake cluster without anything in it."""
    with fake_kube() as kube:
        yield kube


@pytest.fixture(params=["37", pytest.param("36.0.3", marks=pytest.mark.soak)], ids=["client 37", "client 36"])
def tuner(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    kube: FakeKube,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Tuner]:
    """Provide a working folder whose commands talk to the fake, by each supported major version of the client."""
    monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig()))
    if not version("kubernetes").startswith(request.param):
        # What the installed version needs itself is what the other one needs.
        package = (f"kubernetes=={request.param}", "--no-deps", "--target", tmp_path / "client")
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "pip", "install", "--quiet", "--python", sys.executable, *package], check=True)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "client"), prepend=os.pathsep)
        assert run_python("import kubernetes; print(kubernetes.__version__)") == f"{request.param}\n"
    with opened(tmp_path, postgres_url) as tuner:
        yield tuner


@pytest.fixture
def kubectl(kube: FakeKube) -> Callable[..., str]:
    """Provide the real kubectl, which talks to the fake."""

    def run(*arguments: str, given: Any = None) -> str:
        command = [Path(sys.executable).with_name("kubectl"), "--kubeconfig", str(kube.kubeconfig()), *arguments]
        text = None if given is None else yaml.safe_dump_all(given)
        return subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=100).stdout

    return run


def _store_url(kubectl: Callable[..., str], tuner: Tuner) -> None:
    kubectl("create", "-f", "-", given=[{**_SECRET, "stringData": {"url": tuner.storage}}])


def _states(tuner: Tuner, study: str) -> list[str]:
    return [one["state"] for one in tuner("pods", study, "--json").json("pods")]


def test_a_missing_secret_is_told_in_words(tuner: Tuner) -> None:
    """And what to do about it, as it is about a study that has no workers."""
    tuner.add_study("bowl")
    tuner("create", "studies/bowl.py", *_BOWL)
    assert "start some with `tuner submit bowl`" in tuner("scale", "bowl", "--workers", "2", code=2).err
    tuner("submit", "bowl", *_SMALL)
    (state,) = until("the pod is refused", lambda: [one for one in _states(tuner, "bowl") if "missing" in one])
    assert (
        state == "the Secret tuner-storage is missing; make it: kubectl create secret generic tuner-storage "
        "--from-file=url=FILE"
    )
    assert "has workers in default already (tuner-bowl)" in tuner("submit", "bowl", *_SMALL, code=2).err


def test_who_lacks_a_right_is_told(tuner: Tuner, kube: FakeKube) -> None:
    """What it is, and what to ask for; it is not asked again and again."""
    kube.forbidden.add(("list", "jobs"))
    told = tuner("scale", "bowl", "--workers", "2", code=2).err
    assert 'cannot list resource "jobs"' in told
    assert "ask for the chart's Role tuner-submit" in told


def test_what_is_not_there_is_told(
    tuner: Tuner, kube: FakeKube, kubectl: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt namespace, a Job or a pod that somebody has deleted meanwhile: in words, not as a traceback."""
    tuner.add_study("bowl")
    tuner("create", "studies/bowl.py", *_BOWL)
    told = tuner("submit", "bowl", *_SMALL, "-n", "typo", code=2).err
    assert 'in typo: namespaces "typo" not found; say with --namespace where it is' in " ".join(told.split())
    monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig()))
    cluster = Cluster()
    with pytest.raises(ClusterError, match='refuses to change Job gone in default: jobs "gone" not found'):
        cluster.patch("batch/v1", "Job", "default", "gone", {})
    with pytest.raises(ClusterError, match='refuses to read the log of gone in default: pods "gone" not found'):
        list(cluster.logs("default", "gone", follow=False))
    cluster.delete("batch/v1", "Job", "default", "gone")

    def stream() -> Iterator[bytes]:
        # A character may lie in two pieces; then a balancer, or a node that dies, cuts a log that is followed.
        yield from ("é".encode()[:1], "é".encode()[1:])
        raise urllib3.exceptions.ProtocolError("Connection broken")

    monkeypatch.setattr(cluster, "_ask", lambda *_, **__: SimpleNamespace(stream=stream))
    said = cluster.logs("default", "pod", follow=True)
    assert next(said) + next(said) == "é"
    with pytest.raises(ClusterError, match="the log of pod in default broke off: Connection broken"):
        next(said)


def _allowed() -> set[tuple[str, str]]:
    """Return verb and resource of each request that the shipped Role allows."""
    objects = yaml.safe_load_all((ROOT / "deploy" / "install.yaml").read_text())
    (role,) = [one for one in objects if one["kind"] == "Role" and one["metadata"]["name"] == "tuner-submit"]
    return {(verb, resource) for rule in role["rules"] for verb in rule["verbs"] for resource in rule["resources"]}


_BOWL = ("--set", "direction=minimize", "--set", "trials=6", "--set", "max_epochs=1")


def test_a_study_is_finished_by_its_pods(tuner: Tuner, kube: FakeKube, kubectl: Callable[..., str]) -> None:
    """They end by themselves with exactly the budget, and no more was asked of the API than the Role allows.

    The coordinator makes as many as the study can use, which asks for no more than submitting.
    """
    _store_url(kubectl, tuner)
    tuner.add_study("bowl")
    tuner("create", "studies/bowl.py", *_BOWL)
    size = ("--workers", "2", "--min-workers", "1")
    assert "would take 1 worker" in tuner("submit", "bowl", *_SMALL, *size, "--dry-run").out
    assert kube.of("jobs") == []
    with tuner.start("coordinator", "--scale-in", "default", "--period", "0.2"):
        tuner("submit", "bowl", *_SMALL, *size)
        until("the coordinator makes it larger", lambda: kube.of("jobs")[0]["spec"]["completions"] == 2)
        until("the Job is done", lambda: "done" in _states(tuner, "bowl"))
    assert settled(tuner.attempts()) == list(range(6))
    (job,) = kube.of("jobs")
    assert (job["status"]["succeeded"], job["status"]["failed"]) == (job["spec"]["completions"], 0)
    assert "worker tuner-bowl-0-" in tuner("logs", "bowl", "--worker", "0").out
    assert {one for one in kube.requests if one[1] != "secrets"} <= _allowed()


def test_a_configuration_error_fails_the_job_at_once(tuner: Tuner, kube: FakeKube, kubectl: Callable[..., str]) -> None:
    """A worker that finds other code than the study recorded exits 78, and none is started again."""
    _store_url(kubectl, tuner)
    path = tuner.add_study("bowl")
    tuner("create", "studies/bowl.py", *_BOWL)
    path.write_text(path.read_text() + "\nCHANGED = 1\n")
    rendered = tuner("render", "bowl", "--file", "studies/bowl.py", *_SMALL).out
    kubectl("apply", "--server-side", "-f", "-", given=yaml.safe_load_all(rendered))
    until("the Job has failed", lambda: any(one.startswith("failed") for one in _states(tuner, "bowl")))
    assert len(kube.of("pods")) == 1
    assert settled(tuner.attempts()) == []


def test_a_pod_that_is_ended_while_it_starts_has_not_failed(
    tuner: Tuner, kube: FakeKube, kubectl: Callable[..., str]
) -> None:
    """A suspended Job, as under a queue, ends pods without saying why; that costs none of a worker's three tries."""
    _store_url(kubectl, tuner)
    tuner.add_study("bowl")
    tuner("create", "studies/bowl.py", *_BOWL)
    tuner("submit", "bowl", *_SMALL)
    until("it starts", lambda: [one for one in kube.of("pods") if one["status"]["phase"] == "Running"])
    kubectl("patch", "job", "tuner-bowl", "--type=merge", "-p", '{"spec": {"suspend": true}}')
    until("it is gone", lambda: not kube.of("pods"))
    (job,) = kube.of("jobs")
    assert job["status"]["failed"] == 0


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_pods_come_and_go(tuner: Tuner, kube: FakeKube, kubectl: Callable[..., str]) -> None:
    """Evicted, suspended, scaled, with the API away: the budget is settled exactly, and no pod counts as failed."""
    _store_url(kubectl, tuner)
    tuner.add_study("slow", change=lambda text: text.replace("time.sleep(0.3)", "time.sleep(1.0)"))
    tuner("create", "studies/slow.py", "--set", "trials=12")
    tuner("submit", "slow", *_SMALL, "--workers", "4")
    trained = (
        "SELECT owner, configuration FROM tuner_attempts JOIN trials USING (trial_id) "
        "JOIN trial_intermediate_values USING (trial_id) WHERE CAST(state AS VARCHAR) = 'RUNNING'"
    )
    victim, configuration = until("a pod is in the middle of a trial", lambda: tuner.query(trained))[0]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": victim, "namespace": "default"}}
    kubectl("create", "--raw", f"/api/v1/namespaces/default/pods/{victim}/eviction", "-f", "-", given=[eviction])
    until("another pod took its place", lambda: victim not in {one["metadata"]["name"] for one in kube.of("pods")})
    until("its trial runs again", lambda: [one for one in tuner.attempts() if one[1] > 0 and one[4] is not None])

    def running() -> int:
        return len([one for one in kube.of("pods") if one["status"]["phase"] == "Running"])

    for suspend, workers in (("true", 0), ("false", 4)):
        kubectl("patch", "job", "tuner-slow", "--type=merge", "-p", f'{{"spec": {{"suspend": {suspend}}}}}')
        until(f"there are {workers} pods", lambda workers=workers: running() == workers)
    for workers in (2, 6):
        tuner("scale", "slow", "--workers", str(workers))
        until(f"there are {workers} pods", lambda workers=workers: running() == workers)
    kube.away = True
    with tuner.start("scale", "slow", "--workers", "3") as patient:
        until("it has asked again and again", lambda: kube.turned_away > 3)
        time.sleep(10)
        kube.away = False
        assert patient.wait().code == 0

    until("the Job is done", lambda: "done" in _states(tuner, "slow"))
    assert settled(tuner.attempts()) == list(range(12))
    (job,) = kube.of("jobs")
    assert job["status"]["failed"] == 0
    # Another pod went on where the evicted one had left it.
    resumed = f"SELECT owner, resumed_from FROM tuner_attempts WHERE configuration = {configuration} AND attempt = 1"
    ((owner, epoch),) = tuner.query(resumed)
    assert owner != victim
    assert epoch > 0
    assert {one for one in kube.requests if one[1] != "secrets"} <= _allowed() | {("get", "jobs")}  # kubectl patch
