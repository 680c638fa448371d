"""What PostgreSQL has to do for 10, 100 and 1 000 workers, and what it costs; with and without a pooler.

    python benchmarks/worker_scaling.py [--workers 10 100 1000] [--trial-s 300] [--seconds 25] [--pgbouncer PROGRAM]

Simulated workers say to the storage what real ones say, through the same code, and train nothing: they claim, draw with
TPE, report 30 values and 3 rungs a trial, settle, beat every 10 s and reconcile in turn. Eighteen threads speak for all
of them; the connections that real workers have, two each, are open beside theirs. Printed are what each request costs
the server, in milliseconds of one core; and for each number of workers the requests a second, how long they took, the
connections, and the cores that the server was busy with. The server is the tests', writing to disk as in earnest; it
shares the machine with those who ask.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import multiprocessing
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Barrier

import psutil
import psycopg2
from optuna.distributions import FloatDistribution, IntDistribution, distribution_to_json

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.records import make_new_study
from tests.servers import PgBouncer, PostgresServer
from tuner_service import open_storage
from tuner_service.domain.attempt import NewAttempt
from tuner_service.domain.outcome import Outcome, Reason
from tuner_service.domain.study import StudyRecord
from tuner_service.domain.worker import WorkerInfo
from tuner_service.errors import StorageError
from tuner_service.ledger.reconcile import reconcile
from tuner_service.ledger.running import RunningAttempt
from tuner_service.storage.ledger_storage import Draw, LedgerStorage

REPORTS, BEAT_S = 30, 10.0
KINDS = ("claim", "draw", "report", "rung", "settle", "beat", "reconcile")
SPACE = {
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
    "units": IntDistribution(1, 512),
    "rate2": FloatDistribution(0, 1),
}
PROCESSES, THREADS = 3, 6
#: Seconds that requests took, by what they were.
Times = dict[str, list[float]]


class SimulatedWorker:
    """Says what a worker with one slot says, in the order of its trial, through a storage that others use too."""

    def __init__(self, storage: LedgerStorage, study: StudyRecord, number: int, trial_s: float) -> None:
        self.name = f"worker-{number}"
        self._storage = storage
        self._study = study
        self._trial_s = trial_s
        self._random = random.Random(number)
        self.attempt: RunningAttempt | None = None
        self._reported = 0
        now = time.monotonic()
        self.next_beat = now + self._random.random() * BEAT_S
        self.next_step = now + self._random.random() * trial_s / REPORTS

    def begin(self) -> None:
        """Be in the middle of a trial, whose parameters no sampler drew."""
        claim = self._storage.claim(self._study.study_id, self.name, lease_s=600, code="c0de")
        if claim is None:
            raise RuntimeError("too few rows wait")
        params = {
            name: (
                self._random.uniform(0.01, 0.09) if isinstance(one, FloatDistribution) else 7.0,
                distribution_to_json(one),
            )
            for name, one in SPACE.items()
        }
        self._storage.record_draw(claim.trial_id, self.name, Draw(params, {}, {}))
        self.attempt = RunningAttempt(self._storage, self._study, claim, self.name)
        self._reported = self._random.randrange(REPORTS)

    def act(self, times: Times) -> None:
        """Do what is due."""
        now = time.monotonic()
        if now >= self.next_beat:
            self.beat(times)
            self.next_beat = max(self.next_beat + BEAT_S, now)
        if now >= self.next_step:
            self.step(times)
            self.next_step = max(self.next_step + self._trial_s / REPORTS, now)

    def beat(self, times: Times) -> None:
        """Say that it lives, and reconcile if it is its turn."""
        study = self._study
        info = WorkerInfo(
            self.name, study.study_id, "host", 1, slots=1, started_at=0, beat_at=0, lease_s=60, beat_s=BEAT_S
        )
        held = [] if self.attempt is None else [self.attempt.progress_now]
        with timed(times, "beat"):
            self._storage.beat(info, held)
            turn = self._storage.take_turn(study.study_id, BEAT_S)
        if turn:
            with timed(times, "reconcile"):
                reconcile(self._storage, study.name)

    def step(self, times: Times) -> None:
        """Claim a trial, or report its next epoch, the last with its end."""
        attempt = self.attempt
        if attempt is None:
            with timed(times, "claim"):
                claim = self._storage.claim(self._study.study_id, self.name, lease_s=60, code="c0de")
            if claim is None:
                with timed(times, "reconcile"):
                    reconcile(self._storage, self._study.name)
                return
            attempt = self.attempt = RunningAttempt(self._storage, self._study, claim, self.name)
            with timed(times, "draw"):
                for name, distribution in SPACE.items():
                    attempt.suggest(name, distribution)
                attempt.drawn()
            self._reported = 0
            return
        self._reported += 1
        value = self._random.random()
        with timed(times, "report"):
            attempt.report(self._reported, self._reported, value)
        if self._reported in attempt.rungs:
            with timed(times, "rung"):
                attempt.should_prune(self._reported, value, [value])
        if self._reported >= REPORTS:
            with timed(times, "settle"):
                attempt.keep_model([value])
                attempt.settle(Outcome(Reason.FINISHED, value, epochs=REPORTS))
            self.attempt = None
            self.next_step = time.monotonic()


@contextmanager
def timed(times: Times, what: str) -> Iterator[None]:
    """Note how long the block took."""
    started = time.monotonic()
    yield
    times[what].append(time.monotonic() - started)


def simulate(
    url: str, study: str, numbers: Sequence[int], trial_s: float, ready: Barrier, seconds: float
) -> tuple[Times, int]:
    """Be these workers once all processes are ready; return what their requests took, and how many failed."""
    counted: Times = defaultdict(list)
    failed = itertools.count()

    def drive(mine: Sequence[int]) -> None:
        with closing(open_storage(url)) as storage:
            workers = [SimulatedWorker(storage, storage.study(study), number, trial_s) for number in mine]
            for worker in workers:
                worker.begin()
            # Read now what a worker has read when it is in the middle of a trial.
            storage.optuna_storage().get_all_trials(storage.study(study).study_id)
            ready.wait()
            started = time.monotonic()
            for worker in workers:
                worker.next_beat += started - begun
                worker.next_step += started - begun
            while workers and time.monotonic() < started + seconds:
                worker = min(workers, key=lambda one: min(one.next_beat, one.next_step))
                time.sleep(max(min(worker.next_beat, worker.next_step) - time.monotonic(), 0))
                try:
                    worker.act(counted)
                except StorageError as error:
                    if next(failed) == 0:
                        print(f"  {error}", file=sys.stderr)

    # What is imported late is imported here, before there are threads.
    with closing(open_storage(url)) as storage:
        storage.optuna_storage()
    begun = time.monotonic()
    # The connections that real workers have: two each. Nothing is said through these.
    idle = [psycopg2.connect(url) for _ in range(2 * len(numbers) - THREADS)]
    threads = [threading.Thread(target=drive, args=(numbers[number::THREADS],)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for connection in idle:
        connection.close()
    return dict(counted), next(failed)


def measure(server: PostgresServer, url: str, workers: int, arguments: argparse.Namespace, label: str) -> None:
    """Print a line on so many workers."""
    direct = server.url("scaling")
    with closing(open_storage(direct)) as storage:
        study = storage.create_study(
            make_new_study(
                name=f"study-{workers}-{label}", trials=100_000, max_epochs=REPORTS, sampler="tpe", pruner="hyperband"
            )
        )
        storage.insert_attempts(study.study_id, [NewAttempt(number, 0) for number in range(workers + 100)])
    shares = [range(number, workers, PROCESSES) for number in range(PROCESSES)]
    context = multiprocessing.get_context("forkserver")
    with context.Manager() as manager, context.Pool(PROCESSES) as pool:
        ready = manager.Barrier(PROCESSES * THREADS + 1)
        seconds = arguments.seconds
        asked = [(url, study.name, share, arguments.trial_s, ready, seconds) for share in shares]
        found = pool.starmap_async(simulate, asked)
        ready.wait()
        before = cores_used(server)
        time.sleep(seconds - 1)
        connections = count_connections(direct)
        busy = (cores_used(server) - before) / (seconds - 1)
        results = found.get()
    times: Times = defaultdict(list)
    for one, _ in results:
        for what, seconds in one.items():
            times[what] += seconds
    row = [f"{workers:>7} {label:<9} {connections:>11} {busy:>6.2f}"]
    for what in KINDS:
        taken = sorted(times[what]) or [float("nan")]
        median, late = taken[len(taken) // 2], taken[min(int(len(taken) * 0.99), len(taken) - 1)]
        row.append(f"{len(times[what]) / arguments.seconds:>6.1f}/s {median * 1e3:>4.0f} {late * 1e3:>5.0f}")
    print(" | ".join(row), f"| failed {sum(failed for _, failed in results)}", flush=True)


Ask = Callable[[SimulatedWorker, Times], None]


def costs(server: PostgresServer, seconds: float) -> None:
    """Print what each request costs the server, four asking at once."""
    url = server.url("scaling")
    with closing(open_storage(url)) as storage:
        study = storage.create_study(make_new_study(name="costs", trials=100_000, max_epochs=REPORTS, sampler="random"))
        reconcile(storage, "costs")
    asking: dict[str, Ask] = {
        "a beat": lambda worker, times: worker.beat(times),
        "a trial (claim, draw, 30 reports, 3 rungs, settle)": _whole_trial,
    }
    for what, ask in asking.items():
        storages = [open_storage(url) for _ in range(4)]
        workers = [SimulatedWorker(one, study, 10_000 + number, 0.0) for number, one in enumerate(storages)]
        done = itertools.count()
        until = time.monotonic() + seconds

        before = cores_used(server)
        threads = [threading.Thread(target=_again, args=(ask, worker, until, done)) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        number = next(done)
        cost = (cores_used(server) - before) / number * 1e3
        print(f"{what}: {cost:.2f} ms of a core of the server, {number / seconds:.0f} a second", flush=True)
        for storage in storages:
            storage.close()


def _again(ask: Ask, worker: SimulatedWorker, until: float, done: Iterator[int]) -> None:
    while time.monotonic() < until:
        ask(worker, defaultdict(list))
        next(done)


def _whole_trial(worker: SimulatedWorker, times: Times) -> None:
    worker.step(times)
    while worker.attempt is not None:
        worker.step(times)


def cores_used(server: PostgresServer) -> float:
    """Return the seconds of a core that the server and all its processes, those that have ended too, have used."""
    assert isinstance(server.process, subprocess.Popen)
    main = psutil.Process(server.process.pid)
    times = main.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in main.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            mine = child.cpu_times()
            total += mine.user + mine.system
    return total


def count_connections(url: str) -> int:
    """Return how many clients the server has."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
        return int(cursor.fetchone()[0]) - 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server is stopped then, too
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--trial-s", type=float, default=300.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--pgbouncer", type=Path, default=PgBouncer.find())
    parser.add_argument("--direct", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--costs", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    with PostgresServer(settings=("max_connections=2100", "fsync=on")) as server:
        server.create_database("scaling")
        with closing(open_storage(server.url("scaling"))) as storage:
            storage.create_tables()
        if arguments.costs:
            costs(server, 6.0)
        print(
            "workers, through, connections, cores of the server; of each request: a second, median ms, 99th percentile"
        )
        print(f"{'':35} | " + " | ".join(f"{what:<18}" for what in KINDS))
        for workers in arguments.workers:
            if arguments.direct:
                measure(server, server.url("scaling"), workers, arguments, "direct")
            if arguments.pgbouncer:
                with PgBouncer(arguments.pgbouncer, server) as pooler:
                    measure(server, pooler.url("scaling"), workers, arguments, "pooled")
