"""Worker processes on this machine, for ``tuner run``: started, watched, started again, ended."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tuner_service.errors import StorageUnavailableError, TunerServiceError
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.training.parent import SECRETS_PIPE, die_with_parent, hand_over

#: Deaths of one worker, without a configuration error, after which it is not started again.
_MAX_DEATHS = 5
_INTERRUPTED, _MISCONFIGURED = 75, 78

#: Beats of local workers are cheap, and what they tell is looked at: shorter than on a cluster.
_BEAT_S, _LEASE_S = 1.0, 20.0
#: How long workers may take to hand back what they run, in seconds.
_PATIENCE_S = 15.0


class WorkerFailedError(TunerServiceError):
    """A worker cannot work, and starting it again would not help."""


@dataclass
class _Worker:
    worker_id: str
    process: subprocess.Popen[bytes]
    deaths: int = 0


class LocalWorkers:
    """The workers of one study on this machine. They end with the ``with`` block, and with this process.

    Args:
        storage: To hand back at once what a worker held that died.
        study: Name of the study; what the workers say goes into ``STUDY.workers.log`` in the working folder.
        arguments: Arguments of ``tuner worker STUDY``.
        workers: How many.
        secrets: The URLs that they need, handed over through a pipe.
    """

    def __init__(
        self, storage: LedgerStorage, study: str, arguments: Sequence[str], *, workers: int, secrets: str
    ) -> None:
        self._storage = storage
        beats = ["--beat", str(_BEAT_S), "--lease", str(_LEASE_S)]
        # -P: a file of the working folder must not be taken for a package, least of all where the password is.
        self._command = [sys.executable, "-P", "-m", "tuner_service", "worker", study, *arguments, *beats]
        self._secrets = secrets
        self._log = Path(f"{study}.workers.log")
        # In containers the process has the same number on every machine.
        self._name = f"local-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._workers = [self._start(f"{self._name}-{index}-0") for index in range(workers)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Another Ctrl-C must not leave the workers behind.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            if kind is None:
                # The study has ended: they see it by themselves.
                self._wait(_PATIENCE_S)
            self._signal(signal.SIGTERM)
            self._wait(_PATIENCE_S)
            self._signal(signal.SIGKILL)
            for worker in self._workers:
                if worker.process.wait() not in (0, _INTERRUPTED):
                    # Where the storage is away its leases run out by themselves.
                    with contextlib.suppress(StorageUnavailableError):
                        self._storage.release(worker.worker_id)
        finally:
            signal.signal(signal.SIGINT, before)

    def look_after(self) -> bool:
        """Start again what has died, and return whether any worker still works.

        Raises:
            WorkerFailedError: If a worker says that it is not configured right, or dies again and again.
        """
        for index, worker in enumerate(self._workers):
            code = worker.process.poll()
            if code in (None, 0):
                continue
            try:
                # It is known to be dead, so nobody has to wait for its leases.
                self._storage.release(worker.worker_id)
            except StorageUnavailableError:
                # Looked after once the storage is back: nothing could be trained anyway.
                return True
            if code == _MISCONFIGURED or worker.deaths + 1 >= _MAX_DEATHS:
                raise WorkerFailedError(f"a worker ended with exit code {code}; {self._last_words()}")
            again = self._start(f"{self._name}-{index}-{worker.deaths + 1}")
            again.deaths = worker.deaths + 1
            self._workers[index] = again
        return any(worker.process.poll() is None for worker in self._workers)

    def _wait(self, patience_s: float) -> None:
        deadline = time.monotonic() + patience_s
        for worker in self._workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(deadline - time.monotonic(), 0.1))

    def _start(self, worker_id: str) -> _Worker:
        pipe = hand_over(self._secrets)
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [*self._command, "--id", worker_id],
                env={**os.environ, SECRETS_PIPE: str(pipe)},
                pass_fds=[pipe],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C reaches this process alone, which then ends them in order.
                start_new_session=True,
                preexec_fn=functools.partial(die_with_parent, os.getpid(), signal.SIGTERM),  # noqa: PLW1509 - no threads run yet
            )
        os.close(pipe)
        return _Worker(worker_id, process)

    def _signal(self, number: signal.Signals) -> None:
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.process.send_signal(number)

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        said = next((line for line in reversed(lines) if line.strip()), "it said nothing")
        return f"it said: {said} (the whole log: {self._log})"
