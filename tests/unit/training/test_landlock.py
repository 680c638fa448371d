"""A folder that a process and its children can never read again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tuner_service.training.landlock import can_close

_CLOSE = """
import subprocess, sys
from pathlib import Path
from tuner_service.training.landlock import close
folder = Path(sys.argv[1])
close(folder / "closed")
{then}
"""


@pytest.mark.skipif(not can_close(), reason="this kernel has no Landlock of version 2")
@pytest.mark.parametrize(
    ("then", "prints"),
    [
        pytest.param('print((folder / "open/file").read_text())', "open", id="what is beside it is read"),
        pytest.param('(folder / "closed/file").read_text()', "PermissionError", id="what is in it is not"),
        pytest.param('(folder / "closed/a/file").read_text()', "PermissionError", id="nor in folders below it"),
        pytest.param('(folder / "link").read_text()', "PermissionError", id="nor by a link"),
        pytest.param(
            'subprocess.run(["cat", folder / "closed/file"])', "Permission denied", id="nor by a program it starts"
        ),
        pytest.param(
            '(folder / "open/file").rename(folder / "open/a/file"); print((folder / "open/a/file").read_text())',
            "open",
            id="files are moved between folders as ever",
        ),
    ],
)
def test_a_closed_folder_is_closed(tmp_path: Path, then: str, prints: str) -> None:
    """And nothing else is."""
    for name in ("open", "closed"):
        (tmp_path / name / "a").mkdir(parents=True)
        for file in (tmp_path / name / "file", tmp_path / name / "a" / "file"):
            file.write_text(name)
    (tmp_path / "link").symlink_to(tmp_path / "closed" / "file")
    command = [sys.executable, "-c", _CLOSE.format(then=then), tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert prints in done.stdout + done.stderr
    assert "closed\n" not in done.stdout
