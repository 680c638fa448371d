"""The child that trains attempts, as its supervisor holds it."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import os
import signal
import tempfile
from multiprocessing.context import ForkServerContext
from pathlib import Path

from tuner_service.domain.engine import Backend
from tuner_service.errors import StudyFileError
from tuner_service.training import backend, child, warm
from tuner_service.training.assignment import Assignment
from tuner_service.training.isolated import without_main_module
from tuner_service.training.messages import receive
from tuner_service.training.remote_trial import Answer, Ask

_context: ForkServerContext = multiprocessing.get_context("forkserver")


def start_forkserver(study_file: Path, *, keras_backend: Backend | None, uses_gpus: bool) -> None:
    """Start the process that the children are forked from; it loads Keras, the study and its data meanwhile.

    It must be called from the main thread, before others are started, and with an environment without secrets: the
    forkserver and its children inherit it.

    Raises:
        BackendError: If what Keras is to compute with is not installed.
    """
    backend.choose(keras_backend)
    os.environ[warm.STUDY_FILE] = str(study_file.resolve())
    os.environ[warm.PARENT] = str(os.getpid())
    os.environ.update(backend.settings(os.environ, uses_gpus=uses_gpus))
    if not uses_gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    _context.set_forkserver_preload([warm.__name__])
    with without_main_module():
        multiprocessing.forkserver.ensure_running()


class TrainingProcess:
    """A forked child, the pipe to it, and the file of what it prints while it has no trial.

    Args:
        study_file: What it loads.
        folder: For that file.
        devices: The GPUs of its slot, as CUDA_VISIBLE_DEVICES has them; else those of its first trial.
    """

    def __init__(self, study_file: Path, folder: Path, devices: str | None = None) -> None:
        descriptor, self._log = tempfile.mkstemp(prefix="child-", suffix=".txt", dir=folder)
        os.close(descriptor)
        self._connection, theirs = _context.Pipe()
        self._process = _context.Process(target=child.main, args=(theirs, str(study_file), self._log, devices))
        with without_main_module():
            self._process.start()
        theirs.close()
        self._exit_code: int | None = None
        self._ended = False

    def wait(self, timeout_s: float) -> Ask | None:
        """Return the child's next message, or ``None`` where it is silent for so long.

        Raises:
            EOFError: If it has died.
            StudyFileError: If what it says is no message; it may have come from the study's code.
        """
        ready = multiprocessing.connection.wait([self._connection, self._process.sentinel], timeout_s)
        if self._connection in ready:
            try:
                message = receive(self._connection)
            except (EOFError, OSError):
                raise EOFError from None
            if not isinstance(message, Ask):
                raise StudyFileError(f"the study's code sent what is no message: a {type(message).__name__}")
            return message
        if ready:
            raise EOFError
        return None

    def assign(self, task: Assignment) -> None:
        """Tell it what to train. A child that died in the meantime is noticed at the next ``wait``."""
        with contextlib.suppress(OSError):
            self._connection.send(task)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None  # noqa: S101 - it was started
        return self._process.pid

    def interrupt(self) -> None:
        """Ask it to save its state after the epoch that it is in, and to end then."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def answer(self, answer: Answer) -> None:
        """Answer its question. A child that died in the meantime is noticed at the next ``wait``."""
        with contextlib.suppress(OSError):
            self._connection.send(answer)

    def end(self, patience_s: float = 0.0) -> int | None:
        """End the child with all that it started, after waiting for it to end by itself, and return its exit code."""
        if self._ended:
            return self._exit_code
        self._ended = True
        self._process.join(patience_s)
        self._exit_code = self._process.exitcode
        if self._process.pid is not None:
            # The whole group: also what the study's code has started. An empty group is no error.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
        self._process.join()
        self._connection.close()
        self._process.close()
        Path(self._log).unlink(missing_ok=True)
        return self._exit_code


def describe_exit(exit_code: int | None) -> str:
    """Return in words how a process ended."""
    if exit_code is not None and exit_code < 0:
        try:
            return f"was killed by {signal.Signals(-exit_code).name}"
        except ValueError:
            return f"was killed by signal {-exit_code}"
    return f"ended with exit code {exit_code}"
