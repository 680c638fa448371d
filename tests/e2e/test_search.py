"""Searches with several workers: every cell once, no configuration twice, the same study again."""

from __future__ import annotations

import itertools
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.tuner import Tuner, opened, settled, until

_CELLS = list(itertools.product((32, 64, 128), (1e-2, 1e-3, 1e-4)))
_FINITE = [
    {"units": units, **rest}
    for units in (2, 3, 4)
    for rest in (
        {"optimizer": "adam"},
        {"optimizer": "sgd", "learning_rate": 0.1},
        {"optimizer": "sgd", "learning_rate": 0.2},
    )
]


def _work(tuner: Tuner, stack: ExitStack, study: str, workers: int) -> list[Any]:
    """Start so many workers of one slot."""
    options = ("--slots", "1", "--beat", "1", "--lease", "12")
    return [
        stack.enter_context(tuner.start("worker", study, *options, "--id", f"w{index}")) for index in range(workers)
    ]


def _running_again(tuner: Tuner) -> list[Any]:
    """Return the rows that run on workers which have settled one before."""
    attempts = tuner.attempts()
    done = {owner for _, _, state, _, owner in attempts if state == "COMPLETE"}
    return [one for one in attempts if one[2] == "RUNNING" and one[4] in done]


def test_each_cell_is_settled_once_though_a_worker_is_killed(postgres_tuner: Tuner) -> None:
    """Nine cells, four workers, one killed in the middle of a cell: its cell is tried again, and no other."""
    tuner = postgres_tuner
    tuner.add_study("hill")
    assert "9 cells" in tuner("create", "studies/hill.py").out
    with ExitStack() as stack:
        workers = _work(tuner, stack, "hill", 4)
        running = until(
            "a worker has settled a trial and runs another",
            lambda: _running_again(tuner),
        )
        victim = int(running[0][4][1:])
        workers[victim].send(signal.SIGKILL)
        assert [one.wait().code for index, one in enumerate(workers) if index != victim] == [0, 0, 0]
    attempts = tuner.attempts()
    assert settled(attempts) == list(range(9))
    lost = [one for one in attempts if one[2] == "FAIL"]
    assert {one[3] for one in lost} == {"interrupted"}
    assert f"w{victim}" in {one[4] for one in lost}
    trials = tuner("trials", "hill", "--json").json("trials")
    by_configuration = {one["configuration"]: one["params"] for one in trials if one["state"] == "COMPLETE"}
    assert [tuple(by_configuration[number].values()) for number in range(9)] == _CELLS
    # A script's parameters are written as it asks for them: who is killed then has some.
    assert all(one["params"].items() <= by_configuration[one["configuration"]].items() for one in trials)
    # Units above 100 break the constraint, although they are higher.
    assert tuner("best", "hill", "--json").json("best")["params"]["units"] == 64
    large = next(one["trial"] for one in trials if one["params"].get("units") == 128)
    assert "violated" in tuner("show", "hill", str(large)).out
    assert "9 cells of its search space once" in tuner("extend", "hill", "--trials", "10", code=2).err
    assert "tries every cell" in tuner("enqueue", "hill", "units=32", code=2).err


@pytest.mark.parametrize("sampler", ["tpe", pytest.param("random", marks=pytest.mark.soak)])
def test_six_workers_with_one_seed_repeat_nothing(postgres_tuner: Tuner, sampler: str) -> None:
    """Each configuration has its own seed, whoever draws it."""
    tuner, name = postgres_tuner, f"hill-{sampler}"
    tuner.add_study("hill")
    tuner("create", "studies/hill.py", "--set", f"name={name}", "--set", f"sampler={sampler}", "--set", "trials=30")
    with ExitStack() as stack:
        assert [one.wait().code for one in _work(tuner, stack, name, 6)] == [0] * 6
    trials = tuner("trials", name, "--json").json("trials")
    rates = {one["configuration"]: one["params"]["rate"] for one in trials if one["state"] == "COMPLETE"}
    assert len(set(rates.values())) == len(rates) == 30
    assert len({one["worker"] for one in trials}) > 1


def test_one_worker_with_one_slot_draws_the_same_again(tmp_path: Path) -> None:
    """A study of the same seed, with TPE past its random trials."""
    drawn = []
    for folder in ("first", "again"):
        (tmp_path / folder).mkdir()
        with opened(tmp_path / folder) as tuner:
            tuner.add_study("hill")
            settings = ("sampler={kind: tpe, startup_trials: 3}", "trials=8")
            tuner("run", "studies/hill.py", "--slots", "1", *itertools.chain(*(("--set", one) for one in settings)))
            drawn.append([one["params"] for one in tuner("trials", "hill", "--json").json("trials")])
    assert drawn[0] == drawn[1]


@pytest.mark.soak
def test_a_finite_space_is_used_up_and_then_the_study_ends(tuner: Tuner) -> None:
    """At random, three at a time: known points first, each cell once, and the rest of the budget is not made up."""
    tuner.add_study("finite")
    ran = tuner(
        "run", "studies/finite.py", "--slots", "3", "--set", "sampler=random", "--set", "trials=12",
        "--set", "points=[{units: 4, optimizer: adam}]",
    )  # fmt: skip
    assert "the search space is exhausted: 9 configurations were settled" in ran.out
    trials = tuner("trials", "finite", "--json").json("trials")
    found = [one["params"] for one in trials if one["state"] == "COMPLETE"]
    assert found[0] == {"units": 4, "optimizer": "adam"}
    assert sorted(map(str, found)) == sorted(map(str, _FINITE))
    assert {one["reason"] for one in trials} == {"finished", "exhausted"}

    # Its best configurations are what another study begins with; the cells of a grid are found by building networks.
    best = min((one for one in trials if one["state"] == "COMPLETE"), key=lambda one: one["value"])
    options = ("--set", "name=next", "--set", "sampler=tpe", "--set", "trials=4", "--warm-start", "finite")
    assert "4 points to try first" in tuner("create", "studies/finite.py", *options).out
    ((params, source), *_) = tuner.query(
        "SELECT params, source FROM tuner_points JOIN tuner_studies USING (study_id) WHERE name = 'next' "
        "ORDER BY configuration"
    )
    assert source == f"trial {best['trial']} of finite"
    assert str(best["params"]["units"]) in params
    options = ("--set", "name=part", "--set", "sampler=brute-force", "--set", "trials=5")
    assert "9 cells, 5 of them tried" in tuner("create", "studies/finite.py", *options).out
