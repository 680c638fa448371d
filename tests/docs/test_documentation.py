"""The manual: what it shows is there, what it quotes is the file, what it lists is the code's own list."""

from __future__ import annotations

import ast
import gzip
import re
import runpy
import shlex
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
import yaml

import tuner_service
from benchmarks.large_study import fill
from tuner_service import open_storage
from tuner_service.cli.app import app
from tuner_service.domain.outcome import RULES
from tuner_service.domain.spec import StudySpec
from tuner_service.storage.tables import metadata
from tuner_service.training.inspection import inspect

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
#: Not what several of them load.
STUDIES = [path for path in sorted((ROOT / "studies").glob("*.py")) if "StudySpec(" in path.read_text()]
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the fenced blocks of a page in these languages."""
    return [text for language, text in _FENCE.findall(page.read_text()) if language in languages]


def commands() -> Iterator[tuple[str, str]]:
    """Yield each page and each command line of ours that its blocks show, lines that end in a backslash joined."""
    for page in PAGES:
        for line in chain.from_iterable(text.replace("\\\n", " ").splitlines() for text in blocks(page, "sh")):
            if line.startswith("tuner "):
                yield page.name, line.partition(" #")[0].strip()


def named_command(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that words begin with, of a group or not, and the other words."""
    command, rest = COMMANDS[words[0]], words[1:]
    if rest and rest[0] in getattr(command, "commands", {}):
        return command.commands[rest[0]], rest[1:]
    return command, rest


def anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings make, as GitHub does."""
    text = _FENCE.sub("", page.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every file, folder, picture and heading that a page links to exists."""
    dead = []
    for link in _LINK.findall(_FENCE.sub("", page.read_text())):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_seconds_in_the_readme_were_measured() -> None:
    """The README's table of speeds has seconds that `make bench` wrote into docs/performance.md, rounded."""
    page = (ROOT / "docs" / "performance.md").read_text()
    names = "trial throughput", "time to value", "cross-validation"
    tables = [page.partition(f"<!-- {one}: written by make bench -->")[2].partition("<!--")[0] for one in names]
    measured = {round(float(one)) for one in re.findall(r"^\| .*?\| ([\d.]+) \|", "\n".join(tables), re.M)}
    shown = re.findall(r"^\| .* \| (\d+) \| (\d+) \(.*\) \| (\d+) \(", (ROOT / "README.md").read_text(), re.M)
    assert len(shown) >= 5
    assert {int(seconds) for row in shown for seconds in row} <= measured


def test_study_file_in_the_readme_is_the_one_in_studies() -> None:
    """The README shows `studies/digits_mlp.py` as it is, to the letter."""
    assert blocks(ROOT / "README.md", "python")[0] == (ROOT / "studies" / "digits_mlp.py").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_is_python(page: Path) -> None:
    """Every Python block compiles, and imports from this package only what it offers."""
    for text in blocks(page, "python"):
        compile(text, page.name, "exec")
        for names in re.findall(r"^from tuner_service import (.+)$", text, re.MULTILINE):
            assert {name.strip() for name in names.split(",")} <= set(tuner_service.__all__)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, id=f"{page.stem} {number}")
        for page in PAGES
        for number, text in enumerate(blocks(page, "yaml", "json"))
    ],
)
def test_data_of_a_page_is_data(text: str) -> None:
    """What a page shows as YAML or JSON, which is YAML too, is a mapping."""
    assert isinstance(yaml.safe_load(text), dict)


@pytest.mark.parametrize("line", [pytest.param(line, id=f"{page}: {line}") for page, line in commands()])
def test_command_lines_are_understood(line: str) -> None:
    """A command that a page shows exists, with these options and as many arguments; it is not run."""
    command, arguments = named_command(shlex.split(line)[1:])
    # Raises where an argument is missing or an option is not known.
    command.make_context(command.name, arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_named_in_the_text_exist(page: Path) -> None:
    """So do those that stand between backticks in a sentence, with their options."""
    for words in re.findall(r"`tuner ([a-z][^`]*)`", _FENCE.sub("", page.read_text())):
        command, rest = named_command(words.split())
        options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word for word in rest if word.startswith("--")} <= options


def test_every_command_is_in_the_manual() -> None:
    """No command has to be found by chance, nor one of a group."""
    text = "\n".join(page.read_text() for page in PAGES)
    names = [
        f"{name} {inner}".strip()
        for name, command in COMMANDS.items()
        for inner, one in getattr(command, "commands", {"": command}).items()
        if not one.hidden
    ]
    assert [name for name in names if not re.search(rf"\btuner {name}\b", text)] == []


def test_make_targets_exist() -> None:
    """Every `make` command that the manual names is a target."""
    named = {name for page in PAGES for name in re.findall(r"(?:^|`)make (\w+)", page.read_text(), re.MULTILINE)}
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test", "lint"} <= named <= targets


def test_rooms_come_in_the_order_of_the_import_contract() -> None:
    """`docs/architecture.md` walks through the rooms as pyproject.toml lists them, all of them, in under 300 lines."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    rooms = [room.strip() for layer in layers for room in layer.split("|")]
    walked = re.findall(r"^### `(\w+)`$", page, re.MULTILINE)
    assert walked == rooms
    assert len(page.splitlines()) < 300
    package = ROOT / "tuner_service"
    assert all((package / room).is_dir() or (package / f"{room}.py").is_file() for room in rooms)


def test_modules_named_in_a_room_are_there() -> None:
    """A module or package that the text puts into a room, such as `ledger_storage`, is one."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    named = {
        "worker": ("supervisor", "slot", "evaluation", "watchdog", "trial_files", "device_gate", "outbox"),
        "ledger": ("plan", "reconcile", "running"),
        "training": (
            "study_file",
            "inspection",
            "isolated",
            "warm",
            "child",
            "remote_trial",
            "network",
            "batches",
            "hyperparameters",
            "hp_kinds",
            "hypermodel",
            "param_dictionary",
            "checkpoint",
            "evaluation",
            "without_tensorflow",
        ),
        "storage": ("ledger_storage", "tables", "sql/fence"),
        "domain": (
            "spec",
            "sampler",
            "pruner",
            "limits",
            "override",
            "outcome",
            "attempt",
            "code",
            "study",
            "comparison",
            "forecast",
            "revision",
            "rules",
            "finding",
            "provenance",
            "code_change",
            "objective_value",
            "folds",
            "run",
            "score",
            "measured",
            "engine",
            "seeds",
        ),
        "cluster": ("pool", "manifests", "api", "submitting", "reasons"),
        "results": ("summary", "trials", "export", "model", "doctor"),
        "coordinator": ("studies", "control", "collect", "loop", "local_workers"),
        "cli": ("app", "running", "inspecting", "exporting", "steering", "live"),
    }
    for room, modules in named.items():
        section = page.split(f"\n### `{room}`\n")[1].split("\n### ")[0]
        for module in modules:
            assert f"`{module}" in section
            assert (ROOT / "tuner_service" / room / f"{module}.py").exists()


def test_outcomes_are_those_of_the_code() -> None:
    """The table of outcomes has every reason once, with its state and whether it settles."""
    rows = re.findall(
        r"^\| `(\w+)` \| (COMPLETE|PRUNED|FAIL) \| (\w+) \|", (ROOT / "docs/reliability.md").read_text(), re.MULTILINE
    )
    assert rows == [(str(reason), str(rule.state), str(rule.counts)) for reason, rule in RULES.items()]


def test_rules_of_check_are_those_of_the_code() -> None:
    """The table of what `check` finds has every rule that the code has, and no other."""
    section = (ROOT / "docs/search.md").read_text().split("\n## Before it starts: check\n")[1].split("\n## ")[0]
    described = {
        name for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall(r"`(.+?)`", row)
    }
    found = set()
    for path in (ROOT / "tuner_service").glob("*/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name(id="Finding") | ast.Attribute(attr="note"), args=[ast.Attribute(), rule, *_]
                ):
                    found.add(_written(rule))
                case ast.Call(func=ast.Attribute(attr="_stage"), args=[rule, *_]):
                    found.add(_written(rule))
    # Where a rule names the parts that have rows in common, one of them stands for all.
    assert {re.sub("^(test|validation)-in-(validation|train)$", "{}-in-{}", one) for one in described} == {
        re.sub("^test-in-", "{}-in-", one) for one in found - {""}
    }


def _written(node: ast.expr) -> str:
    """Return text as it stands in the code, with braces for what an f-string fills in; nothing for a variable."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=values):
            return "".join("{}" if isinstance(one, ast.FormattedValue) else _written(one) for one in values)
    return ""


def test_messages_are_those_of_the_code() -> None:
    """Every message that a child sends over its pipe is described, and no other."""
    page = (ROOT / "docs/architecture.md").read_text()
    table = page.split("| message of the child |")[1].split("\n\n")[0]
    described = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))))
    sources = (path.read_text() for path in (ROOT / "tuner_service/training").glob("*.py"))
    assert described == {name for text in sources for name in re.findall(r"\.(?:ask|tell)\(\s*\"(\w+)\"", text)}


def test_each_promise_names_the_tests_that_hold_it() -> None:
    """Eight promises, each with links to test files; that these are there is another test's concern."""
    section = (ROOT / "docs/reliability.md").read_text().split("\n## ")[1]
    promises = re.split(r"^\*\*(\d)\. ", section, flags=re.MULTILINE)[1:]
    assert promises[::2] == [str(number) for number in range(1, 9)]
    assert all(re.search(r"\]\(\.\./tests/\w+/[\w/]*test_\w+\.py\)", text) for text in promises[1::2])


def test_settings_have_the_defaults_of_the_code() -> None:
    """What the table of settings gives as a default is one."""
    rows = re.findall(r"^\| `([^`]+)` \| (\S+)", (ROOT / "docs/reliability.md").read_text(), re.MULTILINE)
    shown = {name: default for name, default in rows if name.startswith(("limits.", "max_", "tuner worker "))}
    spec = StudySpec(name="defaults", metric="loss", trials=1, max_epochs=1)
    expected: dict[str, float | None] = {f"limits.{name}": value for name, value in spec.limits.model_dump().items()}
    expected |= {name: getattr(spec, name) for name in ("max_attempts", "max_repeated_errors")}
    options = {option: parameter for parameter in COMMANDS["worker"].params for option in parameter.opts}
    expected |= {f"tuner worker {name}": options[name].default for name in ("--beat", "--lease", "--wait")}
    assert shown == {name: "none" if value is None else f"{value:g}" for name, value in expected.items()}


def test_tables_are_those_of_the_code() -> None:
    """Every table of this service's is described, and no other."""
    described = re.findall(r"^\| `(tuner_\w+)` \|", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE)
    assert sorted(described) == sorted(metadata.tables)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_study_can_be_created(path: Path, idx_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each study imports, its data loads, its networks are built, and its metric is reported."""
    monkeypatch.setenv("TUNER_IDX_DIR", str(idx_folder))
    # In this process, which has Keras then, since each new one takes seconds to import it.
    inspection = inspect(path, [])
    assert inspection.spec.name == path.stem.replace("_", "-")
    assert inspection.kind == "build_model"
    assert inspection.draws
    assert all(inspection.draws)


#: Pages whose code has tests of its own: the README's is a file of studies/.
_TESTED = ("README.md", "tutorial.md", "python.md")
#: Words of code that needs a server, or a model that was trained.
_NEEDS = ("tuner.example", "best.keras")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, id=f"{page.stem} {number}")
        for page in PAGES
        for number, text in enumerate(blocks(page, "python"))
        if page.name not in _TESTED and not any(word in text for word in _NEEDS)
    ],
)
def test_code_of_a_page_runs(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study can be created from what is a whole one; all else is executed, beside a study that has finished."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "shown.py"
    path.write_text(text)
    patients = np.column_stack((np.arange(240).reshape(60, 4), np.arange(60) % 2))
    np.savetxt(tmp_path / "patients.csv", patients, delimiter=",", header="a,b,c,d,ill")
    if "StudySpec(" in text and "load_data" in text:
        assert inspect(path, []).draws
        return
    if "open_study(" in text:
        url = f"sqlite:///{tmp_path / 'tuner.db'}"
        fill(open_storage(url), url, 60, "digits-mlp")
    runpy.run_path(str(path))


@pytest.fixture(scope="module")
def idx_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide small images in MNIST's format, one file plain and the others gzipped."""
    folder = tmp_path_factory.mktemp("idx")
    random = np.random.default_rng(0)
    for prefix, rows in (("train", 600), ("t10k", 64)):
        labels = random.integers(0, 10, rows, dtype=np.uint8)
        images = np.broadcast_to(labels[:, None, None] * np.uint8(25), (rows, 28, 28))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_file(labels))
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_file(images), compresslevel=1))
    return folder


def idx_file(values: np.ndarray) -> bytes:
    """Return an array of bytes in the IDX format: type, rank, big-endian sizes, values."""
    sizes = np.array(values.shape, ">u4").tobytes()
    return bytes([0, 0, 8, values.ndim]) + sizes + np.ascontiguousarray(values, np.uint8).tobytes()
