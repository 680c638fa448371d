"""The worker process: finds the study and its file, starts the slots, and ends as it is told to."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType

from tuner_service.domain.exit_code import ExitCode
from tuner_service.domain.plural import count
from tuner_service.domain.sampler import CustomSampler
from tuner_service.domain.study import StudyRecord
from tuner_service.errors import (
    CodeChangedError,
    SchemaError,
    SchemaVersionError,
    SpecError,
    StorageError,
    StorageUnavailableError,
    StudyFileError,
    StudyNotFoundError,
)
from tuner_service.ledger.history import Histories
from tuner_service.ledger.notices import Notifier
from tuner_service.ledger.patience import patiently
from tuner_service.ledger.reconcile import reconcile
from tuner_service.search.custom import kept_in_memory
from tuner_service.storage.artifacts import Artifacts
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.storage.live import LiveMetrics
from tuner_service.training import study_file
from tuner_service.worker.device_gate import DeviceGate
from tuner_service.worker.lease import LeaseKeeper
from tuner_service.worker.machine import NO_GPU, grouped
from tuner_service.worker.outbox import Outbox
from tuner_service.worker.reconciler import Reconciler
from tuner_service.worker.scratch import Scratch
from tuner_service.worker.settings import WorkerSettings
from tuner_service.worker.slot import Slot
from tuner_service.worker.training_process import start_forkserver

_log = logging.getLogger(__name__)

#: How often is looked whether another worker lives, in seconds.
_LOOK_S = 0.5
#: Signals that come within so many seconds are one.
_ONE_SIGNAL_S = 1.0


class Supervisor:
    """One worker process. It imports no Keras and runs no user code: its children do."""

    def __init__(
        self,
        storage: LedgerStorage,
        settings: WorkerSettings,
        *,
        live: LiveMetrics | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        self._storage = storage
        self._settings = settings
        self._live = live
        self._notifier = notifier
        self._stopping = threading.Event()
        self._failure: BaseException | None = None

    def run(self) -> bool:
        """Work until the study has ended or a signal comes, and return whether it has ended.

        Raises:
            TunerServiceError: If the study, its file or its artifacts are not what this worker was told; nothing was
                claimed then.
        """
        self._listen_to_signals()
        if self._settings.file is not None:
            self._settings = replace(self._settings, study=self._load_and_wait(self._settings.file))
            if not self._settings.study:
                return False
        study = self._wait_for_study()
        if study is None:
            return False
        self._share_devices(study)
        path, digest = find_study_file(study, self._settings.studies)
        artifacts = Artifacts(study.artifacts, study.name)
        artifacts.check_probe(study.probe)
        check_alone(self._storage, study, self._settings, self._stopping)
        with Scratch() as scratch:
            scratch.remove_abandoned()
            return self._work(study, path, digest, artifacts, scratch.folder)

    def _work(self, study: StudyRecord, path: Path, digest: str, artifacts: Artifacts, scratch: Path) -> bool:
        if self._settings.file is None:
            start_forkserver(path, keras_backend=study.spec.backend, uses_gpus=self._uses_gpus)
        outbox = Outbox(self._settings.outbox, study.probe, scratch)
        outbox.deliver(self._storage, study)
        histories = Histories(self._storage)
        lease = LeaseKeeper(self._storage, study, self._settings)
        reconciler = Reconciler(self._storage, study, self._settings.beat_s, lease.beaten, histories, self._notifier)
        patiently(lease.beat)
        try:
            # Again, now that others see this one: of two that start at once, the later one goes.
            check_alone(self._storage, study, self._settings, self._stopping)
        except SpecError:
            self._storage.release(self._settings.worker_id)
            raise
        # Before there are threads: it imports half of SQLAlchemy, which another thread must not see half done.
        patiently(self._storage.optuna_storage)
        lease.start()
        reconciler.start()
        gates = {device: DeviceGate() for device in self._settings.devices}
        slots = [
            Slot(
                storage=self._storage,
                study=study,
                study_file=path,
                scratch=scratch,
                artifacts=artifacts,
                lease=lease,
                settings=self._settings,
                device=device,
                gate=gates[device],
                code=digest,
                stopping=self._stopping,
                outbox=outbox,
                histories=histories,
                live=self._live,
            )
            for device in self._settings.devices
        ]
        threads = [
            threading.Thread(target=self._guard, args=(slot,), name=f"slot-{index}") for index, slot in enumerate(slots)
        ]
        _log.info("worker %s: %s on %s", self._settings.worker_id, count(len(slots), "slot"), study.name)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        reconciler.stop()
        # The storage may have come back since a slot gave up waiting for it.
        outbox.deliver(self._storage, study)
        lease.stop(hands_back=not outbox.waits)
        self._hand_back()
        for one in (self._live, self._notifier):
            if one is not None:
                one.close()
        if isinstance(self._failure, StorageUnavailableError | CodeChangedError):
            # Started again it may find what is missing now; `find_study_file` says so where it does not.
            _log.error("%s", self._failure)
            return False
        if self._failure is not None:
            raise self._failure
        return not self._stopping.is_set()

    @property
    def _uses_gpus(self) -> bool:
        return any(device != NO_GPU for device in self._settings.devices)

    def _share_devices(self, study: StudyRecord) -> None:
        """Give each slot as many GPUs as a trial takes, or raise ``SpecError`` where there are not as many."""
        wanted = study.spec.devices_per_trial
        devices = grouped(self._settings.devices, wanted)
        if not devices:
            raise SpecError(
                f"each trial of {study.name!r} takes {wanted} GPUs (devices_per_trial), more than the slots of this "
                f"worker have: {', '.join(dict.fromkeys(self._settings.devices))}; start it where there are as many"
            )
        self._settings = replace(self._settings, devices=devices)

    def _hand_back(self) -> None:
        """Make new rows of what was interrupted, whoever claims next takes those first, and tell of the study's end."""
        if self._stopping.is_set() or self._notifier is not None:
            try:
                reconcile(self._storage, self._settings.study, notifier=self._notifier)
            except (StorageError, StudyNotFoundError) as error:
                _log.info("%s", error)

    def _guard(self, slot: Slot) -> None:
        """Run a slot; where it fails, the others are stopped too and the failure is raised in the main thread."""
        try:
            slot.run()
        except (CodeChangedError, SchemaVersionError) as error:
            # The others finish what they train.
            self._failure = error
        except BaseException as error:
            self._failure = error
            self._stopping.set()

    def _listen_to_signals(self) -> None:
        first: list[float] = []

        def stop(number: int, _frame: FrameType | None) -> None:
            if first and time.monotonic() - first[0] < _ONE_SIGNAL_S:
                # Sent to the process and to its group, or by hand twice in a hurry: that is once.
                return
            first.append(time.monotonic())
            if self._stopping.is_set():
                # Said twice: at once. The kernel ends the children with this process, and their leases run out.
                os._exit(ExitCode.INTERRUPTED)
            _log.warning("%s: handing back what is running; once more to stop at once", signal.Signals(number).name)
            self._stopping.set()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)

    def _load_and_wait(self, file: Path) -> str:
        """Load a study file, and return the study's name once it is told; nothing where there will be no study."""
        with os.fdopen(os.dup(0)) as told:
            # The study's code is not to read it.
            with Path(os.devnull).open() as nothing:
                os.dup2(nothing.fileno(), 0)
            start_forkserver(file, keras_backend=None, uses_gpus=self._uses_gpus)
            return told.readline().strip()

    def _wait_for_study(self) -> StudyRecord | None:
        """Return the study, waiting for the coordinator's side to make the tables and it; ``None`` if told to stop."""
        deadline = time.monotonic() + self._settings.wait_s
        said = False
        while True:
            try:
                self._storage.check_tables()
                return self._storage.study(self._settings.study)
            except (SchemaError, StudyNotFoundError, StorageUnavailableError) as error:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise
                if self._stopping.wait(min(1.0, left)):
                    return None
                if not said:
                    _log.warning("%s (waiting up to %.0f s for it)", error, self._settings.wait_s)
                    said = True


def check_alone(
    storage: LedgerStorage, study: StudyRecord, settings: WorkerSettings, stopping: threading.Event
) -> None:
    """Look whether a study's sampler learns in memory, and whether this worker's slot is then the study's only one.

    One that was there before may have died without a goodbye: it is waited for until it gives a sign of life, or its
    lease has run out. Nothing is said any more where this worker is told to stop meanwhile.

    Raises:
        SpecError: If it has more slots, or another worker was there before, and lives.
    """
    if not isinstance(study.spec.sampler, CustomSampler):
        return
    kept = kept_in_memory(study.spec.sampler)
    if not kept:
        return
    others = _there_before(storage, study, settings)
    beats = dict(others)
    if others and settings.slots == 1:
        _log.warning(
            "%s keeps what it learns in memory: waiting to see whether %s works on %s, or has died",
            study.spec.sampler.path,
            ", ".join(others),
            study.name,
        )
    while others and settings.slots == 1 and all(beats.get(one) == beat_at for one, beat_at in others.items()):
        if stopping.wait(_LOOK_S):
            return
        others = _there_before(storage, study, settings)
    if others or settings.slots > 1:
        raise SpecError(
            f"{study.spec.sampler.path} keeps what it learns in memory ({', '.join(kept)}), where other slots and "
            f"workers do not see it, so that {study.name!r} can have one worker with one slot only; "
            + (f"{', '.join(others)} works on it" if others else "start this one with --slots 1")
        )


def _there_before(storage: LedgerStorage, study: StudyRecord, settings: WorkerSettings) -> Mapping[str, float]:
    """Return when the workers of a study that were there before this one last beat, as far as they may still live."""
    now, workers = storage.now(), {one.worker_id: one for one in storage.workers(study.study_id)}
    mine = workers.pop(settings.worker_id, None)
    return {
        one.worker_id: one.beat_at
        for one in workers.values()
        if one.alive(now) and (mine is None or (one.started_at, one.worker_id) < (mine.started_at, mine.worker_id))
    }


def find_study_file(study: StudyRecord, folder: Path) -> tuple[Path, str]:
    """Return the file in a folder whose code is the one that the study recorded, and its digest.

    Raises:
        CodeChangedError: If the folder has the file, with other code.
        StudyFileError: If it has no such file.
    """
    if not folder.is_dir():
        raise StudyFileError(f"the folder of study files {folder} does not exist; name it with --studies")
    named = folder / study.code.file
    candidates = [named, *sorted(path for path in folder.glob("*.py") if path != named)]
    for path in candidates:
        try:
            if path.is_file() and study_file.digest(path) == study.code.digest:
                return path, study.code.digest
        except StudyFileError as error:
            _log.info("%s", error)
    if named.is_file():
        raise CodeChangedError(
            f"{named} is not the code with which the study {study.name!r} was created (digest "
            f"{study.code.digest}). Put the recorded version there, or accept the new one with "
            f"`tuner create {named} --accept-code`"
        )
    raise StudyFileError(f"no file in {folder} is the study {study.name!r} ({study.code.file}); name it with --studies")
