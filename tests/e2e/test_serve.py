"""`tuner serve` as a process: a browser that looks at a study, and everybody who must not see the secrets."""

from __future__ import annotations

import re
import shutil
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from benchmarks.large_study import made_up, new_study, record
from tests.e2e.tuner import Command, Tuner, until
from tests.served import PASSWORD, TOKEN, seed
from tuner_service.bootstrap import open_storage
from tuner_service.domain.outcome import State
from tuner_service.domain.worker import Progress
from tuner_service.results.report.content import content_of
from tuner_service.results.report.page import page

_CANARY = "c4n4ry-in-a-c0al-mine"
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,900",
)  # fmt: skip


#: Labels below a figure that begin before the one to their left ends; a date stands in a second line of its own.
_OVERLAPS = """
return [...document.querySelectorAll(".xaxislayer-above")].flatMap((axis) => {
  const lines = [...axis.querySelectorAll(".xtick text")].map((label) => label.querySelector("tspan.line") ?? label);
  const boxes = lines.map((line) => line.getBoundingClientRect()).sort((one, other) => one.left - other.left);
  return boxes.slice(1).filter((box, place) => box.left < boxes[place].right);
});
"""
_PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}


def _address(command: Command) -> str:
    def told() -> str:
        found = re.search(r"http://\S+:\d+", command.so_far.out)
        assert command.process.poll() is None, command.so_far.err
        return found[0] if found else ""

    return until("it serves", told)


def _get(url: str, secret: str | None = None) -> tuple[int, str]:
    headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """Provide a browser without a screen and without a past."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs Debian's chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path / 'chromium'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options, Service(driver)) as opened:
        yield opened


def test_a_browser_logs_in_and_sees_the_plots_of_a_study(tuner: Tuner, browser: webdriver.Chrome) -> None:
    """The form, the list of studies, its history; the cookie is no script's. On a phone its curves, as they grow."""
    with closing(open_storage(tuner.storage)) as storage:
        storage.create_tables()
        study = seed(storage, tuner.folder)
    (tuner.folder / "users").write_text(f"ada:{PASSWORD}\n")
    with tuner.start("serve", "--port", "0", "--users-file", "users") as command:
        browser.get(f"{_address(command)}/dashboard")
        wait = WebDriverWait(browser, 60)
        browser.find_element(By.NAME, "name").clear()
        browser.find_element(By.NAME, "name").send_keys("ada")
        browser.find_element(By.NAME, "secret").send_keys(PASSWORD)
        browser.find_element(By.TAG_NAME, "button").click()
        link = wait.until(lambda page: page.find_element(By.PARTIAL_LINK_TEXT, study.name))
        assert browser.execute_script("return document.cookie") == ""
        link.click()
        plots = wait.until(
            lambda page: page.find_elements(By.CSS_SELECTOR, ".js-plotly-plot .main-svg .scatterlayer .point")
        )
        assert len(plots) >= 1
        assert "digits" in browser.find_element(By.TAG_NAME, "body").text
        assert PASSWORD not in browser.current_url + browser.page_source

        # And the curves of what trains, as it does.
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", _PHONE)
        browser.get(f"{_address(command)}/live/{study.name}")
        (row,) = wait.until(lambda page: page.find_elements(By.CSS_SELECTOR, "#trials tbody tr"))
        wait.until(lambda page: page.find_elements(By.CSS_SELECTOR, "#chart path.running"))
        assert "3/9" in row.text
        with closing(open_storage(tuner.storage)) as storage:
            running = next(one for one in storage.attempts(study.study_id) if one.state is State.RUNNING)
            (worker,) = storage.workers(study.study_id)
            storage.beat(worker, [Progress(running.trial_id, 4, 0.625)])
        wait.until(lambda page: "4/9" in page.find_element(By.ID, "trials").text)
        assert "0.625" in browser.find_element(By.ID, "trials").text
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= _PHONE["width"], "nothing reaches over the edge of a phone"
        assert [entry for entry in browser.get_log("browser") if "/live" in entry["message"]] == []


@pytest.mark.parametrize(
    "screen",
    [
        pytest.param({"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}, id="a desk"),
        pytest.param(_PHONE, id="a phone"),
    ],
)
def test_a_report_fits_the_screen(screen: dict[str, object], browser: webdriver.Chrome, tmp_path: Path) -> None:
    """All its figures are drawn, the browser has nothing to complain of, nothing reaches over an edge or a label."""
    trials, workers = made_up(12, workers=2)
    report = tmp_path / "report.html"
    report.write_text(page(content_of(record(new_study(12)), trials, workers, now=2e9)))
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get(report.as_uri())
    # Figures are drawn when they come into sight, or all for a printer.
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    figures = browser.find_elements(By.CSS_SELECTOR, ".figure")
    assert len(figures) > 10
    WebDriverWait(browser, 60).until(
        lambda shown: len(shown.find_elements(By.CSS_SELECTOR, ".figure .main-svg:first-child")) == len(figures)
    )
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert browser.execute_script("return innerWidth") == screen["width"]
    assert browser.execute_script(_OVERLAPS) == []
    assert browser.get_log("browser") == []


_PAGES = ("/", "/dashboard", "/api/studies", "/api/studies/1", "/api/meta", "/metrics", "/healthz", "/readyz", "/login")
_ANSWERS = ("/v1/studies", "/v1/studies/digits/best", "/v1/studies/nobody", "/v1/openapi.json")


def test_nothing_that_is_served_holds_a_secret(postgres_tuner: Tuner) -> None:
    """No page, answer or log has the storage's password or the token, also where the storage is broken."""
    url = postgres_tuner.storage.replace("postgres:@", f"postgres:{_CANARY}@")
    tuner = Tuner(postgres_tuner.folder, url, postgres_tuner.marker)
    with closing(open_storage(url)) as storage:
        storage.create_tables()
        seed(storage, tuner.folder)
    (tuner.folder / "token").write_text(f"{TOKEN}\n")
    paths, tables = (*_PAGES, *_ANSWERS), ("tuner_studies", "trials")
    with tuner.start("--verbose", "serve", "--port", "0", "--token-file", "token") as command:
        address = _address(command)
        answers = [_get(f"{address}{path}", secret) for secret in (TOKEN, f"{TOKEN}x", None) for path in paths]
        assert {status for status, _ in answers} == {200, 401, 404}
        for table in tables:
            tuner.change(f"ALTER TABLE {table} RENAME TO gone_{table}")
        broken = [_get(f"{address}{path}", TOKEN) for path in paths]
        assert {500, 503} <= {status for status, _ in broken}
        for table in tables:
            tuner.change(f"ALTER TABLE gone_{table} RENAME TO {table}")
        until("it is ready again", lambda: _get(f"{address}/readyz")[0] == 200)
        command.send(signal.SIGTERM)
        said = command.wait()
    texts = [text for _, text in (*answers, *broken)]
    assert [text for text in texts if "postgres" in text] == [], "nobody learns where the storage is"
    assert [text for text in (*texts, said.out, said.err) if _CANARY in text or TOKEN in text] == []
    assert "has no tables of this service" in said.err, "it said what was wrong"
