"""What every trial of a worker needs, loaded once: imported by the forkserver, inherited by its children.

Nothing here may raise: the forkserver swallows it. What went wrong is kept, and the first child tells it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tuner_service.errors import StudyFileError
from tuner_service.training import study_file
from tuner_service.training.data import Data
from tuner_service.training.parent import close_secrets, die_with_parent
from tuner_service.training.provenance import data_digest

#: Environment variables by which the supervisor tells its forkserver what to load.
STUDY_FILE = "TUNER_STUDY_FILE"
PARENT = "TUNER_PARENT"
LEVEL = "TUNER_WARM_LEVEL"
COLD_BECAUSE = "TUNER_COLD_BECAUSE"

#: What is loaded, each level with those before it.
LEVELS = ("keras", "study", "data")


@dataclass
class Warm:
    """What is loaded so far, and why there is not more."""

    process_id: int = field(default_factory=os.getpid)  #: of the forkserver
    study: study_file.StudyFile | None = None
    data: Data | None = None
    data_digest: str | None = None
    error: StudyFileError | None = None
    cold_because: str = ""  #: what started the backend while it was loaded, and therefore is left to the children


WARM = Warm()


def load(path: Path) -> tuple[study_file.StudyFile, Data | None]:
    """Return the study and its data, loaded here as far as the forkserver has not.

    Raises:
        StudyFileError: If the user's code failed, here or there.
    """
    if WARM.error is not None:
        raise WARM.error
    _load_study(path)
    _load_data()
    assert WARM.study is not None  # noqa: S101 - _load_study raises where it fails
    return WARM.study, WARM.data


def _import_keras() -> None:
    with _silenced():
        import keras
        import optuna  # noqa: F401 - to be inherited

        import tuner_service.training.runs
        from tuner_service.training.seeding import seed_all

        # What a first seeding imports is to be inherited too.
        seed_all(0)
        if keras.backend.backend() == "jax":
            import tuner_service.training.jax_together
        else:
            import tuner_service.training.tensorflow_epoch  # noqa: F401 - to be inherited


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Keep what native libraries say about missing GPUs and their own options out of the worker's log."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _load_study(path: Path) -> None:
    if WARM.study is None:
        WARM.study = study_file.load(path)


def _load_data() -> None:
    study = WARM.study
    if WARM.data is not None or study is None or study.kind == "objective" or study.load_data is None:
        return
    try:
        WARM.data = Data.check(study.load_data())
        WARM.data_digest = data_digest(WARM.data)
    except StudyFileError:
        raise
    except Exception as error:
        raise StudyFileError.with_details(
            f"load_data failed: {study_file.last_line(error)}", study_file.user_traceback(error, study.path)
        ) from None


def backend_threads() -> list[str]:
    """Return the names of threads that a backend has started here, and that a fork would lose.

    The kernel's names of threads are used because TensorFlow and JAX have no public way to ask.
    """
    names = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # a thread may end while it is looked at
            names.append((task / "comm").read_text().strip())
    return sorted({name for name in names if name.startswith(("tf_", "llvm-worker", "Eigen", "pjrt"))})


def _warm_up(path: Path) -> None:
    # An Optuna script that does not use Keras starts without it; one that does gets it before it asks.
    uses_keras = "keras" in path.read_text(encoding="utf-8")
    steps: dict[str, Callable[[], None]] = {
        "keras": _import_keras if uses_keras else lambda: None,
        "study": lambda: _load_study(path),
        "data": _load_data,
    }
    wanted = LEVELS[: LEVELS.index(os.environ.get(LEVEL, "data")) + 1]
    try:
        for level in wanted:
            steps[level]()
            if threads := backend_threads():
                _start_again_without(level, threads)
    except StudyFileError as error:
        WARM.error = error
    # What is inherited is not touched by the children's garbage collection, so its memory stays shared.
    gc.collect()
    gc.freeze()


def _start_again_without(level: str, threads: list[str]) -> None:
    """Replace this process by one that leaves this level to the children: a forked thread pool hangs."""
    if level == "keras":
        WARM.cold_because = f"importing Keras started the threads {', '.join(threads)}"
        return
    os.environ[LEVEL] = LEVELS[LEVELS.index(level) - 1]
    what = {"study": "importing the study file", "data": "load_data"}[level]
    os.environ[COLD_BECAUSE] = (
        f"{what} started the backend (threads {', '.join(threads)}), so that every trial does it anew; "
        "make data with NumPy there, and tensors, datasets and devices in build_model or fit"
    )
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - this very command again


def _end_all_with_parent(parent: int) -> None:
    """From now on, when the supervisor dies, kill the children and all that the study's code has started, too.

    The kernel would kill this process and then its children only. While this process loaded the study there were none,
    and a signal that it is to handle would have had to wait.
    """

    def end(*_: object) -> None:
        # What is sent to the whole group, or to a child that has just been forked, says nothing of the supervisor.
        if os.getpid() == WARM.process_id and os.getppid() != parent:
            _kill_all()
            os._exit(1)

    signal.signal(signal.SIGTERM, end)
    die_with_parent(parent, signal.SIGTERM)


def _kill_all() -> None:
    """Kill the children with their groups, and whatever else descends from this process."""
    with contextlib.suppress(psutil.Error):
        family = psutil.Process().children(recursive=True)
        for one in family:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getpgid(one.pid) == one.pid:
                    os.killpg(one.pid, signal.SIGKILL)
            with contextlib.suppress(psutil.Error):
                one.kill()


if STUDY_FILE in os.environ:
    die_with_parent(int(os.environ[PARENT]))
    close_secrets()
    # What is sent to the whole group reaches this process too; its supervisor decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    WARM.cold_because = os.environ.get(COLD_BECAUSE, "")
    _warm_up(Path(os.environ[STUDY_FILE]))
    _end_all_with_parent(int(os.environ[PARENT]))
