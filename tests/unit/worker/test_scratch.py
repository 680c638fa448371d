"""Workers' own folders, and those of workers that have died."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tuner_service.worker.scratch import Scratch, is_in_use

_WORKER = """
import sys
from pathlib import Path
from tuner_service.worker.scratch import Scratch
scratch = Scratch(Path(sys.argv[1]))
(scratch.folder / "trial").mkdir()
print(scratch.folder, flush=True)
sys.stdin.read()
"""


def test_the_folder_of_a_killed_worker_is_removed_by_the_next(tmp_path: Path) -> None:
    """Not before it is dead, and no other folder."""
    command = [sys.executable, "-c", _WORKER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        theirs = Path(process.stdout.readline().strip())
        (tmp_path / "tuner-worker-file").touch()
        (tmp_path / "another").mkdir()
        with Scratch(tmp_path) as ours:
            assert is_in_use(theirs)
            assert ours.remove_abandoned() == 0
            process.kill()
            process.wait()
            assert not is_in_use(theirs)
            assert ours.remove_abandoned() == 1
            assert is_in_use(ours.folder)
        assert not is_in_use(ours.folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["another", "tuner-worker-file"]


def test_a_link_to_a_folder_is_left_alone(tmp_path: Path) -> None:
    """What it leads to is not a worker's."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "tuner-worker-link").symlink_to(tmp_path / "precious")
    with Scratch(tmp_path) as ours:
        assert ours.remove_abandoned() == 0
    assert (tmp_path / "precious").is_dir()


def test_workers_that_start_together_do_not_take_each_others_folders(tmp_path: Path) -> None:
    """A folder that was not locked yet may be taken for a dead worker's; its owner makes another one then."""

    def work(_: int) -> bool:
        with Scratch(tmp_path) as ours:
            ours.remove_abandoned()
            return ours.folder.is_dir()

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(400)))
    assert list(tmp_path.iterdir()) == []
