"""What this machine offers to trials: cores and GPUs, as far as this process may use them."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tuner_service.errors import SpecError

#: CUDA_VISIBLE_DEVICES for a process that is to use no GPU.
NO_GPU = "-1"


def cores() -> int:
    """Return how many cores this process may use, by its affinity and its container's limit, at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, _container_cores() or allowed))


def _container_cores(limit_file: Path = Path("/sys/fs/cgroup/cpu.max")) -> int | None:
    try:
        quota, period = limit_file.read_text().split()
        return None if quota == "max" else math.ceil(int(quota) / int(period))
    except (OSError, ValueError):
        return None


def gpus(environment: Mapping[str, str]) -> list[str]:
    """Return the ids of the NVIDIA GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them.

    The driver's files are looked at, not CUDA: a process that has asked CUDA cannot fork.
    """
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        # CUDA ignores what follows the first one that is none.
        named = (one.strip() for one in visible.split(","))
        return list(itertools.takewhile(lambda one: one and not one.startswith("-"), named))
    return [str(index) for index in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]


def slot_devices(slots: int | None, available: list[str], slots_per_gpu: int = 1) -> list[str]:
    """Return CUDA_VISIBLE_DEVICES for each slot: one GPU a slot where there are GPUs, none elsewhere.

    Without a number there are so many slots for each GPU, or as many as cores. More slots than GPUs share them in turn.

    >>> slot_devices(None, ["0", "1"]), slot_devices(3, ["0", "1"]), slot_devices(2, [])
    (['0', '1'], ['0', '1', '0'], ['-1', '-1'])
    >>> slot_devices(None, ["0", "1"], 2)
    ['0', '1', '0', '1']

    Raises:
        SpecError: If both numbers are given.
    """
    if slots is not None and slots_per_gpu != 1:
        raise SpecError(
            "--slots says how many trials there are at a time, so --slots-per-gpu is not used; leave one out"
        )
    if not available:
        return [NO_GPU] * (slots or cores())
    return [available[index % len(available)] for index in range(slots or len(available) * slots_per_gpu)]


def shares(available: Sequence[str], workers: int) -> list[str]:
    """Return CUDA_VISIBLE_DEVICES for each of the workers that share the GPUs of a machine; none where there is none.

    >>> shares(["0", "1", "2"], 2), shares(["0", "1"], 3), shares([], 2)
    (['0', '1,2'], ['0', '0', '1'], [])
    """
    if not available:
        return []
    bounds = [index * len(available) // workers for index in range(workers + 1)]
    return [",".join(available[first : max(behind, first + 1)]) for first, behind in itertools.pairwise(bounds)]


def grouped(devices: Sequence[str], devices_per_trial: int) -> list[str]:
    """Return CUDA_VISIBLE_DEVICES for slots whose trials take several GPUs each, which no other slot shares.

    Fewer GPUs than a trial takes are none.

    >>> grouped(["0", "1", "2", "0"], 2), grouped(["0"], 2), grouped(["0", "0"], 1)
    (['0,1'], [], ['0', '0'])
    """
    if devices_per_trial == 1:
        return list(devices)
    found = list(dict.fromkeys(one for one in devices if one != NO_GPU))
    firsts = range(0, len(found) - devices_per_trial + 1, devices_per_trial)
    return [",".join(found[first : first + devices_per_trial]) for first in firsts]
