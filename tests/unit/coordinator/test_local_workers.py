"""Worker processes of this machine, with processes that only say how they ended."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tuner_service.coordinator import local_workers
from tuner_service.coordinator.local_workers import LocalWorkers
from tuner_service.errors import StorageUnavailableError


class FakeProcess:
    """A process that has ended, or works on."""

    def __init__(self, command: list[str], env: dict[str, str], **_: object) -> None:
        self.worker_id = command[command.index("--id") + 1]
        self.backend = env["KERAS_BACKEND"]
        self.devices = env.get("CUDA_VISIBLE_DEVICES")
        self.code: int | None = None
        self.told = b""
        self.stdin = self

    def write(self, told: bytes) -> None:
        """Take note of what it is told."""
        self.told += told

    def close(self) -> None:
        """Be told nothing more."""

    def communicate(self) -> None:
        """Have ended."""

    def poll(self) -> int | None:
        """Return how it ended."""
        return self.code

    def wait(self, timeout: float = 0.0) -> int:
        """Return how it ended."""
        return self.code or 0

    def send_signal(self, number: int) -> None:
        """End."""
        self.code = 75


class FakeStorage:
    """Hears who is dead, unless it is away."""

    def __init__(self) -> None:
        self.released: list[str] = []
        self.away = False

    def release(self, worker_id: str) -> None:
        """Take note."""
        if self.away:
            raise StorageUnavailableError("away")
        self.released.append(worker_id)


@pytest.fixture
def storage() -> FakeStorage:
    """Provide a storage."""
    return FakeStorage()


@pytest.fixture
def local(storage: FakeStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalWorkers:
    """Provide two workers of a study."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local_workers.subprocess, "Popen", FakeProcess)
    started = _started(storage)
    started.begin(_study("tensorflow"))
    return started


def _started(storage: Any, **fields: Any) -> LocalWorkers:
    file = Path("digits.py")
    return LocalWorkers(storage, file, [], workers=2, secrets="sqlite:///tuner.db", backend="tensorflow", **fields)


def _study(backend: str | None) -> Any:
    return SimpleNamespace(name="digits", spec=SimpleNamespace(backend=backend))


def _processes(local: LocalWorkers) -> list[Any]:
    return [one.process for one in local._workers]


@pytest.mark.usefixtures("local")
def test_each_worker_has_its_share_of_the_gpus(storage: FakeStorage) -> None:
    """Also one that is started in place of another; else all would train on the first."""
    local = _started(storage, devices=["0", "1,2"])
    local.begin(_study("tensorflow"))
    assert [one.devices for one in _processes(local)] == ["0", "1,2"]
    _processes(local)[1].code = -9
    local.look_after()
    assert [one.devices for one in _processes(local)] == ["0", "1,2"]


@pytest.mark.parametrize(
    ("backend", "kept"),
    [
        pytest.param("tensorflow", True, id="as expected"),
        pytest.param(None, True, id="none, of a script without Keras"),
        pytest.param("jax", False, id="another"),
    ],
)
def test_workers_are_told_their_study_and_have_loaded_its_backend(
    local: LocalWorkers, storage: FakeStorage, backend: str | None, kept: bool
) -> None:
    """They load the file before it is known what Keras computes with; where that was another, they start again."""
    local = _started(storage)
    before = _processes(local)
    assert [one.told for one in before] == [b"", b""]
    local.begin(_study(backend))
    assert [one.told for one in _processes(local)] == [b"digits\n"] * 2
    assert {one.backend for one in _processes(local)} == {backend or "tensorflow"}
    assert (_processes(local) == before) is kept
    assert [one.code for one in before] == [None if kept else 75] * 2


def test_workers_of_a_study_that_cannot_be_made_leave_nothing(local: LocalWorkers, storage: FakeStorage) -> None:
    """They have claimed nothing, so that the storage is not asked; a log of an earlier run stays."""
    log = Path("digits.workers.log")
    for is_there in (True, False):
        log.write_text("what was said before") if is_there else log.unlink()
        local = _started(storage)
        with local:
            pass
        assert [one.code for one in _processes(local)] == [75, 75]
        assert storage.released == []
        assert log.exists() is is_there


def test_no_two_workers_have_one_id(local: LocalWorkers, storage: FakeStorage) -> None:
    """Also where the process has the same number, as in containers on two machines, and after a death."""
    (first, _), others = _processes(local), _processes(_started(storage))
    ids = {one.worker_id for one in (*_processes(local), *others)}
    first.code = -9
    local.look_after()
    assert storage.released == [first.worker_id]
    assert len(ids | {one.worker_id for one in _processes(local)}) == 5


def test_a_storage_that_is_away_does_not_end_a_run(local: LocalWorkers, storage: FakeStorage) -> None:
    """A worker that died meanwhile is started again once it is back."""
    dead = _processes(local)[0]
    dead.code, storage.away = -9, True
    local.look_after()
    assert _processes(local)[0] is dead
    storage.away = False
    local.look_after()
    assert _processes(local)[0] is not dead


def test_a_storage_that_is_away_at_the_end_does_not_hide_how_it_ended(
    local: LocalWorkers, storage: FakeStorage
) -> None:
    """The leases run out by themselves."""
    _processes(local)[0].code, storage.away = -9, True
    with local:
        pass
