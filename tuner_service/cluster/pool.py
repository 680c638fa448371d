"""What somebody asks for when they submit a study: how many workers, on what, with which code."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from tuner_service.domain.spec import StudyName
from tuner_service.errors import ClusterError
from tuner_service.training import study_file
from tuner_service.worker.settings import WorkerSettings, check_lease

#: Room for an index and Kubernetes' random part in the name of a pod, which has 63 characters.
_NAME_LENGTH = 46
#: Most of what a ConfigMap holds, in bytes.
_CODE_BYTES = 900_000

_QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"


class StudyCode(BaseModel):
    """A study file on its way to the workers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str  #: its name, as the study recorded it
    digest: str  #: what the workers compare it by
    sources: Mapping[str, str]  #: its text and that of the modules beside it that it imports, by file name


class WorkerPool(BaseModel):
    """The workers of one study on a cluster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: StudyName
    image: str = Field(min_length=1)  #: the worker's; better by digest than by tag
    workers: PositiveInt = 1  #: at most, where there may be fewer
    min_workers: PositiveInt | None = None  #: the coordinator chooses from so many to `workers`; None: always `workers`
    namespace: str = Field("default", pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)
    gpus: NonNegativeInt = 0  #: of each worker
    slots_per_gpu: PositiveInt = 1  #: trials that a worker trains on each GPU at a time
    gpu_resource: str = "nvidia.com/gpu"  #: or a MIG slice, such as nvidia.com/mig-1g.10gb
    cpu: str = Field("2", pattern=_QUANTITY)  #: requested; not a limit, since a throttled trainer helps nobody
    memory: str = Field("8Gi", pattern=_QUANTITY)  #: request and limit
    disk: str = Field("8Gi", pattern=_QUANTITY)  #: below /tmp: checkpoints on their way, and what the study caches
    beat_s: PositiveFloat = WorkerSettings.beat_s  #: from one sign of life of a worker to the next
    lease_s: PositiveFloat = WorkerSettings.lease_s  #: how long a trial is a worker's without one
    queue: str | None = None  #: Kueue's LocalQueue
    storage_secret: str = "tuner-storage"  # noqa: S105 - the Secret's name; its key `url` holds the storage's URL
    code: StudyCode | None = None  #: None: the file is in the image
    studies: str = "/studies"  #: folder of the study files in the container
    template: Mapping[str, Any] = Field(default_factory=dict)  #: an admin's pod template, laid over ours

    @model_validator(mode="after")
    def _limits_in_order(self) -> Self:
        if self.min_workers is not None and self.min_workers > self.workers:
            raise ValueError(f"min_workers must be at most workers ({self.workers}), got {self.min_workers}")
        check_lease(self.lease_s, self.beat_s)
        return self

    @classmethod
    def check(cls, **fields: object) -> WorkerPool:
        """Return the pool with these fields.

        Raises:
            ClusterError: If one is out of its range; every one is named, with what was received.
            SpecError: If the lease does not outlive two beats.
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            wrong = "; ".join(
                f"{'.'.join(map(str, one['loc']))}: {one['msg'].lower()}, got {one['input']!r}"
                for one in error.errors(include_url=False)
            )
            raise ClusterError(f"workers cannot be rendered: {wrong}") from None

    @property
    def first(self) -> int:
        """How many workers there are in the beginning."""
        return self.min_workers or self.workers

    @property
    def name(self) -> str:
        """Of what it is on the cluster: short enough for its pods, and different for studies that differ."""
        plain = re.sub(r"[^a-z0-9]+", "-", self.study.lower()).strip("-")
        if plain == self.study and len(plain) <= _NAME_LENGTH - len("tuner-"):
            return f"tuner-{plain}"
        mark = hashlib.blake2b(self.study.encode(), digest_size=3).hexdigest()
        return f"tuner-{plain[: _NAME_LENGTH - len('tuner-') - 7].strip('-')}-{mark}"

    @property
    def slots(self) -> int:
        """How many trials a worker trains at a time: on its GPUs, or one a whole core."""
        if self.gpus:
            return self.gpus * self.slots_per_gpu
        cores = int(self.cpu[:-1]) / 1000 if self.cpu.endswith("m") else float(re.sub(r"[A-Za-z]+$", "", self.cpu))
        return max(1, int(cores))


def pack_code(path: Path) -> StudyCode:
    """Return a study file with the modules of its folder that it imports.

    Raises:
        StudyFileError: If there is no such file, or it is not Python.
        ClusterError: If a ConfigMap cannot hold it.
    """
    code = study_file.read_code(path)
    in_folders = sorted(name for name in code.sources if "/" in name)
    size = sum(len(text.encode()) for text in code.sources.values())
    if in_folders or size > _CODE_BYTES:
        what = f"folders ({', '.join(in_folders)})" if in_folders else f"{size} bytes of code"
        raise ClusterError(
            f"a ConfigMap cannot hold {what}; put {path.name} with what it imports into the image, and name its folder "
            "there with --in-image"
        )
    return StudyCode(file=code.file, digest=code.digest, sources=code.sources)
