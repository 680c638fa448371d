"""A study that ran to its end on SQLite with two workers, and everything that can be asked of it then."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.e2e.tuner import Result, Tuner, run_python, settled, until

_MEASURE = """
import json, sys
import keras
sys.path.insert(0, sys.argv[2])
from small import digits, perceptron
perceptron(4, 1.0).save(sys.argv[3])
model = keras.models.load_model(sys.argv[1])
data = digits()
print(json.dumps([model.evaluate(*part, batch_size=60, verbose=0)[1] for part in (data.validation, data.test)]))
"""


@pytest.fixture(scope="module")
def ran(module_tuner: Tuner) -> Result:
    """Provide what `tuner run` printed of the study that all tests here look at."""
    module_tuner.add_study("digits")
    return module_tuner("run", "studies/digits.py", "--workers", "2", "--slots", "1")


@pytest.fixture
def tuner(module_tuner: Tuner, ran: Result) -> Tuner:
    """Provide the working folder in which the study ran."""
    return module_tuner


@pytest.fixture(scope="module")
def exported(module_tuner: Tuner, ran: Result) -> tuple[Result, Path]:
    """Provide what `export --model` printed, and the folder that it wrote."""
    return module_tuner("export", "digits", "--model", "model"), module_tuner.folder / "model"


@dataclass(frozen=True)
class Measured:
    """What plain Keras says of the exported model."""

    validation: float
    test: float
    other_model: Path  #: a model that nobody has trained


@pytest.fixture(scope="module")
def measured(module_tuner: Tuner, exported: tuple[Result, Path]) -> Measured:
    """Provide the accuracies of the exported model, measured without this service."""
    other = module_tuner.folder / "untrained.keras"
    printed = run_python(_MEASURE, exported[1] / "best.keras", module_tuner.folder / "studies", other)
    validation, test = json.loads(printed)
    return Measured(validation, test, other)


def test_budget_is_settled_exactly(tuner: Tuner) -> None:
    """Eight trials are eight configurations, each once, by the rows of the database."""
    attempts = tuner.attempts()
    assert settled(attempts) == list(range(8))
    assert len(attempts) == 8


def test_some_trials_are_pruned_and_some_are_not(tuner: Tuner) -> None:
    """Hyperband stops some trials at its rungs, which are 1 and 3 epochs."""
    trials = tuner("trials", "digits", "--json").json("trials")
    pruned = {one["epochs"] for one in trials if one["state"] == "PRUNED"}
    assert pruned
    assert pruned <= {1, 3}
    assert {one["epochs"] for one in trials if one["state"] == "COMPLETE"} == {9}


def test_run_ends_with_the_best_hyperparameters(tuner: Tuner, ran: Result) -> None:
    """The last lines say what was found, and how to get the model."""
    assert "8 of 8 settled" in ran.out
    assert "best hyperparameters" in ran.out
    assert "learning_rate" in ran.out
    assert "tuner export digits --model" in ran.out
    assert "finished, 8/8 trials" in ran.out


def test_no_process_is_left(tuner: Tuner) -> None:
    """Workers, forkservers and children have ended with the run."""
    # The kernel ends what a worker has left; it does so after the worker.
    until("no process is left", lambda: not tuner.processes(), timeout_s=10.0)


def test_both_workers_said_nothing_wrong(tuner: Tuner) -> None:
    """No traceback is in the workers' log."""
    log = (tuner.folder / "digits.workers.log").read_text()
    assert "Traceback" not in log
    assert "ERROR" not in log


def test_list_shows_the_study(tuner: Tuner) -> None:
    """`list` has a line for it, and as JSON the same fields as `status`."""
    (study,) = tuner("list", "--json").json("studies")
    assert study == tuner("status", "digits", "--json").json("study")
    assert "digits" in tuner("list").out


def test_status_counts_what_there_is(tuner: Tuner) -> None:
    """Budget, outcomes, epochs and the best agree with the trials."""
    status = tuner("status", "digits", "--json").json("study")
    trials = tuner("trials", "digits", "--json").json("trials")
    assert status["state"] == "finished"
    assert status["budget"] == status["settled"] == status["complete"] + status["pruned"] == 8
    assert (status["failed"], status["running"], status["waiting"], status["retries"]) == (0, 0, 0, 0)
    assert (status["metrics"], status["directions"]) == (["val_accuracy"], ["maximize"])
    assert status["epochs_trained"] == sum(one["epochs"] for one in trials)
    assert status["epochs_trained"] + status["epochs_saved"] == 8 * 9
    complete = [one for one in trials if one["state"] == "COMPLETE"]
    best = max(complete, key=lambda one: (one["value"], -one["trial"]))
    assert status["best"] == {"trial": best["trial"], "value": best["value"]}
    assert "8 of 8 settled" in tuner("status", "digits").out


def test_trials_are_filtered_and_sorted(tuner: Tuner) -> None:
    """`--state` leaves out others, and `--sort value` puts the best first."""
    trials = tuner("trials", "digits", "--state", "complete", "--sort", "value", "--json").json("trials")
    assert {one["state"] for one in trials} == {"COMPLETE"}
    values = [one["value"] for one in trials]
    assert values == sorted(values, reverse=True)


def test_trial_carries_its_parameters_and_where_it_ran(tuner: Tuner) -> None:
    """Every trial has the three parameters within their ranges, a worker, a code digest and times."""
    for one in tuner("trials", "digits", "--json").json("trials"):
        assert set(one["params"]) == {"units", "learning_rate", "batch_size"}
        assert 4 <= one["params"]["units"] <= 32
        assert one["params"]["batch_size"] in (16, 32)
        assert one["worker"].startswith("local-")
        assert len(one["code"]) == 16
        assert one["seconds"] > 0
        assert one["failure"] is None
        assert one["attempt"] == 0
    assert "units" in tuner("trials", "digits").out


def test_show_has_the_whole_curve(tuner: Tuner) -> None:
    """`show N` has each metric of each epoch, and the value is the best of its curve."""
    best = tuner("best", "digits", "--json").json("best")
    shown = tuner("show", "digits", str(best["trial"]), "--json").json("trial")
    (curve,) = shown["curves"]
    assert set(curve) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert {len(values) for values in curve.values()} == {9}
    assert shown["value"] == pytest.approx(max(curve["val_accuracy"]))
    assert curve["val_accuracy"][shown["best_epoch"] - 1] == pytest.approx(shown["value"])
    assert {key: shown[key] for key in ("trial", "value", "params")} == {
        key: best[key] for key in ("trial", "value", "params")
    }
    text = tuner("show", "digits", str(best["trial"])).out
    assert "val_loss" in text
    assert "learning_rate" in text


def test_best_says_that_there_is_a_model(tuner: Tuner) -> None:
    """`best` names the trial, its parameters, and whether its model was kept."""
    assert tuner("best", "digits", "--json").json("best")["has_model"] is True
    assert "tuner export digits --model" in tuner("best", "digits").out


def test_export_formats_hold_the_same(tuner: Tuner) -> None:
    """JSON and YAML are equal as data, and hold the specification, the search space and every trial's curve."""
    tuner("export", "digits", "--output", "digits.json")
    document = json.loads((tuner.folder / "digits.json").read_text())
    assert yaml.safe_load(tuner("export", "digits", "--format", "yaml").out) == document
    assert document["version"] == 1
    assert document["study"]["specification"]["pruner"]["kind"] == "hyperband"
    assert set(document["study"]["search_space"]) == {"units", "learning_rate", "batch_size"}
    assert document["study"]["record"]["packages"]["keras"].startswith("3.")
    assert document["best"]["trial"] == tuner("best", "digits", "--json").json("best")["trial"]
    assert [len(one["curves"][0]["loss"]) for one in document["trials"]] == [
        one["epochs"] for one in document["trials"]
    ]


def test_csv_has_one_line_a_trial_or_one_an_epoch(tuner: Tuner) -> None:
    """The wide form has each trial once; the long one each metric of each epoch of each trial, pruned ones too."""
    trials = tuner("trials", "digits", "--json").json("trials")
    wide = list(csv.DictReader(io.StringIO(tuner("export", "digits", "--format", "csv").out)))
    assert [int(one["trial"]) for one in wide] == [one["trial"] for one in trials]
    assert [float(one["param.learning_rate"]) for one in wide] == [one["params"]["learning_rate"] for one in trials]
    long = list(csv.DictReader(io.StringIO(tuner("export", "digits", "--format", "csv-long").out)))
    expected = {
        (one["trial"], metric, epoch)
        for one in trials
        for metric in ("loss", "accuracy", "val_loss", "val_accuracy")
        for epoch in range(1, one["epochs"] + 1)
    }
    assert {(int(one["trial"]), one["metric"], int(one["epoch"])) for one in long} == expected
    assert len(long) == len(expected)


def test_exported_model_does_what_was_recorded(tuner: Tuner, exported: tuple[Result, Path], measured: Measured) -> None:
    """The file, loaded by plain Keras in a fresh process, has the recorded value; its card says all that is known."""
    printed, folder = exported
    card = json.loads((folder / "best.json").read_text())
    assert sorted(path.name for path in folder.iterdir()) == ["best.json", "best.keras", "best.md"]
    assert measured.validation == pytest.approx(card["values"]["val_accuracy"], abs=1e-5)
    assert card["test"] is None
    assert card["values"]["val_accuracy"] == tuner("best", "digits", "--json").json("best")["value"]
    assert "measured again in a fresh process" in printed.out
    assert "nobody has looked: tuner evaluate digits" in printed.out
    page = (folder / "best.md").read_text()
    assert 'keras.models.load_model("best.keras")' in page
    assert all(f"| {name} | `{value}` |" in page for name, value in card["params"].items())
    assert card["record"]["data"] in page


def test_test_part_is_looked_at_once_and_told_again(tuner: Tuner, measured: Measured) -> None:
    """The first look is recorded with who took it; the second one is told of it, and exports carry the score."""
    first = tuner("evaluate", "digits")
    assert "the first look at it" in first.out
    again = " ".join(tuner("evaluate", "digits").out.split())
    assert "look 2 at the test part: 1 model measured before, first by" in again
    rows = tuner.query("SELECT trial, model, metrics, who FROM tuner_scores ORDER BY score_id")
    best = tuner("best", "digits", "--json").json("best")["trial"]
    assert [(trial, model) for trial, model, _, _ in rows] == [(best, "trial")] * 2
    assert json.loads(rows[0][2])["accuracy"] == pytest.approx(measured.test, abs=1e-5)
    assert "@" in rows[0][3]


def test_corrupted_model_is_refused(tuner: Tuner, exported: tuple[Result, Path]) -> None:
    """A model file that Keras cannot load is not called best, and nothing is written."""
    best = tuner("best", "digits", "--json").json("best")["trial"]
    model = tuner.folder / "tuner-artifacts" / "digits" / "trials" / f"{best:05d}" / "model.keras"
    kept = model.read_bytes()
    model.write_bytes(kept[: len(kept) // 2])
    try:
        refused = tuner("export", "digits", "--model", "other", code=2)
    finally:
        model.write_bytes(kept)
    assert "cannot be loaded" in refused.err
    assert "Traceback" not in refused.err
    assert not (tuner.folder / "other").exists()


def test_model_that_does_something_else_is_refused(tuner: Tuner, measured: Measured) -> None:
    """A model that loads but does not reach the recorded value is not called best either."""
    best = tuner("best", "digits", "--json").json("best")["trial"]
    trial = tuner.folder / "tuner-artifacts" / "digits" / "trials" / f"{best:05d}"
    kept = (trial / "model.keras").read_bytes()
    shutil.copy(measured.other_model, trial / "model.keras")
    try:
        refused = tuner("export", "digits", "--model", "other", code=2)
    finally:
        (trial / "model.keras").write_bytes(kept)
    assert "does not do what was recorded" in refused.err
    assert not (tuner.folder / "other").exists()


def test_lost_model_is_told(tuner: Tuner, exported: tuple[Result, Path]) -> None:
    """Where the artifacts are gone, `best` still has the parameters, and the export says what is missing."""
    artifacts = tuner.folder / "tuner-artifacts"
    moved = shutil.move(artifacts, tuner.folder / "elsewhere")
    try:
        assert tuner("best", "digits", "--json").json("best")["has_model"] is False
        refused = tuner("export", "digits", "--model", "other", code=2)
    finally:
        shutil.move(moved, artifacts)
    assert "no model of trial" in refused.err


def test_run_again_says_that_it_is_finished(tuner: Tuner) -> None:
    """A finished study is not run again, and its result is shown again."""
    before = tuner.attempts()
    again = tuner("run", "studies/digits.py")
    assert "already finished" in again.out
    assert "best hyperparameters" in again.out
    assert tuner.attempts() == before


def test_study_does_not_differ_from_itself(tuner: Tuner) -> None:
    """And eight trials are too few to say more."""
    found = tuner("compare", "digits", "digits", "--json").json("comparison")
    assert (found["differences"], found["better"]) == ({}, None)
    assert "needs 10 settled trials" in " ".join(tuner("compare", "digits", "digits").out.split())


def test_trials_come_out_the_same_again(tuner: Tuner) -> None:
    """Complete and pruned ones, to the last bit in every metric of every epoch, and nothing is recorded of it."""
    before = tuner.attempts()
    numbers = [str(one) for one in random.sample(range(8), 5)]
    printed = tuner("rerun", "digits", *numbers).out.splitlines()
    assert [line.split(",")[0] for line in printed] == [f"trial {number}: identical" for number in numbers]
    assert all("5 figures" in line for line in printed)
    assert tuner.attempts() == before


def test_changed_line_of_code_is_named(tuner: Tuner) -> None:
    """Also of a module beside the study file; nothing is trained with it."""
    helper = tuner.folder / "studies" / "small.py"
    source = helper.read_text()
    helper.write_text(source.replace("layers.Dense(units,", "layers.Dense(units + 1,"))
    try:
        refused = tuner("rerun", "digits", "0", code=2)
    finally:
        helper.write_text(source)
    (line,) = [number for number, text in enumerate(source.splitlines(), start=1) if "Dense(units," in text]
    assert f"trial 0: small.py:{line}, perceptron: 'keras.layers.Dense(units, " in " ".join(refused.err.split())
    assert "units + 1" in refused.err


def test_commands_that_look_do_not_import_keras(tuner: Tuner) -> None:
    """`--help`, `status`, `best`, `trials` and `list` start without Keras or TensorFlow."""
    code = """
import sys
from tuner_service.cli.app import run
for command in (["--help"], ["list"], ["status", "digits"], ["best", "digits"], ["trials", "digits"]):
    try:
        run(command if command == ["--help"] else [*command, "--storage", sys.argv[1]])
    except SystemExit as ended:
        assert not ended.code, (command, ended.code)
print("imported:", sorted({"keras", "tensorflow", "jax", "sklearn", "scipy"} & set(sys.modules)))
"""
    assert "imported: []" in run_python(code, tuner.storage)


def test_report_says_what_the_commands_say(tuner: Tuner) -> None:
    """The page and its numbers are of this study, with the best trial's curves and the pictures beside them."""
    printed = tuner("report", "digits", "--output", "digits-report").out
    folder = tuner.folder / "digits-report"
    assert "digits-report/report.html" in printed
    report = json.loads((folder / "report.json").read_text())
    best = tuner("best", "digits", "--json").json("best")
    assert (report["best"]["trial"], report["best"]["params"]) == (best["trial"], best["params"])
    assert report["trials"]["settled"] == 8
    page = (folder / "report.html").read_text()
    assert "The best trial&#39;s training" in page
    assert {"history.png", "curves.png", "timeline.png"} <= {path.name for path in folder.iterdir()}


def test_other_tools_get_every_trial(tuner: Tuner) -> None:
    """A folder a trial for TensorBoard, a row a trial in Parquet; asked for both at once, it says so."""
    tuner("export", "digits", "--tensorboard", "logs")
    tuner("export", "digits", "--parquet", "trials.parquet")
    assert len(list((tuner.folder / "logs" / "digits").glob("trial-*/events*"))) == 8
    assert len(pd.read_parquet(tuner.folder / "trials.parquet")) == 8
    refused = tuner("export", "digits", "--parquet", "a", "--tensorboard", "b", code=2)
    assert "--tensorboard and --parquet" in refused.err
