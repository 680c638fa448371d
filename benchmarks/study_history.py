"""A study with many complete trials, written straight into the tables, as Optuna or this service would have left it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import optuna
import psycopg2
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from tuner_service.bootstrap import open_storage
from tuner_service.domain.provenance import Provenance
from tuner_service.domain.spec import parse_spec
from tuner_service.domain.study import CodeRecord, NewStudy

EPOCHS = 20
NAME = "cost"


def distributions() -> dict[str, BaseDistribution]:
    """Return the search space: six numbers, two whole ones, one choice."""
    return {
        **{f"x{index}": FloatDistribution(0.0, 1.0) for index in range(6)},
        **{f"n{index}": IntDistribution(1, 8) for index in range(2)},
        "choice": CategoricalDistribution(["a", "b", "c"]),
    }


def with_driver(url: str) -> str:
    """Return a URL as SQLAlchemy understands it, with the driver that is installed."""
    return url.replace("postgresql://", "postgresql+psycopg2://")


def make_history(kind: str, url: str, trials: int) -> None:
    """Make a study with so many complete trials, each with all its epochs, as the tool itself would have left it."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if kind == "Optuna":
        optuna.create_study(storage=with_driver(url), study_name=NAME)
    else:
        create_ours(url, trials)
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        for statement in history(kind, trials):
            cursor.execute(statement)
        connection.commit()
        connection.autocommit = True
        cursor.execute("ANALYZE")


def create_ours(url: str, trials: int) -> None:
    """Create our study, with room for as many trials again."""
    budget = trials + 10_000
    pruner = {"kind": "hyperband", "brackets": None}
    spec = parse_spec(
        {"name": NAME, "metric": "val_loss", "trials": budget, "max_epochs": EPOCHS, "pruner": pruner, "sampler": "tpe"}
    )
    space = {name: distribution_to_json(one) for name, one in distributions().items()}
    storage = open_storage(url)
    storage.create_tables()
    storage.create_study(
        NewStudy(
            spec=spec,
            code=CodeRecord("cost.py", "c0de"),
            kind="build_model",
            artifacts="/none",
            probe="",
            space=space,
            provenance=Provenance(),
            budget=budget,
        )
    )
    storage.close()


def history(kind: str, trials: int) -> Iterator[str]:
    """Return the SQL that writes the history: values at random, lower ones later in each trial."""
    each, study = f"generate_series(1, {trials}) i", "(SELECT study_id FROM studies)"
    yield (
        "INSERT INTO trials (trial_id, number, study_id, state, datetime_start, datetime_complete) "
        f"SELECT i, i - 1, {study}, 'COMPLETE', now(), now() FROM {each}"
    )
    value = "INSERT INTO trial_values (trial_id, objective, value, value_type)"
    yield f"{value} SELECT i, 0, random(), 'FINITE' FROM {each}"
    for name, one in distributions().items():
        drawn = {"x": "random()", "n": "1 + floor(random() * 8)", "c": "floor(random() * 3)"}[name[0]]
        yield (
            "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) "
            f"SELECT i, '{name}', {drawn}, '{distribution_to_json(one)}' FROM {each}"
        )
    yield (
        "INSERT INTO trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type) "
        f"SELECT i, e, random() + 1.0 / e, 'FINITE' FROM {each}, generate_series(1, {EPOCHS}) e"
    )
    note = "INSERT INTO trial_system_attributes (trial_id, key, value_json) SELECT i,"
    relative = json.dumps(json.dumps(dict.fromkeys(distributions(), 0.5)))
    yield f"{note} 'relative_params:0', '{relative}' FROM {each}"
    yield from _optunas(note, each) if kind == "Optuna" else _ours(study, each)
    yield f"SELECT setval('trials_trial_id_seq', {trials + 1}, false)"


def _optunas(note: str, each: str) -> Iterator[str]:
    yield f"{note} 'completed_rung_' || r, random()::text FROM {each}, generate_series(0, 2 - i % 3) r"


def _ours(study: str, each: str) -> Iterator[str]:
    attributes = {"reason": "'\"finished\"'", "configuration": "(i - 1)::text", "attempt": "'0'", "worker": "'\"w\"'"}
    for key, value in attributes.items():
        yield f"INSERT INTO trial_user_attributes (trial_id, key, value_json) SELECT i, '{key}', {value} FROM {each}"
    yield (
        "INSERT INTO tuner_attempts (trial_id, study_id, configuration, attempt, forced, owner, lease_until, "
        "claimed_at, ended_at, reason, epoch, run, resumed_from, checkpoint, last_value, best_epoch, code, draw) "
        f"SELECT i, {study}, i - 1, 0, false, 'w', 0, 0, 1, 'finished', {EPOCHS}, 0, 0, 0, 0.5, {EPOCHS}, 'c0de', "
        f"md5(i::text) FROM {each}"
    )
    yield (
        "INSERT INTO tuner_rungs (study_id, bracket, epoch, configuration, value) "
        f"SELECT {study}, i % 3, e, i - 1, random() FROM {each}, unnest(ARRAY[1, 3, 9]) e WHERE e >= 3 ^ (i % 3)"
    )
