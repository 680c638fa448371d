"""What `tuner serve` answers on every backend, to whom, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import optuna
import pytest
import redis
from optuna_dashboard import wsgi
from sqlalchemy import MetaData, create_engine, select
from sqlalchemy.exc import DBAPIError
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from tests.records import make_new_study
from tests.served import BEARER, PASSWORD, TOKEN, seed
from tuner_service.bootstrap import open_storage
from tuner_service.domain.study import Ending, StudyRecord
from tuner_service.errors import StorageError
from tuner_service.serve.app import make_app
from tuner_service.serve.users import Users
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.storage.live import LiveEpoch, LiveMetrics
from tuner_service.storage.url import StorageUrl

_HOST = "http://127.0.0.1"
_LIVE_PAGE = {
    "/live": "text/html", "/live/digits": "text/html", "/live.css": "text/css", "/live.js": "text/javascript"
}  # fmt: skip


@pytest.fixture
def study(storage: LedgerStorage, tmp_path: Path) -> StudyRecord:
    """Provide a study with a trial that is complete, one that diverged, one that runs, and one that waits."""
    return seed(storage, tmp_path)


@pytest.fixture
def app(storage_url: str, study: StudyRecord) -> Iterator[ASGIApp]:
    """Provide the application, with a token that looks and somebody who writes."""
    with closing(open_storage(storage_url, reads_only=True)) as reading, closing(open_storage(storage_url)) as writing:
        yield make_app(reading, Users({"token": TOKEN, "ada": PASSWORD}, ["ada"]), writing.optuna_storage)


@pytest.fixture
def client(app: ASGIApp) -> TestClient:
    """Provide somebody who may look."""
    return TestClient(app, base_url=_HOST, headers=BEARER, follow_redirects=False)


def _content(url: str) -> dict[str, Any]:
    """Return all that a storage holds."""
    parsed = StorageUrl.parse(url)
    if parsed.backend == "redis":
        with redis.Redis.from_url(url) as server:
            return {str(key): server.dump(key) for key in server.scan_iter()}
    engine, tables = create_engine(parsed.url), MetaData()
    with engine.connect() as connection:
        tables.reflect(connection)
        found = {name: sorted(map(repr, connection.execute(select(one)))) for name, one in tables.tables.items()}
    engine.dispose()
    return found


def _dashboard_routes(study: StudyRecord) -> list[tuple[str, str]]:
    """Return method and path of everything that the dashboard answers."""
    values = {
        "<study_id:int>": study.study_id,
        "<trial_id:int>": 1,
        "<plot_type>": "none",
        "<filename:path>": "bundle.js",
    }
    routes = wsgi(optuna.storages.InMemoryStorage()).routes  # type: ignore[union-attr]  # it is a Bottle
    found = []
    for route in routes:
        path = route.rule
        for name, value in values.items():
            path = path.replace(name, str(value))
        path = path.replace("<history_id>", "x").replace("<artifact_id:re:[0-9a-fA-F-]+>", "abc")
        found.append((route.method, path.replace("<:re:(/.*)?>", "")))
    return found


def test_the_api_tells_of_a_study(client: TestClient) -> None:
    """Where it stands, its trials, its best, and curves with numbers that JSON does not know."""
    (item,) = client.get("/v1/studies").json()["studies"]
    assert (item["name"], item["state"], item["settled"], item["trials"], item["best"]) == (
        "digits",
        "running",
        2,
        6,
        0.75,
    )
    found = client.get("/v1/studies/digits").json()
    assert {name: found[name] for name in ("complete", "pruned", "running", "waiting", "front")} == {
        "complete": 1, "pruned": 1, "running": 1, "waiting": 1, "front": [0],
    }  # fmt: skip
    assert [(one["id"], one["slots"], one["late"]) for one in found["workers"]] == [("w1", 2, False)]
    (best,) = client.get("/v1/studies/digits/best").json()["trials"]
    assert (best["trial"], best["values"], list(best["params"])) == (0, [0.75], ["rate"])
    curve = client.get("/v1/studies/digits/curve?trial=0").json()
    assert curve["runs"] == [{"loss": [2.0, "nan"], "val_accuracy": [0.5, 0.75]}]
    assert client.get("/v1/studies/digits/curve?trial=1").json()["reported"] == {"1": "inf"}


def test_trials_come_in_pages(client: TestClient) -> None:
    """In the order of their numbers, without those that wait, and those in a state alone where that is asked for."""
    page = client.get("/v1/studies/digits/trials?offset=1&limit=1").json()
    assert (page["total"], [one["trial"] for one in page["trials"]]) == (3, [1])
    assert page["trials"][0]["error"] == "DivergedError: loss became nan"
    pruned = client.get("/v1/studies/digits/trials?state=PRUNED&state=RUNNING").json()
    assert [one["trial"] for one in pruned["trials"]] == [1, 2]
    assert client.get("/v1/studies/digits/trials?offset=9").json()["trials"] == []


def test_what_is_not_there_is_told(client: TestClient) -> None:
    """With the status that says so."""
    answers = {
        "/v1/studies/nobody": 404,
        "/v1/studies/nobody/live": 404,
        "/v1/studies/digits/curve?trial=99": 404,
        "/v1/studies/digits/curve?trial=99999999999": 422,
        "/v1/studies/a%00b": 422,
        "/v1/studies/digits/trials?limit=100000": 422,
        "/v1/nothing": 404,
    }
    assert {path: client.get(path).status_code for path in answers} == answers


def test_prometheus_is_told(client: TestClient) -> None:
    """Trials by state, workers, epochs, the best, and the storage."""
    lines = client.get("/metrics").text.splitlines()
    for line in (
        'tuner_trials{state="running",study="digits"} 1.0',
        'tuner_trials{state="pruned",study="digits"} 1.0',
        'tuner_configurations_settled{study="digits"} 2.0',
        'tuner_queue_depth{study="digits"} 3.0',
        'tuner_epochs_total{study="digits"} 6.0',
        'tuner_best_value{metric="val_accuracy",study="digits"} 0.75',
        'tuner_workers_alive{study="digits"} 1.0',
        'tuner_workers_late{study="digits"} 0.0',
        "tuner_storage_up 1.0",
    ):
        assert line in lines


def test_a_stream_tells_what_is_new_until_the_study_has_ended(
    client: TestClient, storage: LedgerStorage, study: StudyRecord
) -> None:
    """What the running trial has reported and where it stands, then the study, then that it is over."""
    storage.end_study(study.study_id, Ending.STOPPED)
    stream = client.get(f"/v1/studies/{study.name}/live").text
    assert [line for line in stream.splitlines() if line.startswith("event:")] == [
        "event: epoch", "event: epoch", "event: epoch", "event: study", "event: ended",
    ]  # fmt: skip
    for epoch, value in ((1, 0.25), (2, 0.375), (3, 0.5)):
        assert f'data: {{"trial":2,"epoch":{epoch},"run":0,"metrics":{{"val_accuracy":{value}}}}}' in stream


def test_live_metrics_are_streamed_and_the_storage_fills_in(
    storage_url: str, storage: LedgerStorage, study: StudyRecord
) -> None:
    """Epochs that come live are told with all their metrics; of a trial none of whose epochs does, what it reported."""
    live = create_autospec(LiveMetrics, instance=True)
    told = LiveEpoch(trial=2, epoch=7, run=0, metrics={"loss": 0.5, "val_accuracy": 0.9})
    with closing(open_storage(storage_url, reads_only=True)) as reading:
        anybody = TestClient(make_app(reading, None, live=live), base_url="http://localhost")
        storage.end_study(study.study_id, Ending.STOPPED)
        streams = []
        for entries in ([("5-1", told)], [], None):
            live.read.return_value = entries
            streams.append(anybody.get(f"/v1/studies/{study.name}/live").text)
    lines = [[line for line in text.splitlines() if '"epoch":' in line] for text in streams]
    assert lines[0] == ['data: {"trial":2,"epoch":7,"run":0,"metrics":{"loss":0.5,"val_accuracy":0.9}}']
    assert "id: 5-1" in streams[0].splitlines()
    for text, found in zip(streams[1:], lines[1:], strict=True):
        assert [line.count('"trial":2') for line in found] == [1, 1, 1]
        assert "id:" not in text


def test_the_live_page_is_behind_the_login_and_loads_nothing_else(client: TestClient, app: ASGIApp) -> None:
    """Its script and its style are this server's, nothing stands in the page itself, and the browser is told so."""
    anybody = TestClient(app, base_url=_HOST, follow_redirects=False)
    for path, kind in _LIVE_PAGE.items():
        answer = client.get(path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, f"{kind}; charset=utf-8")
        assert "script-src 'self'; style-src 'self'" in answer.headers["Content-Security-Policy"]
        assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
        assert anybody.get(path).status_code == 401


def test_probes_need_no_login(app: ASGIApp) -> None:
    """The process lives and the storage answers; that is all they tell."""
    anybody = TestClient(app, base_url=_HOST)
    assert anybody.get("/healthz").json() == {"status": "alive"}
    assert anybody.get("/readyz").json() == {"status": "ready"}


def test_who_may_look_changes_nothing(client: TestClient, study: StudyRecord, storage_url: str) -> None:
    """All that the dashboard could write is refused, all that it reads is answered, and the storage is as it was."""
    before = _content(storage_url)
    answers = {}
    for method, path in _dashboard_routes(study):
        status = client.request(method, path, json={} if method != "GET" else None).status_code
        assert (status == 403) if method != "GET" else (status < 500), f"{method} {path}: {status}"
        answers[method, path] = status
    assert answers["GET", f"/api/studies/{study.study_id}"] == 200
    assert len([one for one in answers if one[0] != "GET"]) >= 15
    assert _content(storage_url) == before


def test_nobody_sees_anything(app: ASGIApp, study: StudyRecord, storage_url: str) -> None:
    """Without the secret every path of dashboard, metrics and API says 401, and no study's name."""
    before = _content(storage_url)
    others = [("GET", path) for path in ("/metrics", "/v1/studies", "/v1/openapi.json", "/v1/studies/digits/live")]
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        anybody = TestClient(app, base_url=_HOST, headers=headers, follow_redirects=False)
        for method, path in [*_dashboard_routes(study), *others]:
            answer = anybody.request(method, path)
            assert (answer.status_code, study.name in answer.text) == (401, False), f"{method} {path}"
    assert _content(storage_url) == before


def test_the_servers_own_connection_cannot_write(sql_url: str) -> None:
    """Neither through the ledger nor through Optuna: the database refuses, whatever asks for it."""
    with closing(open_storage(sql_url)) as storage, closing(open_storage(sql_url, reads_only=True)) as reading:
        storage.create_tables()
        with pytest.raises((StorageError, DBAPIError)):
            reading.create_study(make_new_study())
        with pytest.raises(optuna.exceptions.StorageInternalError):
            reading.optuna_storage().create_new_study([optuna.study.StudyDirection.MINIMIZE], "other")
        assert storage.optuna_storage().get_all_studies() == []
        storage.create_study(make_new_study())
        assert [one.name for one in reading.studies()] == ["digits"]


def test_a_named_user_writes(app: ASGIApp, study: StudyRecord, client: TestClient) -> None:
    """Whom `--writer` names changes a note, and everybody sees it."""
    note = {"body": "seen", "version": 1}
    writer, path = TestClient(app, base_url=_HOST), f"/api/studies/{study.study_id}"
    assert writer.put(f"{path}/note", json=note, auth=("ada", PASSWORD)).status_code == 204
    assert client.get(path).json()["note"]["body"] == "seen"


def test_the_dashboards_answers_are_compressed(client: TestClient, study: StudyRecord) -> None:
    """For those who can read that; a client that says nothing of it gets its files too."""
    answer = client.get(f"/api/studies/{study.study_id}", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    del client.headers["Accept-Encoding"]
    assert client.get("/favicon.ico").status_code == 200
