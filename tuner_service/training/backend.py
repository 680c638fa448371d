"""What Keras computes with: chosen before Keras is imported, set up by environment variables."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from tuner_service.domain.engine import Backend
from tuner_service.domain.spec import StudySpec
from tuner_service.errors import BackendError, OtherBackendError, how_to_install

#: One thread for each slot: two small networks side by side beat one that is spread over two threads.
_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}

#: Largest size of the folder of compiled programs, in bytes; the programs that nobody used for longest go first.
_CACHE_BYTES = 2 * 1024**3


def choose(backend: Backend | None) -> None:
    """Have this process, which has not imported Keras, and its children compute with a backend.

    Raises:
        BackendError: If it is not installed.
    """
    if backend is None:
        return
    if importlib.util.find_spec(backend) is None:
        raise BackendError(
            f"the study computes with {backend}, which is not installed here; "
            f"{how_to_install(backend)}, or choose another with --backend"
        )
    os.environ["KERAS_BACKEND"] = backend


def default(environment: Mapping[str, str]) -> str:
    """Return what Keras takes where nobody has chosen: what keras/src/backend/config.py reads, in its order."""
    if chosen := environment.get("KERAS_BACKEND"):
        return chosen
    folder = Path(environment.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        found = json.loads((folder / "keras.json").read_text()).get("backend", "tensorflow")
    except (OSError, ValueError):
        return "tensorflow"
    return str(found)


def settled(spec: StudySpec) -> StudySpec:
    """Return a specification with the backend that its file was loaded with; as it is where that imports no Keras.

    Raises:
        OtherBackendError: If it says another one; the file is to be loaded again in a new process.
        BackendError: If Keras computes with something that is not known here.
    """
    if "keras" not in sys.modules:
        return spec
    import keras

    used = keras.backend.backend()
    if spec.backend is None and used in ("tensorflow", "jax"):
        return spec.model_copy(update={"backend": used})
    if spec.backend is None:
        raise BackendError(f"Keras computes with {used} here; set KERAS_BACKEND to tensorflow or jax, or --backend")
    if spec.backend != used:
        raise OtherBackendError(spec.backend)
    return spec


def settings(environment: Mapping[str, str], *, uses_gpus: bool) -> dict[str, str]:
    """Return the variables that are to be set for the processes that train, beside what the user has set."""
    found = {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # A child's memory belongs to it alone; the default of both takes the whole GPU.
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        # What one child has compiled the next one finds, small programs too.
        "JAX_COMPILATION_CACHE_DIR": str(_programs_folder(environment)),
        "JAX_COMPILATION_CACHE_MAX_SIZE": str(_CACHE_BYTES),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    if not uses_gpus:
        found |= {**_ONE_THREAD, "JAX_PLATFORMS": "cpu"}
    return {name: value for name, value in found.items() if name not in environment}


def _programs_folder(environment: Mapping[str, str]) -> Path:
    # Programs are of one kind of processor, and home folders are shared by machines.
    caches = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "tuner-service" / "jax" / socket.gethostname()
