"""The database's password, and everybody who must not see it."""

from __future__ import annotations

import json

import pytest

from tests.e2e.tuner import Tuner
from tests.servers import PostgresServer

_CANARY = "c4n4ry-in-a-c0al-mine"
#: Storages that do not answer.
_AWAY = (f"redis://:{_CANARY}@127.0.0.1:1/0", f"postgresql://ada:{_CANARY}@127.0.0.1:1/tuner")


@pytest.mark.timeout(600)
def test_study_code_and_outputs_never_hold_the_password(
    postgres_tuner: Tuner, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in no environment and no arguments up the chain of processes, and in no output, log, file or export.

    Nor are the password of a Redis for live metrics and the address of a webhook, of which neither answers. That holds
    at debug level, of trials that fail and that crash, and of commands that do.
    """
    monkeypatch.setenv("TUNER_LIVE", f"redis://:{_CANARY}@127.0.0.1:1/0")
    monkeypatch.setenv("TUNER_WEBHOOK", f"http://127.0.0.1:1/{_CANARY}")
    url = postgres_tuner.storage.replace("postgres:@", f"postgres:{_CANARY}@")
    tuner = Tuner(postgres_tuner.folder, url, postgres_tuner.marker)
    study = tuner.add_study("nosy")
    # Files of the working folder are not taken for packages by the processes that hold the password.
    for package in ("psycopg2", "stamina", "yaml"):
        (tuner.folder / f"{package}.py").write_text("raise SystemExit('shadowed')\n")
    results = [
        tuner("--verbose", "run", "studies/nosy.py", "--slots", "1"),
        tuner("run", "studies/nosy.py", "--storage", url, "--set", "trials=3"),
        tuner("list"),
        tuner("trials", "nosy", "--json"),
        tuner("export", "nosy"),
        tuner("export", "nosy", "--tensorboard", "logs"),
        tuner("report", "nosy"),
        tuner("doctor", "--json"),
        tuner("--verbose", "check", "studies/nosy.py"),
        tuner("--verbose", "rerun", "nosy", "0"),
        tuner("status", "nobody", code=2),
        *(tuner("-v", "status", "nosy", "--storage", away, code=2) for away in _AWAY),
    ]
    tuner.change("ALTER TABLE trials RENAME TO gone_trials")
    with tuner.start("--verbose", "trials", "nosy") as command:
        results.append(command.wait())
    tuner.change("ALTER TABLE gone_trials RENAME TO trials")
    assert results[-1].code != 0
    reasons = {one["reason"] for one in json.loads(results[3].out)["trials"]}
    assert {"error", "crashed"} <= reasons, "those ways out were taken"
    assert "***" in results[0].out
    assert "3 of 3 settled" in results[1].out

    seen = {path: path.read_text() for path in study.parent.glob("seen-*.txt")}
    assert {path.name.split("-")[1] for path in seen} == {"import", "trial"}
    # It could look, and found something: what it found is not the password.
    assert all("TUNER_TEST_MARKER" in found for found in seen.values())
    leaks = [str(path) for path, found in seen.items() if _CANARY in found]
    leaks += [f"command {number}" for number, one in enumerate(results) if _CANARY in one.out + one.err]
    written = [path for path in tuner.folder.rglob("*") if path.is_file()]
    leaks += [str(path) for path in written if _CANARY.encode() in path.read_bytes()]
    tables = {name for (name,) in tuner.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert {"studies", "trial_user_attributes", "tuner_attempts"} <= tables
    for table in tables:
        leaks += [table for row in tuner.query(f'SELECT * FROM "{table}"') if _CANARY in str(row)]
    assert leaks == []
