"""The ways in which a study file may define a trial, and its data."""

from __future__ import annotations

import pytest

from tests.e2e.tuner import STUDIES, Tuner, settled


def test_optuna_script_runs_unchanged(tuner: Tuner) -> None:
    """An `objective(trial)` with Keras and Optuna's own pruning callback is pruned at the rungs, counted from 1."""
    path = tuner.add_study("optuna_script")
    assert path.read_text() == (STUDIES / "optuna_script.py").read_text()
    (tuner.folder / "tune.yaml").write_text(
        "metric: val_accuracy\nmax_epochs: 9\ntrials: 5\npruner: {kind: hyperband, reduction_factor: 3}\n"
    )
    ran = tuner(
        "run", "studies/optuna_script.py", "--config", "tune.yaml", "--set", "trials=8", "--set", "sampler=random",
        "--slots", "2",
    )  # fmt: skip
    assert "8 of 8 settled" in ran.out
    assert settled(tuner.attempts()) == list(range(8))
    trials = tuner("trials", "optuna_script", "--json").json("trials")
    pruned = [one for one in trials if one["state"] == "PRUNED"]
    complete = [one for one in trials if one["state"] == "COMPLETE"]
    assert pruned
    assert complete
    assert {one["epochs"] for one in pruned} <= {1, 3}
    assert {one["epochs"] for one in complete} == {9}
    assert {epoch for (epoch,) in tuner.query("SELECT DISTINCT epoch FROM tuner_rungs")} <= {1, 3}
    # Optuna's callback reports steps from 0: what a trial has reported is one step an epoch.
    steps = tuner.query(
        "SELECT trials.number, count(*), min(step), max(step) FROM trial_intermediate_values "
        "JOIN trials USING (trial_id) GROUP BY trials.number ORDER BY trials.number"
    )
    assert steps == [(one["trial"], one["epochs"], 0, one["epochs"] - 1) for one in trials]
    assert all(one["attributes"]["weights"] > 300 for one in trials)
    constraints = tuner.query("SELECT trial_id FROM trial_system_attributes WHERE key LIKE '%constraint%'")
    assert len({trial for (trial,) in constraints}) == 8
    best = tuner("best", "optuna_script", "--json").json("best")
    assert best["value"] == max(one["value"] for one in complete)
    assert "save the model there" in tuner("export", "optuna_script", "--model", "model", code=2).err


def test_own_fit_says_how_it_went_in_three_ways(tuner: Tuner) -> None:
    """A `fit` may return a History, metrics or a number; it trains on a PyDataset and never sees the test part."""
    tuner.add_study("own_fit")
    assert "4 of 4 settled" in tuner("run", "studies/own_fit.py", "--slots", "2").out
    trials = tuner("trials", "own-fit", "--json").json("trials")
    assert {one["params"]["returns"] for one in trials} == {"history", "metrics", "number"}
    assert {one["state"] for one in trials} == {"COMPLETE"}
    assert all(0 < one["value"] < 3 for one in trials)
    assert [one["attributes"]["sees_test_data"] for one in trials] == [False] * 4
    assert {one["epochs"] for one in trials if one["params"]["returns"] == "history"} == {2}
    # NumPy data and Python's are inherited: no reason to start anew.
    assert "slowly" not in (tuner.folder / "own_fit.workers.log").read_text()
    assert "test" in tuner("export", "own-fit", "--model", "model").out


def test_class_of_keras_tuner_runs_unchanged(tuner: Tuner) -> None:
    """Two workers train a `HyperModel` with a `fit` of its own; its callbacks prune, its values are shown."""
    tuner.add_study("kerastuner")
    assert "6 of 6 settled" in tuner("run", "studies/kerastuner.py", "--workers", "2").out
    assert settled(tuner.attempts()) == list(range(6))
    trials = tuner("trials", "kerastuner", "--json").json("trials")
    for one in trials:
        names = {"layers", "units_0@layers:1,2", "activation", "learning_rate", "batch_size"}
        assert one["params"].keys() == names | ({"units_1@layers:2"} if one["params"]["layers"] == 2 else set())
        assert one["params"]["units_0@layers:1,2"] in (8, 16, 32)
        assert (one["state"], one["epochs"]) in (("COMPLETE", 4), ("PRUNED", 1), ("PRUNED", 2))
        assert "not_pruned" not in one["attributes"]
    complete = [one["value"] for one in trials if one["state"] == "COMPLETE"]
    assert tuner("best", "kerastuner", "--json").json("best")["value"] == max(complete)
    # Importing KerasTuner starts no threads that a fork would lose.
    assert "slowly" not in (tuner.folder / "kerastuner.workers.log").read_text()


@pytest.mark.soak
def test_data_of_tensorflow_is_made_in_each_trial(tuner: Tuner) -> None:
    """Where `load_data` starts TensorFlow, trials are not forked from a process whose threads they would lack."""
    tuner.add_study("tensors")
    assert "2 of 2 settled" in tuner("run", "studies/tensors.py", "--slots", "1").out
    trials = tuner("trials", "tensors", "--json").json("trials")
    assert [(one["state"], one["epochs"]) for one in trials] == [("COMPLETE", 2)] * 2
    log = (tuner.folder / "tensors.workers.log").read_text()
    assert "trials start slowly: load_data started the backend" in log
    assert "make data with NumPy there" in log
