"""The script of the manual, which does from Python what commands do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.docs.test_documentation import ROOT, blocks


def test_script_of_the_manual_runs(tmp_path: Path) -> None:
    """It tunes twice, extends a study, and writes what it says."""
    study, script = blocks(ROOT / "docs" / "how-to" / "python.md", "python")
    (tmp_path / "bowl.py").write_text(study)
    (tmp_path / "script.py").write_text(script)
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, timeout=120, check=True)
    assert "bowl-0 finished\nbowl-1 finished\nbowl-0: 8 of 8, best " in done.stdout
    assert len((tmp_path / "bowl-1.csv").read_text().splitlines()) == 9
