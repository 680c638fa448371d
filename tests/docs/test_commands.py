"""The commands of the manual that need no training do what the page says, on a study that is made up."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from benchmarks.large_study import fill
from tests.docs.test_documentation import commands
from tuner_service import extend, open_storage
from tuner_service.cli import app

#: Commands that read a study's rows, or change them: the others train, draw, wait for work, or ask a cluster.
_RUN = {
    "best", "cancel", "compare", "db", "delete", "enqueue", "export", "extend", "gc", "list", "pause", "plan", "render",
    "report", "resume", "retry", "show", "status", "stop", "trials", "watch",
}  # fmt: skip


def _runs(line: str) -> bool:
    # Models have to be trained for, MLflow's libraries take longer than all others together, following has no end, and
    # roles are applied on PostgreSQL.
    needs = ("--model", "--mlflow", "--file", "studies/", "--follow", "--apply")
    return line.split()[1] in _RUN and not any(one in line for one in needs)


# Each way of saying a command once, on one of the studies.
LINES = sorted({re.sub(r"^(tuner \w+) \S+", r"\1", line): line for _, line in commands() if _runs(line)}.values())


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a file with each study that those lines name, 60 of whose 64 configurations are settled."""
    file = tmp_path_factory.mktemp("studies") / "tuner.db"
    ledger = open_storage(f"sqlite:///{file}")
    words = [word for line in LINES for word in shlex.split(line)[2:4] if not line.startswith("tuner db")]
    for name in sorted({word for word in words if word.islower() and not word.startswith("-") and "=" not in word}):
        fill(ledger, f"sqlite:///{file}", 60, name)
        extend(ledger, name, 64, changes={"stop": {"hours": 1e6}})
    ledger.close()
    return file


@pytest.mark.parametrize("line", LINES)
def test_command_of_a_page_works(line: str, storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends well, on a study of the name that it gives."""
    shutil.copy(storage, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUNER_STORAGE", raising=False)
    words = shlex.split(line)[1:]
    if words[0] == "watch":
        # Of a study that goes on there is no end to see.
        _run(["stop", words[1]])
    _run(words)


def _run(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app.run(words)
    assert not ended.value.code
