"""Four workers on one PostgreSQL database."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack

import pytest

from tests.e2e.tuner import Result, Tuner, settled


@pytest.fixture(scope="module")
def workers(postgres_tuner: Tuner) -> list[Result]:
    """Provide what four workers printed that were there before the study was, and left when it was done."""
    postgres_tuner.add_study("digits")
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                postgres_tuner.start("worker", "digits", "--slots", "1", "--id", f"w{index}", "--beat", "1")
            )
            for index in range(4)
        ]
        postgres_tuner("create", "studies/digits.py", "--set", "trials=40")
        return [one.wait() for one in started]


@pytest.fixture
def tuner(postgres_tuner: Tuner, workers: list[Result]) -> Tuner:
    """Provide the working folder of the study."""
    return postgres_tuner


def test_workers_exit_0(workers: list[Result]) -> None:
    """A worker whose study has ended exits with 0, and none said anything wrong on the way."""
    for one in workers:
        assert one.code == 0, one.err
        assert "Traceback" not in one.err
        assert "ERROR" not in one.err


def test_workers_wait_for_the_study(workers: list[Result]) -> None:
    """Workers that start first make no tables; they say that they wait."""
    assert all("waiting up to 60 s" in one.err for one in workers)


def test_exactly_the_budget_is_settled(tuner: Tuner) -> None:
    """Forty trials are forty configurations, each once, and there is no other row."""
    attempts = tuner.attempts()
    assert settled(attempts) == list(range(40))
    assert len(attempts) == len(tuner.query("SELECT trial_id FROM trials")) == 40
    assert len(tuner.query("SELECT DISTINCT number FROM trials")) == 40
    assert len(tuner.query("SELECT trial_id FROM trial_values WHERE objective = 0")) == 40


def test_no_configuration_is_trained_twice(tuner: Tuner) -> None:
    """No two trials have the same learning rate, which is a number of 53 random bits."""
    rates = tuner.query("SELECT param_value FROM trial_params WHERE param_name = 'learning_rate'")
    assert len(set(rates)) == len(rates) == 40


def test_every_worker_took_part(tuner: Tuner) -> None:
    """Each of the four trained some of them."""
    trained = Counter(owner for *_, owner in tuner.attempts())
    assert set(trained) == {"w0", "w1", "w2", "w3"}


def test_some_are_pruned_below_the_top(tuner: Tuner) -> None:
    """Trials are judged at 1 and 3 epochs and never at 9, and each configuration once in a rung."""
    states = Counter(state for _, _, state, _, _ in tuner.attempts())
    assert states["PRUNED"] > 10
    assert states["COMPLETE"] >= 2
    rungs = tuner.query("SELECT epoch, configuration FROM tuner_rungs")
    assert {epoch for epoch, _ in rungs} == {1, 3}
    assert len(set(rungs)) == len(rungs)
    assert len([one for one in rungs if one[0] == 1]) == 40


def test_leases_were_never_lost(tuner: Tuner) -> None:
    """Workers that are merely busy keep their trials: there is no second attempt."""
    status = tuner("status", "digits", "--json").json("study")
    assert (status["state"], status["settled"], status["retries"]) == ("finished", 40, 0)
    assert status["failures"] == []


def test_deleted_study_leaves_nothing(tuner: Tuner) -> None:
    """`delete` removes rows and files of the study, and a worker of it is told to not come again."""
    refused = tuner("delete", "digits", code=2)
    assert "--yes" in refused.err
    assert tuner.attempts()
    tuner("delete", "digits", "--yes")
    for table in ("studies", "trials", "trial_params", "trial_values", "trial_intermediate_values", "tuner_studies",
                  "tuner_attempts", "tuner_rungs", "tuner_workers"):  # fmt: skip
        assert tuner.query(f"SELECT * FROM {table}") == [], table
    assert tuner.artifacts() == []
    assert "holds none" in tuner("worker", "digits", "--wait", "0", code=78).err
