"""How long `tuner serve` takes with a large study: the dashboard's answers, the API's, and its metrics.

    python -m benchmarks.serve_large [--trials 5000]

Rows are written straight into the tables of a PostgreSQL that comes as a pip package; a server process reads them.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from sqlalchemy import create_engine, insert

from tests.records import make_new_study
from tests.servers import PostgresServer
from tuner_service.bootstrap import open_storage
from tuner_service.storage import tables as t
from tuner_service.storage.sql.engine import naive_utc
from tuner_service.storage.url import StorageUrl

#: Values of a whole trial that Optuna is told.
_REPORTED = 30
_SPACE: dict[str, tuple[BaseDistribution, Callable[[random.Random], float]]] = {
    "learning_rate": (FloatDistribution(1e-4, 1e-1, log=True), lambda rng: 10 ** rng.uniform(-4, -1)),
    "units": (IntDistribution(8, 256), lambda rng: rng.randint(8, 256)),
    "activation": (CategoricalDistribution(["relu", "gelu", "silu"]), lambda rng: rng.randint(0, 2)),
    "dropout": (FloatDistribution(0.0, 0.5), lambda rng: rng.uniform(0.0, 0.5)),
    "batch_size": (CategoricalDistribution([32, 64, 128]), lambda rng: rng.randint(0, 2)),
}


def fill(url: str, trials: int) -> None:
    """Make a study with so many trials, a quarter of them trained to their end."""
    with closing(open_storage(url)) as storage:
        storage.create_tables()
        study = storage.create_study(make_new_study(name="large", trials=trials + 10, max_epochs=_REPORTED))
        now = storage.now()
    rng = random.Random(0)
    rows: dict[str, list[dict[str, Any]]] = {}
    for number in range(trials):
        key, whole = 1_000_000 + number, rng.random() < 0.25
        epochs = _REPORTED if whole else rng.choice([1, 3, 9])
        began = now - (trials - number) * 10.0
        drawn = {name: draw(rng) for name, (_, draw) in _SPACE.items()}
        top = 0.95 - 0.1 * abs(math.log10(drawn["learning_rate"]) + 2.5) + rng.gauss(0, 0.02)
        curve = [top * (1 - math.exp(-epoch / 4)) for epoch in range(1, epochs + 1)]
        rows.setdefault("trials", []).append(
            {"trial_id": key, "number": number, "study_id": study.study_id, "state": "COMPLETE" if whole else "PRUNED",
             "datetime_start": naive_utc(began), "datetime_complete": naive_utc(began + 9)}
        )  # fmt: skip
        rows.setdefault("trial_params", []).extend(
            {"trial_id": key, "param_name": name, "param_value": value,
             "distribution_json": distribution_to_json(_SPACE[name][0])}
            for name, value in drawn.items()
        )  # fmt: skip
        rows.setdefault("trial_values", []).append(
            {"trial_id": key, "objective": 0, "value": curve[-1], "value_type": "FINITE"}
        )
        rows.setdefault("trial_intermediate_values", []).extend(
            {"trial_id": key, "step": step, "intermediate_value": value, "intermediate_value_type": "FINITE"}
            for step, value in enumerate(curve, start=1)
        )
        rows.setdefault("trial_user_attributes", []).extend(
            {"trial_id": key, "key": name, "value_json": json.dumps(value)}
            for name, value in (("configuration", number), ("attempt", 0), ("worker", f"node-{number % 16}"))
        )
        rows.setdefault("tuner_attempts", []).append(
            {"trial_id": key, "study_id": study.study_id, "configuration": number, "attempt": 0,
             "owner": f"node-{number % 16}", "claimed_at": began, "ended_at": began + 9, "epoch": epochs,
             "reason": "finished" if whole else "pruned", "best_epoch": epochs, "code": "c0de"}
        )  # fmt: skip
    engine = create_engine(StorageUrl.parse(url).url)
    with engine.begin() as connection:
        for name, content in rows.items():
            table = t.metadata.tables.get(name)
            connection.execute(insert(t.optuna_metadata.tables[name] if table is None else table), content)
    engine.dispose()


@contextmanager
def server(url: str, folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Provide the address and the process of a server."""
    command = [sys.executable, "-m", "tuner_service", "serve", "--port", "0", "--storage", url]
    with (folder / "log").open("w+") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        while not (found := re.search(r"http://\S+:\d+", (folder / "log").read_text())):
            time.sleep(0.05)
        try:
            yield found[0], psutil.Process(process.pid)
        finally:
            process.terminate()


def ask(url: str) -> tuple[float, int]:
    """Return how long an answer takes in seconds, and its compressed size in bytes."""
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})  # noqa: S310 - the server above
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
        size = len(answer.read())
    return time.perf_counter() - began, size


def main() -> None:
    """Print the times as a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=5000)
    trials = parser.parse_args().trials
    with PostgresServer() as postgres, tempfile.TemporaryDirectory() as folder:
        fill(postgres.url(), trials)
        with server(postgres.url(), Path(folder)) as (address, process):
            paths = {
                "dashboard: the study, first time": "/api/studies/1?after=0",
                "dashboard: the study, again": "/api/studies/1?after=0",
                "dashboard: what is new": f"/api/studies/1?after={trials}",
                "dashboard: importances": "/api/studies/1/param_importances?evaluator=ped_anova",
                "/metrics": "/metrics",
                "/v1/studies/large": "/v1/studies/large",
                "/v1/studies/large/best": "/v1/studies/large/best",
                "/v1/studies/large/trials, 100 of them": "/v1/studies/large/trials?offset=2500",
                "/v1/studies/large/trials, 1000 of them": "/v1/studies/large/trials?limit=1000",
                "/v1/studies/large/curve": "/v1/studies/large/curve?trial=7",
            }
            print(f"{trials} trials")
            for name, path in paths.items():
                time.sleep(2.5)  # nothing of the API is fresh any more
                before = sum(process.cpu_times()[:2])
                seconds, size = ask(address + path)
                used = sum(process.cpu_times()[:2]) - before
                print(f"{name:42} {seconds:7.2f} s {used:7.2f} s of the processor {size / 1000:9.1f} kB")
            print(f"memory of the server {process.memory_info().rss / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
