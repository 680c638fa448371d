"""Errors that a command ends with: one line that says what was wrong and what to do, and an exit code."""

from __future__ import annotations

import io
import shlex
import shutil
import signal
from pathlib import Path

import pytest

from benchmarks.large_study import fill
from tuner_service import extend, open_storage, stop
from tuner_service.cli import app
from tuner_service.domain.exit_code import ExitCode
from tuner_service.domain.sampler import CustomSampler
from tuner_service.errors import SpecError
from tuner_service.search import custom

_FILE = Path(__file__).parents[2] / "studies" / "digits_mlp.py"


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a file with three studies: `open` goes on, `stopped` was stopped before its end, `done` is settled."""
    file = tmp_path_factory.mktemp("studies") / "tuner.db"
    ledger = open_storage(f"sqlite:///{file}")
    for name in ("open", "stopped", "done"):
        fill(ledger, f"sqlite:///{file}", 20, name)
    for name in ("open", "stopped"):
        extend(ledger, name, 24)
    stop(ledger, "stopped")
    ledger.close()
    return file


def _ends(words: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, object]:
    """Return what a command prints where errors go, and its exit code."""
    (folder / "users").write_text("ada-has-no-password\n")
    (folder / "token").write_text("short\n")
    (folder / "empty").touch()
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            app.run(shlex.split(words.replace("FILE", str(_FILE))))
    finally:
        signal.signal(signal.SIGTERM, before)
    return " ".join(capsys.readouterr().err.split()), ended.value.code


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        pytest.param("export open --parquet a --mlflow b", "call export once for each", id="two exports at once"),
        pytest.param("export open --follow", "say where with --tensorboard DIR", id="nothing to follow for"),
        pytest.param("export open --parquet a --output b", "leave them out with --parquet", id="two formats"),
        pytest.param("export open --parquet none/a", "cannot be written: ", id="a folder that is not there"),
        pytest.param("export open 3", "say --model DIR, or take one trial's", id="a number without a model"),
        pytest.param("retry open", "or tuner retry open --failed", id="nothing to retry"),
        pytest.param("delete open", "say --yes", id="nobody to ask"),
        pytest.param("extend open", "tuner extend open --trials 48", id="nothing to extend"),
        pytest.param("extend open --trials 24", "--trials must be larger", id="a budget that is there already"),
        pytest.param(
            "enqueue stopped dropout=0.2", "`tuner resume stopped`", id="a point for a study that was stopped"
        ),
        pytest.param("enqueue done dropout=0.2", "`tuner extend done --trials 21`", id="a point beyond the budget"),
        pytest.param("enqueue open x99=0.5", "x99", id="a point of another space"),
        pytest.param(
            "plan FILE --storage sqlite:///t.db", "leave it out, or name the study", id="a file has no storage"
        ),
        pytest.param("plan open --measure", "or name the file", id="a study is not measured"),
        pytest.param("check FILE --config none.yaml", "none.yaml of --config cannot be read", id="no such overrides"),
        pytest.param("run FILE --slots 2 --slots-per-gpu 2", "leave one out", id="two numbers of slots"),
        pytest.param("db roles --prefix 'a b'", "may have small letters, digits and _", id="a name for no role"),
        pytest.param("serve --writer ada", "name the users with --users-file", id="a writer without a login"),
        pytest.param("serve --users-file users", "is not NAME:PASSWORD", id="a user without a password"),
        pytest.param("serve --users-file empty", "hold no token and no user", id="nobody who could log in"),
        pytest.param("serve --token-file token", "take a longer one", id="a short token"),
        pytest.param("serve --token-file none", "none of the login cannot be read", id="no token"),
        pytest.param("status opne", "Did you mean 'open'?", id="a name with a slip"),
        pytest.param("status open --storage mysql://h/d", "postgresql://", id="a database that is none of ours"),
        pytest.param("show open 999", "999", id="a trial that is not there"),
    ],
)
def test_mistake_is_told_with_what_to_do(
    words: str,
    remedy: str,
    storage: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A command that was given something wrong says so in a line, with the remedy, and ends as a mistake."""
    shutil.copy(storage, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUNER_STORAGE", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    said, code = _ends(words, tmp_path, capsys)
    assert said.startswith("error: ")
    assert remedy in said
    assert code == ExitCode.MISTAKE


@pytest.mark.parametrize(
    ("words", "variables", "remedy"),
    [
        pytest.param("worker open --slots 2 --slots-per-gpu 2", {}, "leave one out", id="two numbers of slots"),
        pytest.param(
            "worker open --lease 5", {}, "lengthen --lease, or shorten --beat", id="a lease that is too short"
        ),
        pytest.param(
            "worker open",
            {"TUNER_LIVE": "postgresql://h/d"},
            "wants a Redis, redis://HOST:6379/0, got postgresql://h/d",
            id="live metrics elsewhere than in Redis",
        ),
        pytest.param(
            "worker open",
            {"TUNER_STORAGE_FILE": "none"},
            "none of TUNER_STORAGE_FILE is not there, is empty, or cannot be read",
            id="no file with the storage",
        ),
    ],
)
def test_worker_that_is_misconfigured_says_so(
    words: str,
    variables: dict[str, str],
    remedy: str,
    storage: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its exit code tells whatever starts workers that starting it again does not help."""
    shutil.copy(storage, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUNER_STORAGE", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    said, code = _ends(words, tmp_path, capsys)
    assert remedy in said
    assert code == ExitCode.MISCONFIGURED


def test_sampler_that_fails_is_refused_before_a_study_is_made() -> None:
    """One of a user's own is tried on a small study, and what it raised is told."""
    spec = CustomSampler(path="optuna.samplers.GridSampler", arguments={"search_space": {}})
    with pytest.raises(SpecError, match="fails in a small study of its own: "):
        custom.kept_in_memory(spec)
