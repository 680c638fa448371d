"""What runs until it is done: a study with workers of this machine, one worker, a server."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tuner_service import bootstrap
from tuner_service.coordinator.local_workers import LocalWorkers
from tuner_service.coordinator.studies import Created, asked_backend, create
from tuner_service.domain.study import StudyRecord
from tuner_service.errors import ServeError, how_to_install
from tuner_service.ledger.patience import patiently
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.training.backend import default
from tuner_service.worker.machine import gpus, shares, slot_devices
from tuner_service.worker.settings import WorkerSettings, new_worker_id


def run(
    path: Path,
    *,
    storage: str | None = None,
    workers: int = 1,
    slots: int | None = None,
    slots_per_gpu: int = 1,
    changes: Sequence[Mapping[str, object]] = (),
    artifacts: str | None = None,
    accept_code: bool = False,
    command: str = "",
    created: Callable[[Created], None] = lambda _: None,
    follow: Callable[[LedgerStorage, str, Callable[[], None]], object] | None = None,
) -> StudyRecord:
    """Create or continue a study, work on it with processes of this machine until it has ended, and return it.

    Args:
        path: The study file.
        storage: Where the study is kept; see ``storage_url``.
        workers: Worker processes.
        slots: Trials at a time in each; by default the GPUs, or the cores, shared by the workers.
        slots_per_gpu: Trials on each GPU at a time; not with ``slots``.
        changes: Fields that replace those of the file's specification, later ones last.
        artifacts: Where curves and models are kept; see ``artifacts_url``.
        accept_code: Let a study go on with code that has changed.
        command: What the user typed, without secrets, to be recorded.
        created: Called once the study is there.
        follow: Shows the study until it has ended: called with the storage, the study's name and a function to call
            every second or so, which looks after the workers. By default nothing is shown.

    Raises:
        TunerServiceError: As ``create`` does, or if the workers cannot work.
        KeyboardInterrupt: On Ctrl-C, after the workers have handed back what they ran; calling it again continues.
    """
    url = bootstrap.storage_url(storage)
    ledger = bootstrap.open_storage(url)
    where = bootstrap.artifacts_url(artifacts)
    visible = gpus(os.environ)
    here = len(slot_devices(slots, visible, slots_per_gpu))
    of_gpus = slots is None and workers <= len(visible)
    size = ["--slots-per-gpu", slots_per_gpu] if of_gpus else ["--slots", slots or max(1, here // workers)]
    arguments = ["--studies", str(path.resolve().parent), *map(str, size)]
    secrets = bootstrap.handed_to_worker(url)
    backend = asked_backend(changes) or default(os.environ)
    with LocalWorkers(
        ledger,
        path.resolve(),
        arguments,
        workers=workers,
        secrets=secrets,
        backend=backend,
        devices=shares(visible, workers),
    ) as local:
        made = create(ledger, path, changes=changes, artifacts=where, accept_code=accept_code, command=command)
        created(made)
        name = made.study.name
        if made.study.ending is None:
            local.begin(made.study)
            (follow or _wait)(ledger, name, local.look_after)
    return ledger.study(name)


def run_worker(
    storage: LedgerStorage,
    name: str,
    *,
    studies: Path,
    load: Path | None = None,
    slots: int | None = None,
    slots_per_gpu: int = 1,
    worker_id: str | None = None,
    beat_s: float = WorkerSettings.beat_s,
    lease_s: float = WorkerSettings.lease_s,
    wait_s: float = WorkerSettings.wait_s,
) -> bool:
    """Train trials of a study, from the main thread, and return whether the study has ended.

    SIGTERM and Ctrl-C have it hand back what it runs and return; a storage that is away is waited for.

    Args:
        storage: Where the study is.
        name: The study.
        studies: Folder with the study file.
        load: A study file to load before there is the study, whose name is then read from the standard input.
        slots: Trials at a time; by default one a GPU, or one a core.
        slots_per_gpu: Trials on each GPU at a time; not with ``slots``.
        worker_id: An id that no other worker has; by default host, process, a random part.
        beat_s: Seconds from one sign of life to the next.
        lease_s: Seconds without one after which its trials are given away.
        wait_s: Seconds to wait for the storage and the study.

    Raises:
        TunerServiceError: If the study, its file or its artifacts are not what this worker was told; it has claimed
            nothing then.
    """
    # Here, not above: with it comes half of the worker's room, for which `run` need not wait.
    from tuner_service.worker.supervisor import Supervisor

    settings = WorkerSettings(
        study=name,
        studies=studies,
        file=load,
        devices=slot_devices(slots, gpus(os.environ), slots_per_gpu),
        worker_id=worker_id or new_worker_id(),
        beat_s=beat_s,
        lease_s=lease_s,
        wait_s=wait_s,
    )
    return Supervisor(storage, settings, live=bootstrap.live_metrics(), notifier=bootstrap.notifier(storage)).run()


def run_server(
    storage: str | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    token_file: Path | None = None,
    users_file: Path | None = None,
    writers: Sequence[str] = (),
    trusted_proxy: str = "127.0.0.1,::1",
    started: Callable[[str], object] = lambda _: None,
) -> None:
    """Serve a dashboard, metrics for Prometheus and a read API on one port, until SIGTERM or Ctrl-C.

    Args:
        storage: Where the studies are; see ``storage_url``.
        host: Where to listen; with no login only on this machine.
        port: The port; 0 takes a free one.
        token_file: File with the token that opens it; by default ``$TUNER_SERVE_TOKEN_FILE``.
        users_file: File with a line NAME:PASSWORD for each user; by default ``$TUNER_SERVE_USERS_FILE``.
        writers: Users who may write through the dashboard; all others look.
        trusted_proxy: Addresses of reverse proxies, with commas, or ``*``.
        started: Called with its address before the first request.

    Raises:
        ServeError: If a package is missing, a file cannot be read, or the address cannot be used.
    """
    try:
        from tuner_service.serve.app import make_app
        from tuner_service.serve.server import listen, serve, url_of
        from tuner_service.serve.users import read_users
    except ModuleNotFoundError as error:
        raise ServeError(f"{error.name} is not installed: {how_to_install('serve')}") from None

    users = read_users(*bootstrap.login_files(token_file, users_file), writers)
    listener = listen(host, port, login=users is not None)
    reading = bootstrap.open_storage(storage, reads_only=True)
    writing = bootstrap.open_storage(storage).optuna_storage if writers else None
    login = "without a login, for this machine only" if users is None else "behind a login"
    serve(
        make_app(reading, users, writing, bootstrap.live_metrics()),
        listener,
        trusted_proxy=trusted_proxy,
        started=lambda: started(f"{url_of(listener)}, {login}"),
    )


def _wait(ledger: LedgerStorage, name: str, look_after: Callable[[], None]) -> None:
    while patiently(lambda: ledger.study(name)).ending is None:
        look_after()
        time.sleep(1.0)
