"""A study of thousands of trials that nobody trained, for measuring what reads studies.

    python benchmarks/large_study.py [TRIALS] [--storage URL]

Its trials have six parameters, one of them conditional, curves of 27 epochs, prunings, failures and retries, on 16
workers. They are written into the tables as rows, which takes seconds. Printed: the time and the size of its report.
"""

from __future__ import annotations

import datetime
import json
import math
import random
import sys
import tempfile
import time
from pathlib import Path

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from sqlalchemy import Table, create_engine, insert, update

from tuner_service import Hyperband, StudySpec, Tpe, open_storage
from tuner_service.domain.attempt import Attempt
from tuner_service.domain.outcome import RULES, Failure, Reason, State
from tuner_service.domain.provenance import Provenance
from tuner_service.domain.study import CodeRecord, Ending, NewStudy, StudyRecord
from tuner_service.domain.trial import Trial
from tuner_service.domain.worker import WorkerInfo
from tuner_service.storage import tables as t
from tuner_service.storage.ledger_storage import LedgerStorage

EPOCHS = 27
SPACE: dict[str, BaseDistribution] = {
    "layers": IntDistribution(1, 3),
    "units": IntDistribution(16, 512, log=True),
    "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
    "dropout": FloatDistribution(0.0, 0.5),
    "optimizer": CategoricalDistribution(["adam", "sgd", "rmsprop"]),
    "momentum": FloatDistribution(0.0, 0.99),
}
_START, _SLOTS, _EPOCH_S = 1_790_000_000.0, 2, 1.5


def new_study(count: int, name: str = "large") -> NewStudy:
    """Return what a study of so many trials is created from."""
    spec = StudySpec(
        name=name,
        metric="val_accuracy",
        trials=count,
        max_epochs=EPOCHS,
        sampler=Tpe(),
        pruner=Hyperband(min_epochs=1, reduction_factor=3, brackets=1),
    )
    return NewStudy(
        spec=spec,
        code=CodeRecord("large.py", "0123456789abcdef"),
        kind="build_model",
        artifacts="tuner-artifacts",
        probe="",
        space={name: distribution_to_json(one) for name, one in SPACE.items()},
        provenance=Provenance(packages={"python": "3.11.2", "keras": "3.15.1", "tensorflow": "2.21.0"}),
        budget=count,
    )


def record(new: NewStudy, study_id: int = 1) -> StudyRecord:
    """Return the record that such a study has once it has finished, for those who need no database."""
    return StudyRecord(
        study_id=study_id,
        name=new.spec.name,
        spec=new.spec,
        budget=new.budget,
        code=new.code,
        kind=new.kind,
        artifacts=new.artifacts,
        probe=new.probe,
        space=new.space,
        provenance=new.provenance,
        ending=Ending.FINISHED,
        created_at=_START - 20,
        ended_at=_START + 100_000,
    )


def made_up(count: int, *, workers: int = 16, seed: int = 0) -> tuple[list[Trial], list[WorkerInfo]]:
    """Return the trials of a finished study with so many configurations, and its workers."""
    dice = random.Random(seed)
    free = {(worker, slot): _START + dice.random() * 30 for worker in range(workers) for slot in range(_SLOTS)}
    trials: list[Trial] = []
    rungs: dict[int, list[float]] = {}
    for configuration in range(count):
        params = _draw(dice, guided=configuration >= 10)
        curve, best, attempt = _curve(params, dice), -math.inf, 0
        reason, epochs = Reason.FINISHED, EPOCHS
        for epoch in (1, 3, 9):
            best = max(curve[:epoch])
            there = sorted(rungs.setdefault(epoch, []), reverse=True)
            rungs[epoch].append(best)
            if len(there) >= 3 and best < there[len(there) // 3]:
                reason, epochs = Reason.PRUNED, epoch
                break
        if dice.random() < 0.02:
            trials.append(_trial(len(trials), configuration, 0, params, curve[:1], _mishap(dice), free, dice))
            attempt = 1
        trials.append(_trial(len(trials), configuration, attempt, params, curve[:epochs], reason, free, dice))
    end = max(free.values())
    return trials, [
        WorkerInfo(_worker(number), 1, f"node-{number % 4}", 4000 + number, _SLOTS, _START, end, 60.0, stopped=True)
        for number in range(workers)
    ]


def fill(ledger: LedgerStorage, url: str, count: int, name: str = "large") -> None:
    """Create a study on a SQL storage, and write its made-up trials as rows."""
    ledger.create_tables()
    study = ledger.create_study(new_study(count, name))
    trials, workers = made_up(count)
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    with engine.begin() as connection:
        ids = [row[0] for row in connection.execute(t.trials.select().with_only_columns(t.trials.c.trial_id))]
        first = max(ids, default=0) + 1
        rows: dict[Table, list[dict[str, object]]] = {}
        for one in trials:
            _add_rows(rows, one, first + one.attempt.number, study.study_id, name)
        for worker in workers:
            fields = {**worker.__dict__, "study_id": study.study_id, "worker_id": f"{worker.worker_id}-{name}"}
            rows.setdefault(t.tuner_workers, []).append(fields)
        for table, lines in rows.items():
            connection.execute(insert(table), lines)
        ended = {"ending": "finished", "ended_at": max(one.attempt.ended_at or 0.0 for one in trials)}
        changed = update(t.tuner_studies).where(t.tuner_studies.c.study_id == study.study_id)
        connection.execute(changed.values(**ended, created_at=_START - 20))
    engine.dispose()


def _draw(dice: random.Random, *, guided: bool) -> dict[str, str | int | float | bool | None]:
    rate = 10 ** (dice.gauss(-2.5, 0.4) if guided else dice.uniform(-4, -1))
    optimizer = dice.choice(["adam", "adam", "sgd", "rmsprop"] if guided else ["adam", "sgd", "rmsprop"])
    params: dict[str, str | int | float | bool | None] = {
        "layers": dice.choice([1, 2, 2, 3]),
        "units": round(math.exp(dice.uniform(math.log(16), math.log(512)))),
        "learning_rate": min(max(rate, 1e-4), 1e-1),
        "dropout": dice.uniform(0.0, 0.5) * (0.6 if guided else 1.0),
        "optimizer": optimizer,
    }
    return {**params, "momentum": dice.uniform(0.0, 0.99)} if optimizer == "sgd" else params


def _curve(params: dict[str, str | int | float | bool | None], dice: random.Random) -> list[float]:
    rate, units, dropout = (float(params[name] or 0) for name in ("learning_rate", "units", "dropout"))
    end = 0.97 - 0.06 * abs(math.log10(rate) + 2.5) ** 1.7 - 0.02 * abs(math.log2(units) - 7.5) / 2
    end -= 0.15 * (dropout - 0.2) ** 2 + (0.02 if params["optimizer"] == "sgd" else 0.0)
    pace = 2.0 + 3.0 * abs(math.log10(rate) + 2.0)
    curve = [end - 0.6 * math.exp(-epoch / pace) + dice.gauss(0, 0.006) for epoch in range(1, EPOCHS + 1)]
    return [min(max(value, 0.1), 0.999) for value in curve]


def _mishap(dice: random.Random) -> Reason:
    return dice.choice([Reason.INTERRUPTED, Reason.INTERRUPTED, Reason.OOM, Reason.ERROR])


def _worker(number: int) -> str:
    return f"node-{number % 4}-{4000 + number}"


def _trial(
    number: int,
    configuration: int,
    attempt: int,
    params: dict[str, str | int | float | bool | None],
    curve: list[float],
    reason: Reason,
    free: dict[tuple[int, int], float],
    dice: random.Random,
) -> Trial:
    place = min(free, key=lambda key: free[key])
    begin = free[place] + 0.2 + dice.random() * 0.5
    free[place] = end = begin + 2 + len(curve) * _EPOCH_S * dice.uniform(0.8, 1.4)
    state = RULES[reason].state
    value = None if state is State.FAIL else max(curve) if state is State.COMPLETE else curve[-1]
    failure = None
    if state is State.FAIL:
        message = f"{reason} while training\nin epoch {len(curve)}"
        failure = Failure(f"{str(reason).title()}Error", message, "Traceback (most recent call last):\n  ...", "node-1")
    return Trial(
        attempt=Attempt(
            trial_id=number + 1,
            number=number,
            configuration=configuration,
            attempt=attempt,
            state=state,
            owner=_worker(place[0]),
            claimed_at=begin,
            ended_at=end,
            reason=reason,
            error=None if failure is None else failure.fingerprint,
            epoch=len(curve),
            last_value=curve[-1],
            value=value,
        ),
        params=params,
        best_epoch=curve.index(max(curve)) + 1,
        reported=dict(enumerate(curve, start=1)),
        failure=failure,
        started_at=begin,
        code="0123456789abcdef",
    )


def _add_rows(rows: dict[Table, list[dict[str, object]]], one: Trial, trial_id: int, study_id: int, name: str) -> None:
    attempt = one.attempt
    begin, end = (_naive(seconds) for seconds in (attempt.claimed_at, attempt.ended_at))
    key = {"trial_id": trial_id}
    rows.setdefault(t.trials, []).append(
        {**key, "number": attempt.number, "study_id": study_id, "state": str(attempt.state), "datetime_start": begin,
         "datetime_complete": end}
    )  # fmt: skip
    failure = None if one.failure is None else json.dumps(one.failure.__dict__)
    rows.setdefault(t.tuner_attempts, []).append(
        {**key, "study_id": study_id, "configuration": attempt.configuration, "attempt": attempt.attempt,
         "owner": f"{attempt.owner}-{name}", "claimed_at": attempt.claimed_at, "ended_at": attempt.ended_at,
         "reason": str(attempt.reason), "epoch": attempt.epoch, "last_value": attempt.last_value,
         "best_epoch": one.best_epoch, "error": attempt.error, "failure": failure, "code": one.code}
    )  # fmt: skip
    for param, value in one.params.items():
        distribution = SPACE[param]
        internal = distribution.to_internal_repr(value)
        rows.setdefault(t.trial_params, []).append(
            {
                **key,
                "param_name": param,
                "param_value": internal,
                "distribution_json": distribution_to_json(distribution),
            }
        )
    if attempt.value is not None:
        rows.setdefault(t.trial_values, []).append(
            {**key, "objective": 0, "value": attempt.value, "value_type": "FINITE"}
        )
    for step, value in one.reported.items():
        rows.setdefault(t.trial_intermediate_values, []).append(
            {**key, "step": step, "intermediate_value": value, "intermediate_value_type": "FINITE"}
        )


def _naive(seconds: float | None) -> datetime.datetime | None:
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC).replace(tzinfo=None)


def main() -> None:
    """Make the study, and measure its report."""
    from tuner_service.results.report.writing import write_report

    count = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 5000
    with tempfile.TemporaryDirectory() as folder:
        url = sys.argv[sys.argv.index("--storage") + 1] if "--storage" in sys.argv else f"sqlite:///{folder}/large.db"
        ledger = open_storage(url)
        began = time.perf_counter()
        fill(ledger, url, count)
        print(f"{count} trials written in {time.perf_counter() - began:.1f} s")
        began = time.perf_counter()
        written = write_report(ledger, "large", Path(folder) / "report")
        print(f"report in {time.perf_counter() - began:.1f} s")
        for path in sorted(written.folder.iterdir()):
            print(f"{path.stat().st_size / 1e6:8.2f} MB  {path.name}")


if __name__ == "__main__":
    main()
