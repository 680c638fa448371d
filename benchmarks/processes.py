"""Whole processes, timed from their start to their end: this service's ``tuner run``, and the peers' scripts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tuner_service import open_storage
from tuner_service.results.trials import front

ROOT = Path(__file__).resolve().parent.parent
STUDIES = (ROOT / "studies", ROOT / "benchmarks" / "studies")
BACKENDS = ("tensorflow", "jax")


@dataclass(frozen=True)
class Run:
    """What a process took, and what it came to."""

    seconds: float
    best: float


class FailedRunError(Exception):
    """A process that was to be measured has failed."""


def environment(backend: str, folder: Path, idx: Path | None, *, gpu: bool = False) -> dict[str, str]:
    """Return the environment of a measured process: the studies' modules, and no cache from a run before."""
    made = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "JAX_COMPILATION_CACHE_DIR": str(folder / "jax-cache"),
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, *STUDIES))),
    }
    if not gpu:
        made |= {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    return made if idx is None else {**made, "TUNER_IDX_DIR": str(idx)}


def run_peer(module: str, arguments: Sequence[object], *, backend: str, idx: Path | None = None) -> Run:
    """Run one of ``benchmarks.peers``, which prints its best value as JSON at last."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        command = [sys.executable, "-m", f"benchmarks.peers.{module}", *map(str, arguments)]
        seconds, printed = _timed(command, Path(folder), environment(backend, Path(folder), idx))
        return Run(seconds, float(json.loads(printed.strip().splitlines()[-1])["best"]))


def run_tuner(
    study: str,
    changes: Mapping[str, object],
    *,
    backend: str,
    idx: Path | None = None,
    gpu: bool = False,
    options: Sequence[str] = (),
) -> Run:
    """Run ``tuner run`` on a study of these folders, with these fields changed, on a fresh database."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        (folder / "changes.yaml").write_text(yaml.safe_dump({**changes, "backend": backend}))
        storage = f"sqlite:///{folder}/tuner.db"
        (file,) = (str(path) for where in STUDIES if (path := where / f"{study}.py").exists())
        command = [sys.executable, "-m", "tuner_service", "run", file, "--storage", storage, *options]
        variables = environment(backend, folder, idx, gpu=gpu)
        seconds, _ = _timed([*command, "--config", "changes.yaml"], folder, variables)
        ledger = open_storage(storage)
        (record,) = ledger.studies()
        (best, *_) = front(ledger, record.name)
        ledger.close()
        if best.trial.attempt.value is None:
            raise FailedRunError(f"{study}: the best trial has no value")
        return Run(seconds, best.trial.attempt.value)


def _timed(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> tuple[float, str]:
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        logs = "\n".join(log.read_text(errors="replace")[-2000:] for log in folder.glob("*.log"))
        raise FailedRunError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-4000:]}\n{logs}")
    return seconds, done.stdout
