"""Running a function of this room in a process of its own: user code never runs where the storage's password is."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from tuner_service.domain.engine import Backend
from tuner_service.errors import OtherBackendError, StudyFileError, TunerServiceError
from tuner_service.training.backend import choose
from tuner_service.training.messages import receive
from tuner_service.training.parent import close_secrets, die_with_parent

T = TypeVar("T")

#: Slots are threads that start processes at the same time.
_hiding = threading.Lock()

_context = multiprocessing.get_context("spawn")


def call(function: Callable[..., T], *arguments: object, gpus: bool = False, backend: Backend | None = None) -> T:
    """Return what a function returns that is run in a new process, on the GPUs of this one only where that is said.

    The process inherits the environment, which must hold no secret. Keras takes its backend when it is imported, and a
    study file may import it before it says which one it wants: then the function is called once more, with that one.

    Raises:
        TunerServiceError: If the function raised one.
        StudyFileError: If the process died, or the function raised anything else; ``details`` has what it printed. Also
            if what it returned is not data of known classes.
    """
    ours, theirs = _context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="tuner-call-") as folder:
        log = Path(folder) / "log.txt"
        given = (os.getpid(), theirs, str(log), function, arguments, gpus, backend)
        process = _context.Process(target=_run, args=given)
        with without_main_module():
            process.start()
        theirs.close()
        try:
            done, result = receive(ours)
        except EOFError:
            process.join()
            raise StudyFileError.with_details(
                f"the process that ran the study's code died with exit code {process.exitcode}",
                log.read_text(errors="replace")[-8000:] if log.exists() else "",
            ) from None
        finally:
            if process.is_alive():
                process.join(1.0)
            with contextlib.suppress(ProcessLookupError, PermissionError, TypeError):
                os.killpg(process.pid, signal.SIGKILL)  # type: ignore[arg-type]  # None is what is suppressed
            process.join()
            ours.close()
    if isinstance(result, OtherBackendError) and backend is None:
        return call(function, *arguments, gpus=gpus, backend=result.args[0])
    if isinstance(result, TunerServiceError) and not done:
        raise result
    value: T = result
    return value


def _run(
    parent: int,
    connection: Connection[Any, Any],
    log: str,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    gpus: bool,
    backend: Backend | None,
) -> None:
    die_with_parent(parent)
    close_secrets()
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    try:
        choose(backend)
        answer: tuple[bool, Any] = (True, function(*arguments))
    except TunerServiceError as error:
        answer = (False, error)
    except BaseException as error:
        answer = (False, StudyFileError.with_details(f"{type(error).__name__}: {error}", traceback.format_exc()))
    connection.send(answer)


@contextlib.contextmanager
def without_main_module() -> Iterator[None]:
    """Keep multiprocessing from importing this program's main module in a new process: nothing there is needed."""
    main = sys.modules["__main__"]
    with _hiding:
        hidden = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
        main.__spec__ = None
        if "__file__" in hidden:
            del main.__file__
        try:
            yield
        finally:
            for name, value in hidden.items():
                setattr(main, name, value)
