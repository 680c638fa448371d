"""Trials that fail, each treated by its cause."""

from __future__ import annotations

from tests.e2e.tuner import Tuner, settled


def test_failures_are_treated_by_their_cause(tuner: Tuner) -> None:
    """An error and a crash count after two attempts, a NaN at once as pruned, and the budget stays exact."""
    tuner.add_study("failing")
    ran = tuner("run", "studies/failing.py", "--slots", "2")
    assert "5 of 5 settled: 2 complete, 1 pruned, 2 failed" in ran.out
    trials = tuner("trials", "failing", "--json").json("trials")
    by_configuration: dict[int, list[tuple[int, str]]] = {}
    for one in trials:
        by_configuration.setdefault(one["configuration"], []).append((one["attempt"], one["reason"]))
    assert sorted(sorted(mine) for mine in by_configuration.values()) == [
        [(0, "crashed"), (1, "crashed")],
        [(0, "diverged")],
        [(0, "error"), (1, "error")],
        [(0, "finished")],
        [(0, "finished")],
    ]
    assert len(tuner.attempts()) == 7
    assert len(settled(tuner.attempts())) == 3
    reasons = {one["reason"]: one for one in trials}

    error = reasons["error"]
    assert error["state"] == "FAIL"
    assert (error["failure"]["type"], error["failure"]["message"]) == (
        "RuntimeError",
        "no such network: [place] is taken",
    )
    shown = tuner("show", "failing", str(error["trial"])).out
    assert 'raise RuntimeError("no such network: [place] is taken")' in shown
    assert "failing.py" in shown
    assert "tuner_service/training" not in shown

    crashed = reasons["crashed"]
    assert crashed["state"] == "FAIL"
    assert "SIGSEGV" in crashed["failure"]["message"]

    diverged = reasons["diverged"]
    assert (diverged["state"], diverged["epochs"]) == ("PRUNED", 1)
    assert "loss became" in diverged["failure"]["message"]
    assert "diverged" in tuner("show", "failing", str(diverged["trial"])).out

    # A retry has the parameters of the first attempt.
    places = tuner.query("SELECT DISTINCT param_value FROM trial_params")
    assert len(places) == 5

    status = tuner("status", "failing", "--json").json("study")
    assert {(one["reason"], one["attempts"], one["configurations"]) for one in status["failures"]} == {
        ("diverged", 1, 1), ("crashed", 2, 1), ("error", 2, 1),
    }  # fmt: skip
    status_text = tuner("status", "failing").out
    assert "no such network: [place] is taken" in status_text
    export = tuner("export", "failing", "--format", "csv").out
    assert "no such network" in export


def test_same_error_again_and_again_ends_the_study(tuner: Tuner) -> None:
    """What every trial does wrong is not tried forty times: the study fails, and says what was wrong."""
    tuner.add_study("wordy")
    ran = tuner("run", "studies/wordy.py", "--slots", "1", code=1)
    message = (
        "the same error 3 times in a row: StudyFileError: the objective's value must be a number, got 'high', a str"
    )
    assert message in ran.out
    status = tuner("status", "wordy", "--json").json("study")
    assert (status["state"], status["ending_message"]) == ("failed", message)
    attempts = tuner.attempts()
    # Rows that already waited may be tried before the study is ended: two a slot.
    assert 3 <= sum(reason == "error" for _, _, _, reason, _ in attempts) <= 5
    assert {state for _, _, state, _, _ in attempts} == {"FAIL"}
    assert tuner("run", "studies/wordy.py", code=1).out.count(message) >= 1
    assert "no complete trial" in tuner("best", "wordy", code=2).err
