"""Commands for workers on Kubernetes: render."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml

from tuner_service.cli import options as o
from tuner_service.cluster.manifests import Manifest, render
from tuner_service.cluster.pool import WorkerPool, pack_code
from tuner_service.errors import ClusterError

Image = Annotated[str, typer.Option("--image", help="The workers' image, better by digest than by tag.")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="How many pods.")]
Gpus = Annotated[int, typer.Option("--gpus", min=0, help="Of each worker, which trains a trial on each.")]
GpuResource = Annotated[
    str, typer.Option("--gpu-resource", help="What a GPU is called; a MIG slice is nvidia.com/mig-1g.10gb.")
]
Cpu = Annotated[str, typer.Option("--cpu", help="Cores requested for each.")]
Memory = Annotated[str, typer.Option("--memory", help="Of each: requested, and not more.")]
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
    gpus: Gpus = 0,
    gpu_resource: GpuResource = "nvidia.com/gpu",
    cpu: Cpu = "2",
    memory: Memory = "8Gi",
    namespace: Namespace = "default",
    queue: Queue = None,
    profile: Profile = None,
    secret: Secret = "tuner-storage",  # noqa: S107 - a name
    in_image: InImage = None,
) -> None:
    """Print what the workers of a study are on Kubernetes; neither a cluster nor the storage is asked."""
    if (file is None) == (in_image is None):
        raise ClusterError("say where the study file is: --file FILE to send it along, or --in-image DIR")
    pool = WorkerPool.check(
        study=study,
        image=image,
        workers=workers,
        gpus=gpus,
        gpu_resource=gpu_resource,
        cpu=cpu,
        memory=memory,
        namespace=namespace,
        queue=queue,
        storage_secret=secret,
        template=read_profile(profile),
        code=None if file is None else pack_code(file),
        studies=in_image or "/studies",
    )
    print_manifests(render(pool))


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
