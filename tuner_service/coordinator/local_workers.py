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

from tuner_service.domain.exit_code import ExitCode
from tuner_service.domain.study import StudyRecord
from tuner_service.errors import StorageUnavailableError, WorkerFailedError
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.training.parent import SECRETS_PIPE, die_with_parent, hand_over

#: Deaths of one worker, without a configuration error, after which it is not started again.
_MAX_DEATHS = 5

#: Beats of local workers are cheap, and what they tell is looked at: shorter than on a cluster.
_BEAT_S, _LEASE_S = 1.0, 20.0
#: How long workers may take to hand back what they run, in seconds.
_PATIENCE_S = 15.0


@dataclass
class _Worker:
    worker_id: str
    process: subprocess.Popen[bytes]
    deaths: int = 0

    def begin(self, study: str) -> None:
        """Tell it what it works on; one that died in the meantime is noticed when it is looked after."""
        assert self.process.stdin is not None  # noqa: S101 - it was started with one
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{study}\n".encode())
            self.process.stdin.close()


class LocalWorkers:
    """The workers of one study on this machine. They end with the ``with`` block, and with this process.

    They are started before there is the study, to load Keras, the file and its data while another process looks at
    the file, and wait until they are told its name.

    Args:
        storage: To hand back at once what a worker held that died.
        file: The study file; what the workers say goes into ``FILE.workers.log`` in the working folder.
        arguments: Arguments of ``tuner worker``.
        workers: How many.
        secrets: The URLs that they need, handed over through a pipe.
        backend: What Keras is expected to compute with.
        devices: The GPUs of each, as CUDA_VISIBLE_DEVICES has them; empty where there are none.
    """

    def __init__(
        self,
        storage: LedgerStorage,
        file: Path,
        arguments: Sequence[str],
        *,
        workers: int,
        secrets: str,
        backend: str,
        devices: Sequence[str] = (),
    ) -> None:
        self._storage = storage
        self._study: str | None = None
        beats = ["--beat", str(_BEAT_S), "--lease", str(_LEASE_S)]
        # -P: a file of the working folder must not be taken for a package, least of all where the password is.
        command = [sys.executable, "-P", "-m", "tuner_service", "worker", "-", "--load", str(file), *arguments, *beats]
        self._command = command
        self._secrets = secrets
        self._backend = backend
        self._devices = devices
        self._log = Path(f"{file.stem}.workers.log")
        self._log_is_new = not self._log.exists()
        # In containers the process has the same number on every machine.
        self._name = f"local-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._workers = self._start_all(workers)

    def begin(self, study: StudyRecord) -> None:
        """Let the workers work on a study."""
        if study.spec.backend not in (None, self._backend):
            self._backend = study.spec.backend
            self._kill()
            self._workers = self._start_all(len(self._workers))
        self._study = study.name
        for worker in self._workers:
            worker.begin(study.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._study is None:
            # They have claimed nothing, and hold nothing.
            self._kill()
            if self._log_is_new:
                self._log.unlink(missing_ok=True)
            return
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
                if worker.process.wait() not in (ExitCode.DONE, ExitCode.INTERRUPTED):
                    # Where the storage is away its leases run out by themselves.
                    with contextlib.suppress(StorageUnavailableError):
                        self._storage.release(worker.worker_id)
        finally:
            signal.signal(signal.SIGINT, before)

    def look_after(self) -> None:
        """Start again what has died; they must have begun.

        Raises:
            WorkerFailedError: If a worker says that it is not configured right, or dies again and again.
        """
        assert self._study is not None  # noqa: S101 - `begin` has set it
        for index, worker in enumerate(self._workers):
            code = worker.process.poll()
            if code in (None, 0):
                continue
            try:
                # It is known to be dead, so nobody has to wait for its leases.
                self._storage.release(worker.worker_id)
            except StorageUnavailableError:
                # Looked after once the storage is back: nothing could be trained anyway.
                return
            if code == ExitCode.MISCONFIGURED or worker.deaths + 1 >= _MAX_DEATHS:
                raise WorkerFailedError(f"a worker ended with exit code {code}; {self._last_words()}")
            again = self._start(index, worker.deaths + 1)
            again.deaths = worker.deaths + 1
            again.begin(self._study)
            self._workers[index] = again

    def _wait(self, patience_s: float) -> None:
        deadline = time.monotonic() + patience_s
        for worker in self._workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(deadline - time.monotonic(), 0.1))

    def _start_all(self, workers: int) -> list[_Worker]:
        return [self._start(index) for index in range(workers)]

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)
        for worker in self._workers:
            worker.process.communicate()

    def _start(self, index: int, deaths: int = 0) -> _Worker:
        worker_id = f"{self._name}-{index}-{deaths}"
        pipe = hand_over(self._secrets)
        mine = {"CUDA_VISIBLE_DEVICES": self._devices[index]} if self._devices else {}
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [*self._command, "--id", worker_id],
                env={**os.environ, **mine, SECRETS_PIPE: str(pipe), "KERAS_BACKEND": self._backend},
                pass_fds=[pipe],
                stdin=subprocess.PIPE,
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
