"""The images' Dockerfile, and the target that builds and tries them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def test_hadolint_finds_nothing_to_complain_of() -> None:
    """What is left out stands with its reason beside the line."""
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("engines", "code", "told"),
    [
        pytest.param([], 2, "needs podman or docker", id="neither"),
        pytest.param(["docker"], 0, "checked with docker", id="docker"),
        pytest.param(["podman", "docker"], 0, "checked with podman", id="both"),
    ],
)
def test_images_are_checked_with_what_is_there(engines: list[str], code: int, told: str, tmp_path: Path) -> None:
    """`make image` calls the check with podman or Docker; without either it says what is missing."""
    for tool in ("make", "sh"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    for engine in engines:
        (tmp_path / engine).symlink_to("/bin/true")
    check = tmp_path / "check.sh"
    check.write_text('echo "checked with $ENGINE"\n')
    command = ["make", "--no-print-directory", "image", f"CHECK_IMAGE=sh {check}"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, told in done.stdout + done.stderr) == (code, True), done
