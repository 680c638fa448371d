"""The chart, what it renders, and that this is what lies beside it for those without Helm."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer.main
import yaml

from tests import helm
from tuner_service.cli.app import app

VERSIONS = ["1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37"]
#: Values that turn everything on.
_ALL = {
    "image": {"digest": "sha256:" + "0" * 64},
    "imagePullSecrets": [{"name": "registry"}],
    "migration": {"roles": True},
    "coordinator": {"replicas": 2, "envFrom": [{"secretRef": {"name": "webhook"}}]},
    "serve": {"replicas": 2, "podMonitor": True, "envFrom": [{"secretRef": {"name": "bucket"}}]},
    "submitters": [{"kind": "Group", "name": "research", "apiGroup": "rbac.authorization.k8s.io"}],
    "postgresql": {"enabled": True},
}
Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def program() -> Path:
    """Provide Helm."""
    found = helm.find()
    if found is None:
        pytest.skip("no Helm: `make chart` brings it, and `make test` does so first")
    return found


@pytest.fixture(scope="module")
def everything(program: Path) -> list[Manifest]:
    """Provide what the chart renders with all that it has turned on."""
    return rendered(program, _ALL)


@pytest.fixture(scope="module")
def installed() -> list[Manifest]:
    """Provide what is rendered already."""
    return list(yaml.safe_load_all(helm.INSTALL.read_text()))


def rendered(program: Path, values: Manifest) -> list[Manifest]:
    """Return what the chart renders with these values."""
    options = [f"--set-json={name}={json.dumps(value)}" for name, value in values.items()]
    return [one for one in yaml.safe_load_all(helm.template(program, *options)) if one]


def pods(objects: list[Manifest]) -> Iterator[Manifest]:
    """Yield the pods' specifications in these objects."""
    for one in objects:
        if "template" in one.get("spec", {}):
            yield one["spec"]["template"]["spec"]


def test_what_is_rendered_is_up_to_date(program: Path) -> None:
    """Whoever changes the chart runs `make chart`."""
    assert helm.INSTALL.read_text() == helm.install_yaml(program)


def test_helm_finds_nothing_to_complain_of(program: Path) -> None:
    """Neither with the chart's own values nor with all that it has turned on."""
    for values in ({}, _ALL):
        options = [f"--set-json={name}={json.dumps(value)}" for name, value in values.items()]
        subprocess.run([program, "lint", "--strict", "--quiet", helm.CHART, *options], check=True)


def test_the_chart_has_the_projects_version() -> None:
    """Its images are tagged with it."""
    chart = yaml.safe_load((helm.CHART / "Chart.yaml").read_text())
    project = tomllib.loads((helm.ROOT / "pyproject.toml").read_text())["project"]
    assert chart["appVersion"] == chart["version"] == project["version"]


@pytest.mark.parametrize("version", VERSIONS)
def test_objects_are_valid(everything: list[Manifest], installed: list[Manifest], version: str) -> None:
    """Strictly: an unknown field is an error."""
    for manifest in (*everything, *(installed if version in (VERSIONS[0], VERSIONS[-1]) else ())):
        if manifest["kind"] != "PodMonitor":
            kubernetes_validate.validate(manifest, version, strict=True)


def test_metrics_are_asked_for_with_the_token(everything: list[Manifest]) -> None:
    """Prometheus' operator, whose kind Kubernetes does not know, finds the pods, their port and the login."""
    (monitor,) = (one["spec"] for one in everything if one["kind"] == "PodMonitor")
    (serve,) = (
        one["spec"] for one in everything if one["kind"] == "Deployment" and one["metadata"]["name"] == "tuner-serve"
    )
    assert monitor["selector"] == serve["selector"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    (container,) = serve["template"]["spec"]["containers"]
    assert endpoint["port"] in {port["name"] for port in container["ports"]}
    assert endpoint["authorization"]["credentials"] == {"name": "tuner-serve", "key": "token"}


def test_settings_come_from_the_environment(everything: list[Manifest], installed: list[Manifest]) -> None:
    """The coordinator's and the server's: a webhook's address, credentials of the artifacts' storage."""
    given = {
        pod["containers"][0]["name"]: pod["containers"][0]["envFrom"]
        for pod in pods(everything)
        if "envFrom" in pod["containers"][0]
    }
    assert given == {
        "coordinator": [{"secretRef": {"name": "webhook"}}],
        "serve": [{"secretRef": {"name": "bucket"}}],
    }
    assert [pod for pod in pods(installed) if "envFrom" in pod["containers"][0]] == []


def test_pods_are_restricted(everything: list[Manifest], installed: list[Manifest]) -> None:
    """As the Pod Security Standard of that name wants it; only the coordinator has a token for the API."""
    found = [*pods(everything), *pods(installed)]
    assert len(found) == 7
    for pod in found:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is (pod["serviceAccountName"] == "tuner-coordinator")
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"].keys() == {"memory"}


def test_secrets_are_mounted_files(everything: list[Manifest], installed: list[Manifest]) -> None:
    """The chart makes none, and none reaches an environment."""
    assert "Secret" not in {one["kind"] for one in (*everything, *installed)}
    for pod in (*pods(everything), *pods(installed)):
        for variable in pod["containers"][0]["env"]:
            assert "secretKeyRef" not in variable.get("valueFrom", {})


def test_each_part_has_a_role_of_its_own(installed: list[Manifest]) -> None:
    """The migration alone sees the URL of the tables' owner."""
    secrets = {
        pod["containers"][0]["name"]: volume["secret"]["secretName"]
        for pod in pods(installed)
        for volume in pod["volumes"]
        if volume["name"] == "storage"
    }
    assert secrets == {
        "coordinator": "tuner-storage-coordinator",
        "migration": "tuner-storage-owner",
        "serve": "tuner-storage-reader",
    }


def test_commands_are_there(everything: list[Manifest], installed: list[Manifest]) -> None:
    """Every container's arguments are a command of `tuner`, with options that it has."""
    for pod in (*pods(everything), *pods(installed)):
        (container,) = pod["containers"]
        if container["name"] == "postgresql":
            continue
        command: Any = typer.main.get_command(app)
        arguments = list(container["args"])
        while hasattr(command, "commands"):
            command = command.commands[arguments.pop(0)]
        command.make_context("tuner", arguments)


def test_every_pod_has_a_network_policy(everything: list[Manifest]) -> None:
    """Workers, coordinator and migration may be reached by nobody."""
    policies = {one["metadata"]["name"]: one["spec"] for one in everything if one["kind"] == "NetworkPolicy"}
    names = {
        one["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]
        for one in everything
        if "template" in one.get("spec", {})
    }
    assert policies.keys() == names | {"tuner-worker"}
    for name, spec in policies.items():
        assert spec["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": name}
        assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
        assert bool(spec["ingress"]) == (name in ("tuner-postgresql", "tuner-serve"))


@pytest.mark.parametrize(
    ("cidr", "blocks"),
    [
        pytest.param(
            "10.96.0.1/32", [{"cidr": "0.0.0.0/0", "except": ["10.96.0.1/32"]}, {"cidr": "::/0"}], id="an address"
        ),
        pytest.param(
            "fd00::1/128", [{"cidr": "0.0.0.0/0"}, {"cidr": "::/0", "except": ["fd00::1/128"]}], id="one of IPv6"
        ),
    ],
)
def test_only_the_coordinator_reaches_the_api_server(program: Path, cidr: str, blocks: list[Manifest]) -> None:
    """Once it is said where that is; the artifacts' storage, on the same port, is reached by all."""
    objects = rendered(program, {"networkPolicy": {"apiServer": {"cidr": cidr, "ports": [443, 6443]}}})
    policies = {one["metadata"]["name"]: one["spec"]["egress"] for one in objects if one["kind"] == "NetworkPolicy"}
    assert len(policies) == 4
    for name, (anywhere, but_there, *more) in policies.items():
        assert [one["port"] for one in anywhere["ports"]] == [53, 53, 5432, 6432, 6379]
        assert "to" not in anywhere
        assert but_there == {
            "to": [{"ipBlock": block} for block in blocks],
            "ports": [{"port": 443, "protocol": "TCP"}],
        }
        assert [rule["to"] for rule in more] == ([[{"ipBlock": {"cidr": cidr}}]] if name == "tuner-coordinator" else [])
    for one in objects:
        kubernetes_validate.validate(one, VERSIONS[0], strict=True)


def test_a_single_replica_can_be_drained(everything: list[Manifest], installed: list[Manifest]) -> None:
    """A rule about disruptions comes with a second replica."""
    assert {one["metadata"]["name"] for one in everything if one["kind"] == "PodDisruptionBudget"} == {
        "tuner-coordinator",
        "tuner-serve",
    }
    assert [one for one in installed if one["kind"] == "PodDisruptionBudget"] == []


def test_a_changed_migration_is_another_job(program: Path) -> None:
    """A Job cannot be changed, so that an upgrade with another image would be refused."""
    names = {
        one["metadata"]["name"]
        for tag in ("1", "2")
        for one in rendered(program, {"image": {"tag": tag}})
        if one["kind"] == "Job"
    }
    assert len(names) == 2


@pytest.mark.parametrize(
    ("option", "message"),
    [
        pytest.param("coordinater.replicas=1", "coordinater", id="a misspelt part"),
        pytest.param("coordinator.replica=2", "replica", id="a misspelt field"),
        pytest.param("coordinator.replicas=two", "replicas", id="a number in words"),
        pytest.param("image.digest=latest", "digest", id="no digest"),
        pytest.param("serve.resources.limit.memory=1Gi", "limit", id="a misspelt limit"),
        pytest.param("networkPolicy.apiServer.cidr=everywhere", "cidr", id="no network"),
    ],
)
def test_wrong_values_are_refused(program: Path, option: str, message: str) -> None:
    """By the schema, before anything is rendered."""
    with pytest.raises(subprocess.CalledProcessError) as refused:
        helm.template(program, "--set", option)
    assert message in refused.value.stderr


def test_an_overlay_moves_everything(tmp_path: Path) -> None:
    """Another namespace reaches the subjects of bindings too, and another image every pod."""
    overlay = {
        "resources": ["deploy"],
        "namespace": "research",
        "images": [{"name": "tuner-coordinator", "newName": "registry.example/tuner", "newTag": "2"}],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    (tmp_path / "deploy").mkdir()
    for path in (helm.INSTALL, helm.INSTALL.with_name("kustomization.yaml")):
        (tmp_path / "deploy" / path.name).write_bytes(path.read_bytes())
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run([kubectl, "kustomize", tmp_path], capture_output=True, text=True, check=True)
    objects = list(yaml.safe_load_all(done.stdout))
    assert {one["metadata"]["namespace"] for one in objects} == {"research"}
    (binding,) = (one for one in objects if one["kind"] == "RoleBinding")
    assert binding["subjects"][0]["namespace"] == "research"
    assert {pod["containers"][0]["image"] for pod in pods(objects)} == {"registry.example/tuner:2"}
