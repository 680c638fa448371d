"""Studies whose processes are interrupted and killed in the middle."""

from __future__ import annotations

import os
import signal
from collections import Counter

import pytest

from tests.e2e.tuner import Tuner, settled, until

_RUN = ("run", "studies/slow.py", "--workers", "2", "--slots", "1")


def _running(tuner: Tuner) -> list[tuple[int, str | None]]:
    """Return configuration and owner of the trials that run."""
    return [(configuration, owner) for configuration, _, state, _, owner in tuner.attempts() if state == "RUNNING"]


def _worker(tuner: Tuner, owner: str | None) -> int:
    """Return the process of a worker, by its id."""
    ((process,),) = tuner.query(f"SELECT pid FROM tuner_workers WHERE worker_id = '{owner}'")
    return int(process)


@pytest.fixture(scope="module")
def interrupted(module_tuner: Tuner) -> Tuner:
    """Provide the folder of a `tuner run` that was interrupted by Ctrl-C, lost a worker, was killed, and finished."""
    tuner = module_tuner
    tuner.add_study("slow")

    with tuner.start(*_RUN) as command:
        until("two trials run after one has ended", lambda: len(_running(tuner)) == 2 and settled(tuner.attempts()))
        command.send(signal.SIGINT)
        result = command.wait()
    assert result.code == 75, result.err
    assert "the same command continues" in result.out
    # The kernel ends what a worker has left; it does so after the worker.
    until("no process is left", lambda: not tuner.processes(), timeout_s=10.0)
    assert _running(tuner) == []

    with tuner.start(*_RUN) as command:
        running = until("trials of both workers run", lambda: len(_running(tuner)) == 2 and _running(tuner))
        before = len(settled(tuner.attempts()))
        os.kill(_worker(tuner, running[0][1]), signal.SIGKILL)
        until("another trial is settled", lambda: len(settled(tuner.attempts())) > before)
        until("trials run", lambda: _running(tuner))
        assert command.so_far.code == -1
        command.send(signal.SIGKILL)
        command.wait()
    until("no process is left", lambda: not tuner.processes(), timeout_s=20.0)
    assert len(settled(tuner.attempts())) < 8

    assert "8 of 8 settled" in tuner(*_RUN).out
    return tuner


def test_interrupted_run_ends_with_exactly_its_budget(interrupted: Tuner) -> None:
    """Eight configurations are settled once each, whatever happened, and nothing runs or waits."""
    attempts = interrupted.attempts()
    assert settled(attempts) == list(range(8))
    assert {state for _, _, state, _, _ in attempts} <= {"COMPLETE", "FAIL"}
    assert len({(configuration, attempt) for configuration, attempt, *_ in attempts}) == len(attempts)


def test_what_was_interrupted_is_not_charged(interrupted: Tuner) -> None:
    """Trials that were handed back, lost with a worker, or killed with the run, were interrupted, and ran again."""
    failed = [
        (configuration, reason) for configuration, _, state, reason, _ in interrupted.attempts() if state == "FAIL"
    ]
    assert {reason for _, reason in failed} == {"interrupted"}
    assert len(failed) >= 3
    status = interrupted("status", "slow", "--json").json("study")
    assert (status["state"], status["failed"], status["retries"]) == ("finished", 0, len(failed))


def test_attempts_of_one_configuration_have_the_same_parameters(interrupted: Tuner) -> None:
    """A trial that runs again evaluates the same point."""
    trials = interrupted("trials", "slow", "--json").json("trials")
    points: dict[int, set[int]] = {}
    for one in trials:
        points.setdefault(one["configuration"], set()).update(one["params"].values())
    assert {len(values) for values in points.values()} == {1}


@pytest.mark.soak
def test_trial_of_a_killed_worker_is_run_again_by_another(postgres_tuner: Tuner) -> None:
    """Once the lease has run out, the other worker takes the trial over, with its parameters; both budgets are one."""
    tuner = postgres_tuner
    tuner.add_study("slow")
    tuner("create", "studies/slow.py", "--set", "trials=6")
    worker = ("worker", "slow", "--slots", "1", "--beat", "0.5", "--lease", "3", "--id")
    with tuner.start(*worker, "w0") as first, tuner.start(*worker, "w1") as second:
        until("both workers train", lambda: len(_running(tuner)) == 2)
        (lost,) = [configuration for configuration, owner in _running(tuner) if owner == "w0"]
        until(
            "the trial has its parameters",
            lambda: tuner.query(
                "SELECT param_value FROM trial_params JOIN tuner_attempts USING (trial_id) "
                f"WHERE configuration = {lost} AND attempt = 0"
            ),
        )
        first.send(signal.SIGKILL)
        result = second.wait()
    assert result.code == 0, result.err
    attempts = tuner.attempts()
    assert settled(attempts) == list(range(6))
    of_the_lost = [(attempt, state, reason, owner) for c, attempt, state, reason, owner in attempts if c == lost]
    assert of_the_lost == [(0, "FAIL", "interrupted", "w0"), (1, "COMPLETE", "finished", "w1")]
    assert Counter(state for _, _, state, _, _ in attempts) == {"COMPLETE": 6, "FAIL": 1}
    params = tuner.query(
        f"SELECT param_value FROM trial_params JOIN tuner_attempts USING (trial_id) WHERE configuration = {lost}"
    )
    assert len(params) == 2
    assert len(set(params)) == 1
    # The kernel ends what a worker has left; it does so after the worker.
    until("no process is left", lambda: not tuner.processes(), timeout_s=10.0)
