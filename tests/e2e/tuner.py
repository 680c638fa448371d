"""The command ``tuner`` as its users have it: a process, in a working folder, with an environment."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

T = TypeVar("T")

STUDIES = Path(__file__).with_name("studies")

#: Longest time that a command may take before the test fails, in seconds: far more than any needs.
PATIENCE_S = 240.0
_MARKER = "TUNER_TEST_MARKER"


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def json(self, kind: str) -> Any:
        """Return the content of a listing that was printed with ``--json``."""
        printed = json.loads(self.out)
        assert printed["version"] == 1
        assert list(printed) == ["version", kind]
        return printed[kind]


@dataclass(frozen=True)
class Tuner:
    """A working folder, and the storage that its commands work with."""

    folder: Path
    storage: str
    marker: str = field(default_factory=lambda: uuid.uuid4().hex)

    def add_study(self, name: str, *, change: Callable[[str], str] = str) -> Path:
        """Copy a study of the tests, with what it imports, into ``studies/``, and return its path."""
        studies = self.folder / "studies"
        studies.mkdir(exist_ok=True)
        shutil.copy(STUDIES / "small.py", studies)
        path = studies / f"{name}.py"
        path.write_text(change((STUDIES / f"{name}.py").read_text()))
        return path

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its commands, by which they are found again."""
        return {**os.environ, "TUNER_STORAGE": self.storage, _MARKER: self.marker}

    def __call__(self, *arguments: str | Path, code: int = 0) -> Result:
        """Run a command to its end, which must have this exit code."""
        with self.start(*arguments) as command:
            result = command.wait()
        assert result.code == code, f"tuner {arguments}: exit code {result.code}\n{result.out}\n{result.err}"
        return result

    @contextmanager
    def start(self, *arguments: str | Path) -> Iterator[Command]:
        """Start a command, and kill it at the end of the block if it still runs."""
        files = self.folder / "output"
        files.mkdir(exist_ok=True)
        output = files / uuid.uuid4().hex
        with output.with_suffix(".out").open("wb") as out, output.with_suffix(".err").open("wb") as err:
            process = subprocess.Popen(
                [Path(sys.executable).with_name("tuner"), *map(str, arguments)],
                cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            )  # fmt: skip
        try:
            yield Command(process, output)
        finally:
            process.kill()
            process.wait()

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query; none while there are no tables yet."""
        engine = create_engine(self.storage.replace("postgresql://", "postgresql+psycopg2://"))
        try:
            with engine.connect() as connection:
                return [tuple(row) for row in connection.execute(text(statement))]
        except (OperationalError, ProgrammingError) as error:
            if "no such table" not in str(error) and "does not exist" not in str(error):
                raise
            return []
        finally:
            engine.dispose()

    def change(self, statement: str) -> None:
        """Run a statement that changes the storage behind everybody's back."""
        engine = create_engine(self.storage.replace("postgresql://", "postgresql+psycopg2://"))
        with engine.begin() as connection:
            connection.execute(text(statement))
        engine.dispose()

    def attempts(self) -> list[tuple[int, int, str, str | None, str | None]]:
        """Return configuration, attempt, state, reason and owner of each row of the storage's studies."""
        rows: list[Any] = self.query(
            "SELECT configuration, attempt, CAST(state AS VARCHAR), reason, owner FROM tuner_attempts "
            "JOIN trials USING (trial_id) ORDER BY configuration, attempt"
        )
        return rows

    def processes(self) -> set[int]:
        """Return the ids of the processes that commands of this folder have left, however they came to be."""
        mark = f"{_MARKER}={self.marker}".encode()
        found = set()
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if mark in environ.read_bytes():
                    found.add(int(environ.parent.name))
        return found

    def kill_processes(self) -> None:
        """Kill what a test that failed has left."""
        for process in self.processes():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def artifacts(self) -> list[str]:
        """Return the files below the folder of curves and models, by their names there."""
        folder = self.folder / "tuner-artifacts"
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@dataclass(frozen=True)
class Command:
    """A command that was started."""

    process: subprocess.Popen[bytes]
    output: Path

    def wait(self) -> Result:
        """Wait for it to end."""
        self.process.wait(PATIENCE_S)
        return self.so_far

    @property
    def so_far(self) -> Result:
        """What it has printed, and its exit code, or -1 while it runs."""
        out, err = (self.output.with_suffix(suffix).read_text(errors="replace") for suffix in (".out", ".err"))
        return Result(-1 if self.process.poll() is None else self.process.returncode, out, err)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)


def until(what: str, look: Callable[[], T], *, timeout_s: float = PATIENCE_S) -> T:
    """Look again and again until something true is seen, and return it."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(0.1)
    raise AssertionError(f"waited {timeout_s:.0f} s in vain until {what}")


def settled(attempts: list[tuple[int, int, str, str | None, str | None]]) -> list[int]:
    """Return the configurations that are complete or pruned, one for each row that says so."""
    return [configuration for configuration, _, state, _, _ in attempts if state in ("COMPLETE", "PRUNED")]


@contextmanager
def opened(folder: Path, storage: str | None = None) -> Iterator[Tuner]:
    """Provide a working folder, on SQLite unless another storage is named, and leave no process behind."""
    tuner = Tuner(folder, storage or f"sqlite:///{folder / 'tuner.db'}")
    try:
        yield tuner
    finally:
        tuner.kill_processes()


def run_python(code: str, *arguments: str | Path) -> str:
    """Return what a piece of Python prints in a fresh process."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_S).stdout
