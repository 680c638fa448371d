"""What a trial costs in storage, sampler and pruner, here and in plain Optuna, by how many trials there were before.

    python -m benchmarks.storage_cost [--earlier 0 1000 5000 20000] [--trials 10] [--rounds 3]

Nine parameters, 20 epochs, TPE and Hyperband, one worker, PostgreSQL on this machine. No network is built: each epoch
reports a value better than all before, so that every trial goes through all epochs, and through every decision.
Optuna's is its own loop: ``ask``, nine suggestions, ``report`` and ``should_prune`` after each epoch, ``tell``. Ours is
what a worker's slot does. Both run in a process of their own, over a copy of the same history; the first two trials,
which load it, are shown apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial

import psycopg2

from benchmarks.page import alternating, table, write
from benchmarks.study_history import EPOCHS, NAME, distributions, make_history, with_driver

#: Trials that load the history.
WARMING = 2
KINDS = ("tuner-service", "Optuna")
PHASES = ("claim", "suggest", "report", "decide", "settle")


class Clock:
    """Seconds by phase of a trial."""

    def __init__(self) -> None:
        self.trials: list[dict[str, float]] = []

    def begin(self) -> None:
        """Begin a trial."""
        self.trials.append(defaultdict(float))

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what is done meanwhile to a phase."""
        began = time.perf_counter()
        yield
        self.trials[-1][name] += time.perf_counter() - began


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--earlier", type=int, nargs="+", default=[0, 1_000, 5_000, 20_000])
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=KINDS, help="measure one of them and write nothing")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        kind, url, trials = arguments.child
        clock = Clock()
        {"tuner-service": run_ours, "Optuna": run_optuna}[kind](url, int(trials), clock)
        print(json.dumps(clock.trials))
        return
    kinds = (arguments.only,) if arguments.only else KINDS
    measured = {earlier: measure(earlier, kinds, arguments.trials, arguments.rounds) for earlier in arguments.earlier}
    text = shown(measured)
    if arguments.only:
        print(text)
    else:
        write("storage cost", text, rounds=arguments.rounds)


def measure(earlier: int, kinds: tuple[str, ...], trials: int, rounds: int) -> dict[str, dict[str, float]]:
    """Return, for each kind, the milliseconds of a trial by phase, and of the first two under ``first``."""
    from tests.servers import PostgresServer

    with PostgresServer() as server:
        for kind in kinds:
            template = kind.lower().replace("-", "_")
            server.create_database(template)
            make_history(kind, server.url(template), earlier)

        def run(kind: str) -> dict[str, float]:
            template = kind.lower().replace("-", "_")
            with closing(psycopg2.connect(server.url())) as connection:
                connection.autocommit = True
                cursor = connection.cursor()
                # Those that made the history still hold it.
                cursor.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{template}'")
                cursor.execute(f"CREATE DATABASE copy TEMPLATE {template}")
            child = [sys.executable, "-m", "benchmarks.storage_cost", "--child", kind, server.url("copy"), str(trials)]
            printed = subprocess.run(child, check=True, stdout=subprocess.PIPE, text=True).stdout
            server.drop_database("copy")
            return in_milliseconds(json.loads(printed.splitlines()[-1]))

        results = alternating({kind: partial(run, kind) for kind in kinds}, rounds)
    return {
        kind: {phase: statistics.median(one[phase] for one in ones) for phase in ones[0]}
        for kind, ones in results.items()
    }


def in_milliseconds(trials: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each phase over the trials after those that load the history, and the sum of these."""
    first, others = trials[:WARMING], trials[WARMING:]
    spent = {phase: 1000 * statistics.mean(one.get(phase, 0.0) for one in others) for phase in PHASES}
    return {**spent, "trial": sum(spent.values()), "first": 1000 * sum(sum(one.values()) for one in first)}


def shown(measured: Mapping[int, Mapping[str, Mapping[str, float]]]) -> str:
    """Return the table, and under it what the bars say."""
    rows: list[list[object]] = []
    for earlier, by_kind in measured.items():
        for kind, spent in by_kind.items():
            phases = [f"{spent[phase]:.1f}" for phase in (*PHASES, "trial")]
            rows.append([f"{earlier:,} earlier: {kind}", *phases, f"{spent['first'] / 1000:.1f} s"])
    text = table(["milliseconds a trial", *PHASES, "all", f"first {WARMING}"], rows)
    for earlier, by_kind in measured.items():
        if len(by_kind) == len(KINDS) and earlier:
            share = by_kind["tuner-service"]["trial"] / by_kind["Optuna"]["trial"]
            text += f"\n\nAt {earlier:,} earlier trials: {share:.2f} of Optuna's time."
    low, high = (measured.get(earlier, {}).get("tuner-service") for earlier in (1_000, 20_000))
    if low and high:
        growth = outside_sampler(high) / outside_sampler(low)
        text += f"\n\nOutside the sampler, 20,000 earlier trials cost {growth:.1f} times what 1,000 do."
    return text


def outside_sampler(spent: Mapping[str, float]) -> float:
    """Return the milliseconds of all phases but the suggestions."""
    return sum(spent[phase] for phase in PHASES if phase != "suggest")


def value_at(number: int, epoch: int) -> float:
    """Return a value that is better than those of the history, and of all trials before this one."""
    return -float(number) - epoch / 100


def run_optuna(url: str, trials: int, clock: Clock) -> None:
    """Run trials as an Optuna script does."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(
        study_name=NAME,
        storage=with_driver(url),
        sampler=optuna.samplers.TPESampler(seed=0),
        pruner=optuna.pruners.HyperbandPruner(min_resource=1, max_resource=EPOCHS, reduction_factor=3),
    )
    space = distributions()
    for _ in range(trials + WARMING):
        clock.begin()
        with clock.phase("claim"):
            trial = study.ask()
        with clock.phase("suggest"):
            for name, distribution in space.items():
                trial._suggest(name, distribution)
        for epoch in range(1, EPOCHS + 1):
            with clock.phase("report"):
                trial.report(value_at(trial.number, epoch), epoch)
            with clock.phase("decide"):
                assert not trial.should_prune()
        with clock.phase("settle"):
            study.tell(trial, value_at(trial.number, EPOCHS))


def run_ours(url: str, trials: int, clock: Clock) -> None:
    """Run trials as a worker's slot does."""
    from tuner_service.bootstrap import open_storage
    from tuner_service.domain.outcome import Outcome, Reason
    from tuner_service.ledger.history import Histories
    from tuner_service.ledger.reconcile import reconcile
    from tuner_service.ledger.running import RunningAttempt

    storage = open_storage(url)
    histories = Histories(storage)
    space = distributions()
    for _ in range(trials + WARMING):
        clock.begin()
        with clock.phase("claim"):
            study = storage.study(NAME)
            claim = storage.claim(study.study_id, "w", lease_s=60.0, code="c0de")
            if claim is None:
                reconcile(storage, NAME, histories)
                claim = storage.claim(study.study_id, "w", lease_s=60.0, code="c0de")
            assert claim is not None
            attempt = RunningAttempt(storage, study, claim, "w", histories=histories)
        with clock.phase("suggest"):
            for name, distribution in space.items():
                attempt.suggest(name, distribution)
        with clock.phase("settle"):
            assert attempt.drawn()
        for epoch in range(1, EPOCHS + 1):
            with clock.phase("report"):
                attempt.report(epoch, epoch, value_at(claim.number, epoch))
            with clock.phase("decide"):
                if epoch in attempt.rungs:
                    assert not attempt.should_prune(epoch, value_at(claim.number, epoch), ())
        with clock.phase("settle"):
            attempt.keep_model([value_at(claim.number, EPOCHS)])
            attributes = {"configuration": claim.configuration, "attempt": claim.attempt, "worker": "w"}
            value = value_at(claim.number, EPOCHS)
            attempt.settle(Outcome(Reason.FINISHED, value, epochs=EPOCHS, best_epoch=EPOCHS, attributes=attributes))


if __name__ == "__main__":
    main()
