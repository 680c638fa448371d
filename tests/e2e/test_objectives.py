"""Studies of several objectives, from the file to the front."""

from __future__ import annotations

import optuna
import pytest

from tests.e2e.tuner import Tuner


@pytest.mark.soak
def test_accuracy_against_size(tuner: Tuner) -> None:
    """Hyperband stops trials by the first objective, the front is Optuna's, and a model of it is chosen by number."""
    tuner.add_study("digits")
    ran = tuner(
        "run", "studies/digits.py", "--slots", "2", "--set", "metric=[val_accuracy, parameters]", "--set", "trials=10",
    )  # fmt: skip
    assert "10 of 10 settled" in ran.out
    trials = tuner("trials", "digits", "--json").json("trials")
    complete = {one["trial"]: one["values"] for one in trials if one["state"] == "COMPLETE"}
    pruned = [one for one in trials if one["state"] == "PRUNED"]
    assert len(complete) + len(pruned) == 10
    assert pruned
    assert all(one["values"] == [] and one["epochs"] in (1, 3) for one in pruned)
    # 64 inputs to each unit, and from each to 10 outputs.
    assert all(
        one["values"][1] == 75 * one["params"]["units"] + 10 for one in trials if one["state"] == "COMPLETE"
    )  # fmt: skip
    assert tuner.query("SELECT count(*) FROM trial_intermediate_values") == [(0,)]

    front = tuner("best", "digits", "--json").json("front")
    theirs = optuna.load_study(study_name="digits", storage=tuner.storage)
    assert {one["trial"]: one["values"] for one in front} == {one.number: one.values for one in theirs.best_trials}
    assert all(one["has_model"] for one in front)
    assert f"front    of {len(front)} trial" in tuner("status", "digits").out
    header = tuner("export", "digits", "--format", "csv").out.splitlines()[0]
    assert "value.val_accuracy,value.parameters" in header

    if len(front) > 1:
        assert "name one of them" in tuner("export", "digits", "--model", "best", code=2).err
    chosen = front[-1]["trial"]
    exported = tuner("export", "digits", str(chosen), "--model", "best")
    assert f"of trial {chosen}" in exported.out
    assert (tuner.folder / "best" / f"trial-{chosen}.keras").is_file()


def test_an_optuna_script_may_return_several_values(tuner: Tuner) -> None:
    """With a name and a direction for each; another number of values is an error of the script."""
    tuner.add_study("bowl", change=lambda text: text.replace("return x**2 + y**2", "return x**2, (y - 1) ** 2, 1"))
    names = ("--set", "metric=[height, far]", "--set", "direction=[minimize, minimize]")
    failed = tuner("run", "studies/bowl.py", "--slots", "1", *names, "--set", "max_repeated_errors=2", code=1)
    assert "returned 3 values, and the study has 2 metrics" in failed.out
