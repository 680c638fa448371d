"""Commands for workers on Kubernetes: render, submit, scale, pods, logs."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, cast

import typer
import yaml

from tuner_service.cli import options as o
from tuner_service.cli.output import count, out, print_json, print_note, table
from tuner_service.cluster import submitting
from tuner_service.cluster.api import Cluster
from tuner_service.cluster.manifests import Manifest, render
from tuner_service.cluster.pool import StudyCode, WorkerPool, pack_code
from tuner_service.errors import ClusterError
from tuner_service.worker.settings import WorkerSettings
from tuner_service.worker.supervisor import find_study_file


class OutputFormat(StrEnum):
    """Formats of what is sent."""

    YAML = "yaml"


Image = Annotated[str, typer.Option("--image", help="The workers' image, better by digest than by tag.")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="How many pods.")]
MinWorkers = Annotated[
    int | None,
    typer.Option("--min-workers", min=1, help="Let the coordinator choose how many, from these to --workers."),
]
Gpus = Annotated[int, typer.Option("--gpus", min=0, help="GPUs for each worker.")]
GpuResource = Annotated[
    str, typer.Option("--gpu-resource", help="What a GPU is called; a MIG slice is nvidia.com/mig-1g.10gb.")
]
Cpu = Annotated[str, typer.Option("--cpu", help="Cores requested for each worker.")]
Memory = Annotated[str, typer.Option("--memory", help="Memory of each worker: request and limit.")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Where the workers run.")]
Queue = Annotated[str | None, typer.Option("--queue", help="Kueue's LocalQueue: every worker is a Job of its own.")]
Profile = Annotated[
    Path | None, typer.Option("--profile", metavar="YAML", help="A pod template that is laid over the workers' own.")
]
Secret = Annotated[str, typer.Option("--secret", help="The Secret whose key `url` holds the storage's URL.")]
InImage = Annotated[
    str | None, typer.Option("--in-image", metavar="DIR", help="The study file is in the image, in this folder.")
]


def render_(
    study: o.Study,
    image: Image,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="The study file, which goes along in a ConfigMap.")
    ] = None,
    workers: Workers = 1,
    min_workers: MinWorkers = None,
    gpus: Gpus = 0,
    gpu_resource: GpuResource = "nvidia.com/gpu",
    slots_per_gpu: o.SlotsPerGpu = 1,
    cpu: Cpu = "2",
    memory: Memory = "8Gi",
    beat_s: o.Beat = WorkerSettings.beat_s,
    lease_s: o.Lease = WorkerSettings.lease_s,
    namespace: Namespace = "default",
    queue: Queue = None,
    profile: Profile = None,
    storage_secret: Secret = "tuner-storage",  # noqa: S107 - a name
    in_image: InImage = None,
) -> None:
    """Print what the workers of a study are on Kubernetes; neither a cluster nor the storage is asked."""
    if (file is None) == (in_image is None):
        raise ClusterError("say where the study file is: --file FILE to send it along, or --in-image DIR")
    pool = _pool(locals(), None if file is None else pack_code(file))
    print_manifests(render(pool))


def submit(
    study: o.Study,
    image: Image,
    storage: o.Storage = None,
    studies: o.Studies = o.DEFAULT_STUDIES,
    workers: Workers = 1,
    min_workers: MinWorkers = None,
    gpus: Gpus = 0,
    gpu_resource: GpuResource = "nvidia.com/gpu",
    slots_per_gpu: o.SlotsPerGpu = 1,
    cpu: Cpu = "2",
    memory: Memory = "8Gi",
    beat_s: o.Beat = WorkerSettings.beat_s,
    lease_s: o.Lease = WorkerSettings.lease_s,
    namespace: Namespace = "default",
    queue: Queue = None,
    profile: Profile = None,
    storage_secret: Secret = "tuner-storage",  # noqa: S107 - a name
    in_image: InImage = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="The cluster only checks it.")] = False,
    output: Annotated[
        OutputFormat | None, typer.Option("--output", "-o", help="Print what is sent.", show_default=False)
    ] = None,
) -> None:
    """Start workers of a study on Kubernetes, with the study file whose code the study recorded."""
    record = o.connect(storage).study(study)
    code = None if in_image is not None else pack_code(find_study_file(record, studies)[0])
    pool = _pool(locals(), code)
    sent = submitting.submit(Cluster(), pool, dry_run=dry_run)
    if output is not None:
        print_manifests(sent)
    elif dry_run:
        print_note(f"{namespace} would take {count(pool.first, 'worker')} of {study}")
    else:
        print_note(f"{count(pool.first, 'worker')} of {study} in {namespace}; `tuner pods {study}` shows them")


def scale(
    study: o.Study,
    workers: Annotated[int, typer.Option("--workers", min=0, help="How many pods; with 0 the GPUs are free.")],
    min_workers: MinWorkers = None,
    namespace: Namespace = "default",
) -> None:
    """Change how many workers a study has on Kubernetes; those that go hand back what they train."""
    submitting.scale(Cluster(), study, namespace, workers, min_workers)
    number = count(workers, "worker") if min_workers is None else f"{min_workers} to {workers} workers"
    print_note(f"{study} has {number} in {namespace}")


def pods(study: o.Study, namespace: Namespace = "default", json: o.Json = False) -> None:
    """Show the workers of a study on Kubernetes, and why one does not work."""
    found = submitting.pods(Cluster(), study, namespace)
    if json:
        print_json("pods", [{"name": one.name, "state": one.state} for one in found])
    else:
        out.print(table(("pod", "state"), [(one.name, one.state) for one in found]))


def logs(
    study: o.Study,
    worker: Annotated[str | None, typer.Option("--worker", help="A pod's name or index.")] = None,
    namespace: Namespace = "default",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing until the worker ends.")] = False,
) -> None:
    """Print what a worker of a study on Kubernetes has said."""
    for piece in submitting.logs(Cluster(), study, namespace, worker=worker, follow=follow):
        print(piece, end="", flush=True)


def _pool(options: Mapping[str, object], code: StudyCode | None) -> WorkerPool:
    """Return what the options of `render` or `submit` ask for; most are called as the pool's fields are."""
    fields = {name: value for name, value in options.items() if name in WorkerPool.model_fields}
    studies = options["in_image"] or "/studies"
    profile = cast("Path | None", options["profile"])
    return WorkerPool.check(**{**fields, "template": read_profile(profile), "code": code, "studies": studies})


def read_profile(path: Path | None) -> dict[str, object]:
    """Return the pod template in a file, an empty one without a file."""
    if path is None:
        return {}
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ClusterError(f"the profile {path} cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(found, dict) or not found.keys() <= {"metadata", "spec"}:
        raise ClusterError(f"the profile {path} must be a pod template: a mapping with `metadata`, `spec` or both")
    return found


def print_manifests(manifests: list[Manifest]) -> None:
    """Print objects as ``kubectl apply -f -`` takes them."""
    print(yaml.safe_dump_all(manifests, sort_keys=False, width=120), end="")
