"""What is wrong with this machine and this storage, looked at without changing either."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from tuner_service.errors import SchemaError, SchemaVersionError, TunerServiceError, how_to_install
from tuner_service.storage.ledger_storage import LedgerStorage
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
    readings = [Reading("python", platform.python_version(), good=True)]
    for package in ("tuner-service", "optuna", "keras", "tensorflow"):
        try:
            readings.append(Reading(package, version(package), good=True))
        except PackageNotFoundError:
            readings.append(Reading(package, f"not installed; {how_to_install()}", good=False))
    readings += [
        Reading("jax", _version("jax") or f"not installed; for --backend jax {how_to_install('jax')}", good=None),
        Reading(
            "Keras' backend", os.environ.get("KERAS_BACKEND") or "tensorflow, where a study says no other", good=None
        ),
    ]
    return readings


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


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
