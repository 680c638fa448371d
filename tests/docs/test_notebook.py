"""The notebook of the documentation runs."""

from __future__ import annotations

from pathlib import Path

import nbclient
import nbformat
import pytest

from benchmarks.large_study import fill
from tuner_service import open_storage

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "notebooks").glob("*.ipynb"))


# The kernel's own libraries warn of each other.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_runs_on_a_finished_study(path: Path, tmp_path: Path) -> None:
    """Each of its cells gives something, the study itself and its figures as pictures."""
    url = f"sqlite:///{tmp_path / 'tuner.db'}"
    fill(open_storage(url), url, 60, "digits-mlp")
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    shown = [[output["data"] for output in cell if "data" in output] for cell in outputs]
    assert all(map(len, shown))
    assert "<h4>digits-mlp</h4>" in shown[0][0]["text/html"]
    assert sum("image/png" in data for cell in shown for data in cell) == 2


def test_notebooks_hold_no_outputs() -> None:
    """What a run printed would soon be another's."""
    cells = [cell for path in NOTEBOOKS for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert cells
    assert [cell.outputs for cell in cells] == [[]] * len(cells)
