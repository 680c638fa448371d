"""A study that has come far enough before its budget is settled."""

from __future__ import annotations

from tests.e2e.tuner import Tuner


def test_a_target_that_is_reached_ends_the_study(tuner: Tuner) -> None:
    """It says by which rule, is not resumed in vain, and goes on with another one."""
    tuner.add_study("bowl")
    ran = tuner("run", "studies/bowl.py", "--slots", "1", "--set", "trials=50", "--set", "stop.target=1.9")
    assert "finished: stop.target=1.9: trial 0 reached height " in ran.out
    assert "1 of 50 settled" in ran.out
    assert "would end again at once by stop.target=1.9" in tuner("resume", "bowl", code=2).err
    assert "stopping rules: patience=2" in tuner(
        "extend", "bowl", "--set", "stop.target=null", "--set", "stop.patience=2"
    ).out  # fmt: skip
    assert "stops    at 0 of 2 trials without a better value" in tuner("status", "bowl").out
    again = tuner("create", "studies/bowl.py", "--set", "trials=50", "--set", "stop.patience=3")
    assert "bowl: continued, stop.patience 2 -> 3" in again.out
