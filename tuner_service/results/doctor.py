"""What is wrong with this machine and this storage, looked at without changing either."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

from tuner_service.errors import SchemaError, SchemaVersionError, TunerServiceError, how_to_install
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.training.backend import default
from tuner_service.training.provenance import versions
from tuner_service.worker.machine import cores, gpus


@dataclass(frozen=True)
class Reading:
    """One thing that was looked at."""

    what: str
    found: str
    good: bool | None  #: None: worth knowing, neither right nor wrong


def examine(connect: Callable[[], LedgerStorage]) -> list[Reading]:
    """Return what was found, the machine first."""
    return [*_packages(), *_machine(), *_storage(connect)]


def _packages() -> list[Reading]:
    found = versions(("python", "tuner-service", "optuna", "keras", "tensorflow", "jax"))
    backend = default(os.environ)
    # Without Keras it is a machine that trains nothing, a coordinator's for instance.
    needed = {"tuner-service", "optuna", *([backend] if "keras" in found else [])}
    readings = [Reading("python", found["python"], good=True)]
    for package in ("tuner-service", "optuna", "keras", "tensorflow", "jax"):
        if package in found:
            readings.append(Reading(package, found[package], good=True))
            continue
        why = {"keras": "nothing can be trained here", "jax": "needed for --backend jax"}.get(package)
        hint = how_to_install("jax" if package == "jax" else "")
        text = f"not installed{f': {why}' if why else ''}; {hint}"
        readings.append(Reading(package, text, good=False if package in needed else None))
    return [*readings, Reading("Keras' backend", f"{backend}, where a study says no other", good=None)]


def _machine() -> list[Reading]:
    devices = gpus(os.environ)
    free = shutil.disk_usage(tempfile.gettempdir()).free / 2**30
    readings = [
        Reading("cores", str(cores()), good=True),
        Reading("GPUs", ", ".join(devices) or "none: trials train on the cores, one thread a slot", good=True),
        Reading("free space for trials", f"{free:.1f} GiB in {tempfile.gettempdir()}", good=free > 1),
    ]
    if platform.system() != "Linux":
        readings.append(Reading("system", f"{platform.system()}: only Linux is supported", good=False))
    if os.geteuid() == 0:
        found = "root: a study's code could read a worker's memory, with the storage's password in it"
        readings.append(Reading("user", found, good=None))
    return readings


def _storage(connect: Callable[[], LedgerStorage]) -> list[Reading]:
    try:
        ledger = connect()
    except TunerServiceError as error:
        return [Reading("storage", str(error), good=False)]
    try:
        ledger.check_tables()
        studies = ledger.studies()
        now = ledger.now()
        alive = [one for study in studies for one in ledger.workers(study.study_id) if one.alive(now)]
        found = f"studies: {len(studies)}, workers alive: {len(alive)}"
        return [Reading("storage", found, good=True)]
    except SchemaVersionError as error:
        return [Reading("storage", str(error), good=False)]
    except SchemaError as error:
        return [Reading("storage", str(error), good=None)]
    except TunerServiceError as error:
        return [Reading("storage", str(error), good=False)]
    finally:
        ledger.close()
