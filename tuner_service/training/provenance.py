"""Looking at what a training depends on: packages, precision, data, device, the repository of the study's code."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tuner_service.domain.provenance import Provenance
from tuner_service.training.data import Data
from tuner_service.training.data_rules import arrays

#: Bytes of the data that the digest is taken of, and pieces that they lie in where an array has more: a quarter of a
#: second, however large the data is.
_MOST_BYTES, _PIECES = 256 * 1024**2, 64

#: Builds of one package under other names: what they compute is the same.
_BUILDS = {"tensorflow-cpu": "tensorflow"}

#: Longest time that git may take to look at a repository, in seconds.
_GIT_S = 10.0


def look(path: Path, data: Data | None) -> Provenance:
    """Return what a study file's trials will depend on; its code was imported and its networks were built before."""
    commit, dirty = _repository(path)
    return Provenance(
        platform=platform.platform(),
        host=socket.gethostname(),
        packages=_loaded_packages(),
        precision=_precision(),
        data=None if data is None else data_digest(data),
        parts={} if data is None else _parts(data),
        commit=commit,
        dirty=dirty,
    )


def versions(packages: Collection[str]) -> dict[str, str]:
    """Return the versions of packages that are installed here; "python" is one of them.

    A build under another name, such as ``tensorflow-cpu``, counts as the package.
    """
    found = {"python": platform.python_version()} if "python" in packages else {}
    for name in packages:
        builds = (name, *(build for build, package in _BUILDS.items() if package == name))
        for build in builds:
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                found.setdefault(name, importlib.metadata.version(build))
    return found


def data_digest(data: Data, *, most_bytes: int = _MOST_BYTES) -> str | None:
    """Return 16 hexadecimal digits that change with the arrays of the data; ``None`` where it has none.

    Of more than ``most_bytes`` evenly spaced pieces count, with the shape of all. Datasets and generators, which are
    read as they are needed, are left out.
    """
    named = {
        f"{part}.{name}": array
        for part in ("train", "validation", "test")
        for name, array in arrays(getattr(data, part)).items()
    }
    if data.groups is not None:
        named["groups"] = np.asarray(data.groups)
    if not named:
        return None
    share = most_bytes / max(sum(array.nbytes for array in named.values()), 1)
    digest = hashlib.blake2b(digest_size=8)
    for name, array in named.items():
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        for piece in [array] if share >= 1 else _pieces(array, share):
            digest.update(_bytes(piece))
    return digest.hexdigest()


def _pieces(array: np.ndarray[Any, Any], share: float) -> list[np.ndarray[Any, Any]]:
    rows = len(array)
    height = max(int(rows * share) // _PIECES, 1)
    starts = sorted({int(start) for start in np.linspace(0, max(rows - height, 0), _PIECES)})
    return [array[start : start + height] for start in starts]


def _bytes(array: np.ndarray[Any, Any]) -> bytes:
    # An array of objects has their addresses in memory.
    return repr(array.tolist()).encode() if array.dtype.kind == "O" else array.tobytes()


def device_name(visible: str) -> str:
    """Return the name of what this process trains on, which may have used it: the first GPU, or else the processor."""
    if visible != "-1" and (gpu := _gpu_name()):
        return gpu
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def _gpu_name() -> str | None:
    if "keras" not in sys.modules:
        return None
    import keras

    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            for gpu in tf.config.list_physical_devices("GPU"):
                return str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name))
        case "jax":
            import jax

            for device in jax.local_devices():
                return None if device.platform == "cpu" else str(device.device_kind)
    return None


def _loaded_packages() -> dict[str, str]:
    """Return the versions of the packages that this process has imported something of."""
    loaded = {name.partition(".")[0] for name in sys.modules}
    owners = {owner for module, owners in _owners().items() if module in loaded for owner in owners}
    found = {_BUILDS.get(owner, owner) for owner in owners}
    return versions(["python", *sorted({*found, "tuner-service"}, key=str.lower)])


def _owners() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _precision() -> str | None:
    if "keras" not in sys.modules:
        return None
    import keras

    return str(keras.config.dtype_policy().name)


def _parts(data: Data) -> dict[str, str]:
    """Return in words what the parts of the data are made of.

    >>> _parts(Data((np.zeros((3, 2)), np.zeros(3, int))))
    {'train': '3 rows: x float64 (2), y int64'}
    """
    said = {}
    for name in ("train", "validation", "test"):
        part = getattr(data, name)
        named = arrays(part)
        if named:
            rows = len(next(iter(named.values())))
            each = (f"{key} {array.dtype}{_shape(array.shape[1:])}" for key, array in named.items())
            said[name] = f"{rows} rows: {', '.join(each)}"
        elif part is not None:
            said[name] = type(part).__name__
    return said


def _shape(shape: tuple[int, ...]) -> str:
    return f" ({', '.join(map(str, shape))})" if shape else ""


def _repository(path: Path) -> tuple[str | None, bool | None]:
    """Return the commit of the repository that a file lies in, and whether something there is not committed."""
    commit = _git(path, "rev-parse", "HEAD")
    if not commit:
        return None, None
    changed = _git(path, "status", "--porcelain", "--untracked-files=no")
    is_tracked = _git(path, "ls-files", "--", path.name)
    return commit, None if changed is None else bool(changed) or not is_tracked


def _git(path: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(path.parent.resolve()), *arguments]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(  # git is looked for where the user's shell would
            command, capture_output=True, text=True, timeout=_GIT_S, check=False, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
