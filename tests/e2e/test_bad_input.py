"""What a user can get wrong: one clear line that says what was received and what to do, and nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.tuner import STUDIES, Result, Tuner, opened

_CANARY = "c4n4ry-in-a-c0al-mine"
_SPEC = 'from tuner_service import StudySpec\nspec = StudySpec(name="s", metric="val_accuracy", {})\n'
_SMALL = "trials=2, max_epochs=2"
_OBJECTIVE = "def objective(trial):\n    return trial.suggest_float('x', 0, 1)\n"
_DATA = "from small import digits as load_data, perceptron\n"
_MODEL = "def build_model(trial):\n    return perceptron(8, 0.01)\n"
_KERAS = _SPEC.format(_SMALL) + _DATA + _MODEL


@dataclass(frozen=True)
class Case:
    """A mistake, and what has to be said about it."""

    said: Sequence[str]  #: parts of the message
    study: str = ""  #: content of the study file, if there is one
    arguments: Sequence[str] = ("create", "study.py")
    storage: str = ""  #: its URL, if it is not an SQLite file
    code: int = 2


_FILES = {
    "a missing file": Case(["study file study.py cannot be read", "No such file"]),
    "a file that is a folder": Case(["cannot be read"], arguments=("create", ".")),
    "a syntax error": Case(["study.py", "line 2", "not Python"], "import keras\ndef objective(trial:\n"),
    "a file that does not import": Case(
        ["study.py does not import", "ModuleNotFoundError: No module named 'no_such_module'", "--traceback"],
        "import no_such_module\n",
    ),
    "the whole traceback on demand": Case(
        ["study.py does not import: ZeroDivisionError", "Traceback (most recent call last)", "return 1 / 0"],
        "def broken():\n    return 1 / 0\nbroken()\n",
        ("create", "study.py", "--traceback"),
    ),
    "the whole traceback of what cannot be planned": Case(
        ["study.py does not import: ZeroDivisionError", "Traceback (most recent call last)", "return 1 / 0"],
        "def broken():\n    return 1 / 0\nbroken()\n",
        ("plan", "study.py", "--traceback"),
    ),
    "a file that ends the process": Case(["study.py does not import", "SystemExit"], "raise SystemExit(3)\n"),
    "neither build_model nor objective": Case(
        ["defines none of build_model(trial)", "objective(trial)"], _SPEC.format(_SMALL)
    ),
    "no load_data": Case(["no load_data()", "Data(...)"], _SPEC.format(_SMALL) + "def build_model(trial): ...\n"),
    "a function with other parameters": Case(
        ["objective must be callable as objective(trial)"], _SPEC.format(_SMALL) + "def objective(): ...\n"
    ),
    "no specification": Case(["no `spec`", "StudySpec(name=", "--set"], _DATA + _MODEL),
    "a specification of another type": Case(["spec must be a StudySpec(...), got dict"], "spec = {}\n" + _OBJECTIVE),
}
_SPECIFICATIONS = {
    "an unknown field": Case(
        ["'trails'", "Did you mean 'trials'?"], _SPEC.format("trails=3, max_epochs=2") + _OBJECTIVE
    ),
    "no trials, by --set": Case(
        ["trials: must be greater than 0, got 0"],
        _SPEC.format(_SMALL) + _OBJECTIVE,
        ("create", "study.py", "--set", "trials=0"),
    ),
    "a metric of unknown direction": Case(
        ["'val_quality'", 'direction="maximize"'],
        _SPEC.format(_SMALL) + _OBJECTIVE,
        ("create", "study.py", "--set", "metric=val_quality"),
    ),
    "an unknown pruner": Case(
        ["'hyperbend'", "hyperband"],
        _SPEC.format(_SMALL) + _OBJECTIVE,
        ("create", "study.py", "--set", "pruner=hyperbend"),
    ),
    "an assignment without a value": Case(
        ["--set wants field=value", "'trials'"],
        _SPEC.format(_SMALL) + _OBJECTIVE,
        ("create", "study.py", "--set", "trials"),
    ),
    "a missing file of --config": Case(
        ["more.yaml", "No such file"],
        _SPEC.format(_SMALL) + _OBJECTIVE,
        ("create", "study.py", "--config", "more.yaml"),
    ),
}
#: These import Keras.
_NETWORKS = {
    "a metric that Keras does not report": Case(
        ["no metric 'val_auc'", "val_accuracy, val_loss", "compile"],
        _KERAS,
        ("create", "study.py", "--set", "metric=val_auc"),
    ),
    "a model that is not compiled": Case(
        ["not compiled", "model.compile("],
        _SPEC.format(_SMALL) + _DATA + "import keras\n"
        "def build_model(trial):\n    return keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)])\n",
    ),
    "a choice that a database cannot keep": Case(
        ["'shape'", "(8, 4)", "tuple", "database cannot keep"],
        _SPEC.format(_SMALL) + _DATA + "def build_model(trial):\n"
        "    trial.suggest_categorical('shape', [(8, 4), (4, 8)])\n    return perceptron(8, 0.01)\n",
    ),
    "arguments that fit is given anyway": Case(
        ["fit_options must not give validation_data", "load_data"],
        _KERAS + "def fit_options(trial):\n    return {'validation_data': None}\n",
    ),
    "an argument that fit does not know": Case(
        ["study.py: fit failed: TypeError", "'batchsize'"],
        _KERAS + "def fit_options(trial):\n    return {'batchsize': 32}\n",
    ),
    "data that does not fit the network": Case(
        ["study.py: load_data failed", "ValueError", "rows"],
        _KERAS.replace("from small import digits as load_data, perceptron", "from small import perceptron")
        + "def load_data():\n    from tuner_service import Data\n    return Data.split([[0.0]] * 9, [1] * 8)\n",
    ),
}
_STORAGES = {
    "an unreachable PostgreSQL": Case(
        ["the storage postgresql://me:***@127.0.0.1:1/tuner cannot be used", "Connection refused"],
        _SPEC.format(_SMALL) + _OBJECTIVE,
        storage=f"postgresql://me:{_CANARY}@127.0.0.1:1/tuner",
    ),
    "an unreachable PostgreSQL, given by --storage": Case(
        ["postgresql://me:***@127.0.0.1:1/tuner cannot be used"],
        arguments=("status", "digits", "--storage", f"postgresql://me:{_CANARY}@127.0.0.1:1/tuner"),
    ),
    "an unreachable Redis": Case(
        ["127.0.0.1:1", "cannot be used"], arguments=("list",), storage=f"redis://:{_CANARY}@127.0.0.1:1/0"
    ),
    "an unknown kind of storage": Case(
        ["mysql:// is not known", "postgresql://USER@HOST"],
        arguments=("list",),
        storage=f"mysql://me:{_CANARY}@127.0.0.1/tuner",
    ),
    "no URL at all": Case(
        ["storage URL cannot be read", "sqlite:///FILE"], arguments=("list",), storage=f"my {_CANARY} database"
    ),
    "an SQLite file in a folder that is not there": Case(
        ["folder nowhere", "does not exist"], _SPEC.format(_SMALL) + _OBJECTIVE, storage="sqlite:///nowhere/tuner.db"
    ),
    "a worker without a storage": Case(
        ["no tables of this service yet"], arguments=("worker", "digits", "--wait", "0"), code=78
    ),
    "a study in a storage without tables": Case(["no tables of this service yet"], arguments=("status", "digits")),
}


def _files(tuner: Tuner) -> list[str]:
    return sorted(
        str(path.relative_to(tuner.folder))
        for path in tuner.folder.rglob("*")
        if not {"output", "__pycache__"} & set(path.relative_to(tuner.folder).parts)
    )


@dataclass(frozen=True)
class Outcome:
    """What a command said of a mistake, and the files that there were before and after."""

    result: Result
    before: list[str]
    after: list[str]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> dict[str, Outcome]:
    """Provide what comes of all mistakes that were selected, made side by side: most of the time is Keras' import."""

    def make(name: str) -> Outcome:
        case = _CASES[name]
        with opened(folders[name], case.storage or None) as tuner:
            (tuner.folder / "small.py").write_text((STUDIES / "small.py").read_text())
            if case.study:
                (tuner.folder / "study.py").write_text(case.study)
            before = _files(tuner)
            with tuner.start(*case.arguments) as command:
                result = command.wait()
            return Outcome(result, before, _files(tuner))

    mine = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    selected = [spec.params["name"] for spec in mine if spec is not None and "name" in spec.params]
    folders = {name: tmp_path_factory.mktemp("mistake") for name in selected}
    with ThreadPoolExecutor(3) as pool:
        return dict(zip(folders, pool.map(make, folders), strict=True))


_CASES = {**_FILES, **_SPECIFICATIONS, **_NETWORKS, **_STORAGES}


@pytest.mark.parametrize("name", _CASES)
def test_mistake_gets_one_clear_line(name: str, outcomes: dict[str, Outcome]) -> None:
    """The message says what was wrong, what was received and what to do; no password is shown, no file is made."""
    case, outcome = _CASES[name], outcomes[name]
    result = outcome.result
    assert result.code == case.code, result.err
    for part in case.said:
        assert part in result.err
    # What Redis cannot promise is said whenever it is used.
    lines = [line for line in result.err.splitlines() if not line.startswith("warning: Redis")]
    assert lines[0].startswith("error: ")
    if "--traceback" not in case.arguments:
        assert len(lines) == 1 or (len(lines) == 2 and "--traceback" in lines[1]), result.err
    assert _CANARY not in result.out + result.err
    assert outcome.after == outcome.before


def _rows(tuner: Tuner) -> list[object]:
    return [tuner.query(f"SELECT * FROM {table}") for table in ("studies", "tuner_studies", "trials", "tuner_attempts")]


@pytest.fixture(scope="module")
def with_study(module_tuner: Tuner) -> Tuner:
    """Provide a folder in which a study was made, and has not begun."""
    module_tuner.add_study("bowl")
    module_tuner("create", "studies/bowl.py")
    return module_tuner


def test_unknown_study_is_told_with_those_that_exist(with_study: Tuner) -> None:
    """A command that names no study of this storage says which it has, and which one may be meant."""
    with ThreadPoolExecutor(3) as pool:
        commands = ("status", "best", "trials", "watch", "pause", "export", "stop")
        messages = pool.map(lambda command: with_study(command, "bow", code=2).err, commands)
    for refused in messages:
        assert "There is no study 'bow'" in refused
        assert "Did you mean 'bowl'?" in refused
    assert "this storage holds bowl" in with_study("worker", "bow", "--wait", "0", code=78).err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(
            ("trials", "bowl", "--state", "done"),
            ["--state knows running, complete, pruned, failed", "'done'"],
            id="an unknown state",
        ),
        pytest.param(("show", "bowl", "99"), ["no trial 99", "0 to"], id="an unknown trial"),
        pytest.param(("best", "bowl"), ["no complete trial yet", "tuner status bowl"], id="a best of nothing"),
        pytest.param(("export", "bowl", "-o", "no/file"), ["no/file", "No such file"], id="a file in no folder"),
        pytest.param(("extend", "bowl", "--trials", "4"), ["larger", "4"], id="an extension by nothing"),
        pytest.param(("delete", "bowl"), ["--yes"], id="a deletion without a yes"),
        pytest.param(("run", "studies/bowl.py", "--set", "metric=loss"), ["metric: recorded"], id="two of one name"),
        pytest.param(("statsu", "bowl"), ["No such command"], id="an unknown command"),
    ],
)
def test_mistake_about_a_study_changes_nothing(
    with_study: Tuner, arguments: Sequence[str], said: Sequence[str]
) -> None:
    """The study is as it was after a command that was refused."""
    before = _rows(with_study), _files(with_study)
    refused = with_study(*arguments, code=2).err
    for part in said:
        assert part in refused
    assert "Traceback" not in refused
    assert (_rows(with_study), _files(with_study)) == before


def test_worker_refuses_what_is_not_its_study(with_study: Tuner) -> None:
    """Other code, no code, or another folder of artifacts: exit code 78, and nothing is claimed."""
    tuner, study = with_study, with_study.folder / "studies" / "bowl.py"
    assert "does not exist" in tuner("worker", "bowl", "--studies", "nowhere", code=78).err
    source = study.read_text()
    try:
        study.write_text(source.replace("x**2", "x**4"))
        refused = tuner("worker", "bowl", code=78).err
        assert "is not the code" in refused
        assert "--accept-code" in refused
        study.unlink()
        assert "no file in studies is the study 'bowl'" in tuner("worker", "bowl", code=78).err
    finally:
        study.write_text(source)
    probe = Path(tuner.folder / "tuner-artifacts" / "bowl" / "probe.txt")
    content = probe.read_text()
    try:
        probe.unlink()
        assert "not what the study was created with" in tuner("worker", "bowl", code=78).err
        probe.write_text("another study's")
        assert "give every worker the same folder" in tuner("worker", "bowl", code=78).err
    finally:
        probe.write_text(content)
    assert {state for _, _, state, _, _ in tuner.attempts()} == {"WAITING"}
