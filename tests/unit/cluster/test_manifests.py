"""Workers as Kubernetes' objects: valid for every supported version, and right where a schema does not look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tuner_service.cluster.manifests import POOL_ANNOTATION, Manifest, overlay, render
from tuner_service.cluster.pool import StudyCode, WorkerPool, pack_code
from tuner_service.errors import ClusterError, SpecError

VERSIONS = ["1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37"]
CODE = StudyCode(file="digits_mlp.py", digest="0123456789abcdef", sources={"digits_mlp.py": "spec = 1"})


def pool(**fields: object) -> WorkerPool:
    """Return a pool with these fields."""
    return WorkerPool.check(
        **{"study": "digits-mlp", "image": "registry.example/worker@sha256:0", "workers": 4, **fields}
    )


POOLS = [
    pytest.param(pool(), id="on cores, the code in the image"),
    pytest.param(pool(code=CODE, gpus=2), id="on GPUs, the code sent along"),
    pytest.param(pool(queue="research", gpus=1, gpu_resource="nvidia.com/mig-1g.10gb"), id="MIG slices in a queue"),
    pytest.param(
        pool(template={"spec": {"priorityClassName": "low", "nodeSelector": {"spot": "true"}}}), id="with a profile"
    ),
]


def job(**fields: object) -> Manifest:
    """Return the one Job of a pool."""
    (found,) = [one for one in render(pool(**fields)) if one["kind"] == "Job"]
    return found


def pod(**fields: object) -> dict[str, Any]:
    """Return the pod's specification in it."""
    spec: dict[str, Any] = job(**fields)["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("version", VERSIONS)
def test_objects_are_valid(version: str) -> None:
    """Strictly: an unknown field is an error."""
    richest = pool(code=CODE, gpus=2, queue="research", workers=1, template={"spec": {"priorityClassName": "low"}})
    for manifest in render(richest):
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("asked", POOLS)
def test_a_job_keeps_the_rules_that_schemas_do_not_know(asked: WorkerPool) -> None:
    """What the API server would answer with 422."""
    for manifest in render(asked):
        if manifest["kind"] != "Job":
            continue
        spec = manifest["spec"]
        assert spec["completionMode"] == "Indexed"  # needed by backoffLimitPerIndex
        assert spec["completions"] == spec["parallelism"]  # needed for scaling
        assert spec["template"]["spec"]["restartPolicy"] == "Never"  # needed by podFailurePolicy
        assert spec["podReplacementPolicy"] == "Failed"  # the only one beside podFailurePolicy
        for rule in spec["podFailurePolicy"]["rules"]:
            codes = rule.get("onExitCodes", {"values": [1]})["values"]
            assert codes == sorted(set(codes))
            assert 0 not in codes
            assert ("onExitCodes" in rule) != ("onPodConditions" in rule)
        index = spec["completions"] - 1
        assert len(f"{manifest['metadata']['name']}-{index}-abcde") <= 63


def test_disruptions_cost_no_retry_and_mistakes_end_the_job() -> None:
    """The first rule that matches decides; every other exit counts against its index."""
    rules = job()["spec"]["podFailurePolicy"]["rules"]
    assert [
        (rule["action"], rule.get("onExitCodes", {}).get("values", rule.get("onPodConditions"))) for rule in rules
    ] == [("Ignore", [{"type": "DisruptionTarget", "status": "True"}]), ("Ignore", [75, 143]), ("FailJob", [78])]
    assert job()["spec"]["backoffLimitPerIndex"] == 3


def test_pods_are_restricted() -> None:
    """As the Pod Security Standard of that name wants it, and without a way to the API."""
    spec = pod()
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert {kind for volume in spec["volumes"] for kind in volume} - {"name"} <= {"emptyDir", "secret", "configMap"}


def test_secrets_are_mounted_files() -> None:
    """None is in the environment or the arguments, and none is spelt out."""
    (container,) = pod()["containers"]
    assert all("secretKeyRef" not in json.dumps(one) for one in container["env"])
    assert {"name": "TUNER_STORAGE_FILE", "value": "/secrets/storage/url"} in container["env"]
    assert {"name": "storage", "secret": {"secretName": "tuner-storage", "defaultMode": 0o440}} in pod()["volumes"]


def test_resources_are_requested_as_they_are_used() -> None:
    """GPUs and memory with a limit, cores without one."""
    (container,) = pod(gpus=2, cpu="6", memory="48Gi", disk="20Gi")["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "6", "memory": "48Gi", "ephemeral-storage": "20Gi"},
        "limits": {"memory": "48Gi", "nvidia.com/gpu": 2},
    }


@pytest.mark.parametrize(
    ("fields", "slots"),
    [
        pytest.param({"gpus": 2, "cpu": "16"}, 2, id="one a GPU"),
        pytest.param({"gpus": 2, "slots_per_gpu": 4}, 8, id="several a GPU"),
        pytest.param({"cpu": "4"}, 4, id="one a core"),
        pytest.param({"cpu": "2500m"}, 2, id="a whole core"),
        pytest.param({"cpu": "500m"}, 1, id="at least one"),
    ],
)
def test_slots_follow_the_resources(fields: dict[str, object], slots: int) -> None:
    """They are said, because without a limit a container sees all cores of its node."""
    (container,) = pod(**fields)["containers"]
    assert container["args"][container["args"].index("--slots") + 1] == str(slots)


def test_beats_are_said() -> None:
    """Hundreds of workers beat less often; a lease that they would lose alive is refused before any is sent."""
    (container,) = pod(beat_s=30, lease_s=180)["containers"]
    assert container["args"][-4:] == ["--beat", "30", "--lease", "180"]
    with pytest.raises(SpecError, match="a lease of 60 s is shorter than two beats of 40 s"):
        pool(beat_s=40)


def test_under_a_queue_every_worker_is_a_job() -> None:
    """Kueue preempts a Job as a whole; it alone suspends and resumes."""
    jobs = render(pool(queue="research"))
    assert [one["metadata"]["name"] for one in jobs] == [f"tuner-digits-mlp-{index}" for index in range(4)]
    for one in jobs:
        assert one["spec"]["completions"] == 1
        assert one["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "research"
        assert "suspend" not in one["spec"]


def test_code_is_pinned(tmp_path: Path) -> None:
    """Other code is another ConfigMap, which cannot be changed; modules beside the file go along."""
    (tmp_path / "small.py").write_text("UNITS = 8\n")
    (tmp_path / "other.py").write_text("")
    path = tmp_path / "digits_mlp.py"
    names = []
    for units in ("small.UNITS", "2 * small.UNITS"):
        path.write_text(f"import small\nunits = {units}\n")
        code_map, found = render(pool(code=pack_code(path)))
        assert code_map["immutable"] is True
        assert set(code_map["data"]) == {"digits_mlp.py", "small.py"}
        mounted = {one["name"]: one for one in found["spec"]["template"]["spec"]["volumes"]}["studies"]
        assert mounted["configMap"]["name"] == code_map["metadata"]["name"]
        names.append(code_map["metadata"]["name"])
    assert len(set(names)) == 2


def test_code_in_folders_belongs_into_the_image(tmp_path: Path) -> None:
    """A ConfigMap has none."""
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "__init__.py").write_text("")
    (tmp_path / "digits_mlp.py").write_text("import nets\n")
    with pytest.raises(ClusterError, match=r"nets/__init__.py.* --in-image"):
        pack_code(tmp_path / "digits_mlp.py")


@pytest.mark.parametrize(
    "study", ["Digits.MLP", "a_b", "x" * 100, "x" * 99 + "y"], ids=["capitals", "underscore", "long", "as long"]
)
def test_names_fit_and_differ(study: str) -> None:
    """Whatever a study is called, its Job has a name of Kubernetes' kind, and no other study's."""
    name = pool(study=study).name
    assert len(name) <= 46
    assert name == name.lower()
    assert name not in {pool(study=other).name for other in ("digits-mlp", "a-b", "x" * 98)}


def test_a_pool_can_be_rendered_again() -> None:
    """From what its Job keeps, so that scaling needs no file."""
    made = job(code=CODE, gpus=1)
    kept = json.loads(made["metadata"]["annotations"][POOL_ANNOTATION])
    kept["code"]["sources"] = {}
    assert render(WorkerPool.check(**kept))[1] == made


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param({"workers": 0}, "workers: .* greater than 0, got 0", id="no worker"),
        pytest.param({"memory": "lots"}, "memory: .* got 'lots'", id="memory in words"),
        pytest.param({"namespace": "A"}, "namespace: .* got 'A'", id="a namespace in capitals"),
        pytest.param({"gpus": -1}, "gpus: .* got -1", id="less than no GPU"),
    ],
)
def test_wrong_fields_are_told(fields: dict[str, object], message: str) -> None:
    """With what was received."""
    with pytest.raises(ClusterError, match=message):
        pool(**fields)


def test_a_profile_is_laid_over() -> None:
    """What an admin's template names replaces or joins; the rest stays."""
    template = {
        "metadata": {"labels": {"team": "vision"}},
        "spec": {
            "tolerations": [{"key": "spot", "operator": "Exists"}],
            "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Ti"}}, {"name": "data", "emptyDir": {}}],
            "containers": [{"name": "worker", "env": [{"name": "AWS_REGION", "value": "eu-west-1"}]}],
        },
    }
    found = job(gpus=1, template=template)["spec"]["template"]
    assert found["metadata"]["labels"]["team"] == "vision"
    assert found["metadata"]["labels"]["app.kubernetes.io/name"] == "tuner-worker"
    assert [one["key"] for one in found["spec"]["tolerations"]] == ["nvidia.com/gpu", "spot"]
    volumes = {one["name"]: one for one in found["spec"]["volumes"]}
    assert volumes["tmp"]["emptyDir"]["sizeLimit"] == "1Ti"
    assert {"shm", "storage", "data"} <= volumes.keys()
    (container,) = found["spec"]["containers"]
    assert [one["name"] for one in container["env"]] == ["POD_NAME", "TUNER_STORAGE_FILE", "AWS_REGION"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param({"restartPolicy": "OnFailure"}, "restartPolicy must be Never", id="restarted in place"),
        pytest.param({"terminationGracePeriodSeconds": 5}, "must be 30 or more", id="no time to save"),
        pytest.param({"automountServiceAccountToken": True}, "must not reach the API", id="a way to the API"),
    ],
)
def test_a_profile_cannot_break_what_workers_rely_on(spec: dict[str, object], message: str) -> None:
    """It is refused before anything is sent."""
    with pytest.raises(ClusterError, match=message):
        job(template={"spec": spec})


def test_an_overlay_leaves_both_as_they_were() -> None:
    """It makes a third."""
    ours: dict[str, Any] = {"a": [{"name": "x", "v": 1}], "b": [1]}
    theirs: dict[str, Any] = {"a": [{"name": "x", "w": 2}], "b": [1, 2], "c": {}}
    assert overlay(ours, theirs) == {"a": [{"name": "x", "v": 1, "w": 2}], "b": [1, 2], "c": {}}
    assert (ours, theirs) == (
        {"a": [{"name": "x", "v": 1}], "b": [1]},
        {"a": [{"name": "x", "w": 2}], "b": [1, 2], "c": {}},
    )
