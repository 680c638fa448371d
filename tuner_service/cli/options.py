"""Arguments and options that commands share, and where overrides of a specification come from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tuner_service import bootstrap
from tuner_service.cli.output import print_warning
from tuner_service.domain.override import parse_assignments, parse_yaml
from tuner_service.errors import SpecError
from tuner_service.storage.ledger_storage import LedgerStorage

Storage = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="URL",
        help="sqlite:///FILE, postgresql://... or redis://...; by default $TUNER_STORAGE, then sqlite:///tuner.db.",
    ),
]
Study = Annotated[str, typer.Argument(metavar="STUDY", help="Name of the study.")]
StudyFile = Annotated[Path, typer.Argument(metavar="FILE", help="The study file, such as studies/digits_mlp.py.")]
Studies = Annotated[
    Path, typer.Option("--studies", metavar="DIR", help="Folder with the study file.", show_default=True)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Replace a field of the specification: --set trials=100."),
]
Config = Annotated[
    Path | None, typer.Option("--config", metavar="YAML", help="Replace fields of the specification by a file's.")
]
ArtifactsUrl = Annotated[
    str | None,
    typer.Option(
        "--artifacts",
        metavar="URL",
        help="Where curves and models are kept: a folder, s3://...; by default $TUNER_ARTIFACTS, then tuner-artifacts.",
    ),
]
WarmStart = Annotated[
    list[str] | None,
    typer.Option("--warm-start", metavar="STUDY", help="Try the best configurations of this earlier study first."),
]
AcceptCode = Annotated[
    bool, typer.Option("--accept-code", help="Go on although the study file's code has changed; trials record it.")
]
Baseline = Annotated[
    bool, typer.Option("--baseline", help="Try the defaults and random draws too, as study STUDY-baseline, to compare.")
]
SlotsPerGpu = Annotated[
    int,
    typer.Option(
        "--slots-per-gpu", min=1, help="Trials that share a GPU, each taking memory as it needs it; without --slots."
    ),
]
Beat = Annotated[float, typer.Option("--beat", min=0.1, help="Seconds from one sign of life to the next.")]
Lease = Annotated[
    float, typer.Option("--lease", min=0.5, help="Seconds without one after which a worker's trials are given away.")
]
Traceback = Annotated[bool, typer.Option("--traceback", help="Show the whole traceback of the study's code.")]

KerasBackend = Annotated[
    str | None,
    typer.Option("--backend", metavar="NAME", help="What Keras computes with: tensorflow or jax; --set backend=NAME."),
]

DEFAULT_STUDIES = Path("studies")


def connect(url: str | None) -> LedgerStorage:
    """Return the storage that a command works with."""
    parsed = bootstrap.storage_url(url)
    if parsed.backend == "redis":
        print_warning(
            "Redis keeps budget, claims and leases, but a server that restarts without its append-only file forgets "
            "results, and large studies are slow; PostgreSQL keeps all promises"
        )
    return bootstrap.open_storage(parsed)


def changes(
    config: Path | None, assignments: list[str] | None, warm_start: list[str] | None = None, backend: str | None = None
) -> list[dict[str, object]]:
    """Return the overrides of a specification, the file's first."""
    found = []
    if config is not None:
        try:
            found.append(parse_yaml(config.read_text(encoding="utf-8"), str(config)))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise SpecError(f"the file {config} of --config cannot be read: {reason}") from None
    found.append(parse_assignments(assignments or []))
    if warm_start:
        found.append({"warm_start": warm_start})
    if backend is not None:
        found.append({"backend": backend})
    return found
