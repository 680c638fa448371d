"""The tutorial, followed: its study is what its pieces make, and its commands do what it says."""

from __future__ import annotations

import re
import runpy
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.error import URLError

import pytest

from tests.docs.test_documentation import ROOT
from tests.e2e.tuner import Tuner, opened, settled, until
from tests.servers import free_port
from tuner_service.training.inspection import inspect

_PAGE = (ROOT / "docs" / "tutorial.md").read_text()
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Its sections by their numbers, each the language and text of its blocks.
_SECTIONS = {int(text[0]): _FENCE.findall(text) for text in _PAGE.split("\n## ") if text[0].isdigit()}


def write_study(folder: Path) -> Path:
    """Write the study file as a reader does, one piece below the other, and return its path."""
    path = folder / "studies" / "tumours.py"
    path.parent.mkdir()
    path.write_text("\n\n".join(text for language, text in _SECTIONS[2] if language == "python"))
    return path


def commands(section: int) -> list[list[str]]:
    """Return the words of each `tuner` command that a section shows."""
    shown = "".join(text for language, text in _SECTIONS[section] if language == "sh")
    return [line.partition(" #")[0].split()[1:] for line in shown.splitlines() if line.startswith("tuner ")]


@pytest.fixture
def reader(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tuner]:
    """Provide the reader's folder with the study, on PostgreSQL, and with the exports of section 4."""
    write_study(tmp_path)
    monkeypatch.setenv("TUNER_ARTIFACTS", str(tmp_path / "shared"))
    with opened(tmp_path, postgres_url) as tuner:
        yield tuner


def tune(reader: Tuner, budget: str) -> None:
    """Follow section 4: the study is created, and two workers settle it while somebody watches."""
    create, worker, watch = commands(4)
    reader(*create, *(["--set", f"trials={budget}"] if budget else []))
    with ExitStack() as stack:
        workers = [stack.enter_context(reader.start(*worker)) for _ in range(2)]
        reader(*watch)
        assert [one.wait().code for one in workers] == [0, 0]


def test_pieces_make_a_study(tmp_path: Path) -> None:
    """The study file that comes of section 2 imports, its data loads, its networks are built."""
    inspection = inspect(write_study(tmp_path), [])
    assert inspection.spec.name == "tumours"
    assert {name for drawn in inspection.draws for name in drawn} == {
        "layers", "units", "dropout", "learning_rate", "batch_size",
    }  # fmt: skip


@pytest.mark.soak
def test_two_workers_on_postgresql_and_a_report(reader: Tuner) -> None:
    """Two workers share the study as the page says, and the report of it is written; with a smaller budget here."""
    tune(reader, "4")
    assert settled(reader.attempts()) == [0, 1, 2, 3]
    reader(*commands(6)[0])
    assert (reader.folder / "tumours-report" / "report.html").exists()


@pytest.mark.soak
def test_all_of_it(reader: Tuner, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every `tuner` command of the page works, one after the other, with the numbers that it has."""
    with monkeypatch.context() as laptop, opened(tmp_path_factory.mktemp("laptop")) as tuner:
        laptop.delenv("TUNER_ARTIFACTS")
        write_study(tuner.folder)
        for words in (*commands(2), *commands(3)):
            tuner(*words)
        assert len(settled(tuner.attempts())) == 30

    tune(reader, "")
    assert settled(reader.attempts()) == list(range(60))
    assert len({owner for *_, owner in reader.attempts()}) == 2

    (serve,) = commands(5)
    port = free_port()
    with reader.start(*serve, "--port", str(port)):
        until("it serves", lambda: _answers(f"http://127.0.0.1:{port}/v1/studies/tumours"))

    for words in (*commands(6), *commands(7)):
        reader(*words)
    (loading,) = [text for language, text in _SECTIONS[6] if language == "python"]
    (reader.folder / "load.py").write_text(loading)
    monkeypatch.chdir(reader.folder)
    runpy.run_path("load.py")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except URLError:
        return False
