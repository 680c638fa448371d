"""What a specification may say, and what is said of one that is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from tests.records import make_spec
from tuner_service.domain.folds import Folds
from tuner_service.domain.objective_value import LastEpoch, MeanOfLast
from tuner_service.domain.pruner import Hyperband, Median, NoPruning, Patient, SuccessiveHalving
from tuner_service.domain.revision import differences, revised, what_changed
from tuner_service.domain.sampler import SAMPLERS, BruteForce, Grid, QuasiRandom, Random, Tpe
from tuner_service.domain.spec import StudySpec, is_of_specification, parse_spec, to_json
from tuner_service.domain.stopping import Stopping
from tuner_service.errors import SpecError


def test_few_fields_are_a_specification() -> None:
    """Name, metric, trials and epochs are enough; the rest has defaults."""
    spec = parse_spec({"name": "digits", "metric": "val_accuracy", "trials": 4, "max_epochs": 9})
    assert (spec.sampler, spec.pruner, spec.better) == (Tpe(), NoPruning(), "maximize")


@pytest.mark.parametrize(
    ("fields", "field", "value"),
    [
        pytest.param({"sampler": "random"}, "sampler", Random(), id="a sampler by its kind"),
        pytest.param({"sampler": {"kind": "tpe", "seed": 3}}, "sampler", Tpe(seed=3), id="a sampler with its seed"),
        pytest.param({"sampler": "quasi-random"}, "sampler", QuasiRandom(), id="a sampler with a hyphen"),
        pytest.param({"sampler": "grid", "trials": None}, "trials", None, id="a grid needs no budget"),
        pytest.param(
            {"sampler": {"kind": "grid", "space": {"units": [32, 64.0, None]}}},
            "sampler",
            Grid(space={"units": (32, 64.0, None)}),
            id="a grid with its choices",
        ),
        pytest.param({"sampler": BruteForce(), "trials": 2}, "trials", 2, id="a part of a finite space"),
        pytest.param({"points": [{"units": 32}]}, "points", ({"units": 32},), id="known points"),
        pytest.param({"defaults_first": True}, "defaults_first", True, id="KerasTuner's defaults"),
        pytest.param({"warm_start": ["digits"]}, "warm_start", ("digits",), id="earlier studies"),
        pytest.param({"pruner": "median"}, "pruner", Median(), id="a pruner by its kind"),
        pytest.param({"pruner": "successive-halving"}, "pruner", SuccessiveHalving(), id="a kind with a hyphen"),
        pytest.param(
            {"pruner": {"kind": "hyperband", "brackets": None}}, "pruner", Hyperband(brackets=None), id="null"
        ),
        pytest.param({"pruner": Hyperband()}, "pruner", Hyperband(), id="a pruner as an object"),
        pytest.param(
            {"pruner": {"kind": "patient", "patience": 1, "wrapped": "median"}},
            "pruner",
            Patient(patience=1, wrapped=Median()),
            id="a wrapped pruner by its kind",
        ),
        pytest.param({"value": "last"}, "value", LastEpoch(), id="which epoch counts"),
        pytest.param(
            {"value": {"kind": "mean-of-last", "epochs": 3}}, "value", MeanOfLast(epochs=3), id="how many epochs count"
        ),
        pytest.param({"folds": 3}, "folds", Folds(n=3), id="folds by their number"),
        pytest.param({"executions": 2, "folds": Folds(n=3)}, "runs", 6, id="executions times folds"),
        pytest.param(
            {"pruner": {"kind": "median", "min_epochs": 9}}, "max_epochs", 9, id="min_epochs up to max_epochs"
        ),
        pytest.param({"name": "A.b_c-9" + "x" * 93}, "name", "A.b_c-9" + "x" * 93, id="a name of 100 characters"),
        pytest.param({"metric": "val_loss"}, "better", "minimize", id="a direction that is known"),
        pytest.param({"metric": "val_loss", "direction": "maximize"}, "better", "maximize", id="a direction said"),
        pytest.param({"metric": "reward", "direction": "minimize"}, "better", "minimize", id="a metric of one's own"),
        pytest.param(
            {"metric": SimpleNamespace(name="val_f1", direction="max")},
            "better",
            "maximize",
            id="KerasTuner's Objective",
        ),
        pytest.param({"metric": SimpleNamespace(name="f", direction="min")}, "metric", "f", id="its name"),
        pytest.param({"seed": 5}, "sampler_seed", 5, id="the sampler draws by the study's seed"),
        pytest.param({"seed": 5, "sampler": {"kind": "tpe", "seed": 0}}, "sampler_seed", 0, id="or by its own, also 0"),
    ],
)
def test_a_valid_form_means_what_it_says(fields: dict[str, Any], field: str, value: object) -> None:
    """Short and long forms are read."""
    assert getattr(make_spec(**fields), field) == value


_FIELDS, _SAMPLERS = ", ".join(sorted(StudySpec.model_fields)), ", ".join(sorted(SAMPLERS))
_NAME = "is not a valid name; use letters, digits, dot, underscore and hyphen, at most 100 characters"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param(
            {"trails": 3}, "unknown field 'trails' in the specification. Did you mean 'trials'?", id="a misspelt field"
        ),
        pytest.param(
            {"zzz": 3},
            f"unknown field 'zzz' in the specification. Known: {_FIELDS}.",
            id="a field that is near none",
        ),
        pytest.param(
            {"median": {"min_epochs": 3}},
            f"unknown field 'median' in the specification. Known: {_FIELDS}.",
            id="a field named like a kind",
        ),
        pytest.param({"trials": 0}, "trials: must be greater than 0, got 0", id="no trials"),
        pytest.param({"max_epochs": -1}, "max_epochs: must be greater than 0, got -1", id="negative epochs"),
        pytest.param(
            {"trials": "many"},
            "trials: must be a valid integer, got 'many'",
            id="a word for a number",
        ),
        pytest.param(
            {"trials": "x" * 200},
            f"trials: must be a valid integer, got '{'x' * 76}...",
            id="a long value is shortened",
        ),
        pytest.param(
            {"trials": 0, "seed": -1},
            "trials: must be greater than 0, got 0; seed: must be greater than or equal to 0, got -1",
            id="every mistake is named",
        ),
        pytest.param(
            {"max_epochs": 2, "pruner": {"kind": "hyperband", "min_epochs": 3}},
            "max_epochs: 2 is below the pruner's min_epochs, 3; raise the one or lower the other",
            id="max_epochs below min_epochs",
        ),
        pytest.param(
            {"metric": "reward"},
            "direction: it is not known whether a larger 'reward' is better; say "
            'direction="maximize" or direction="minimize" (--set direction=maximize)',
            id="a metric whose direction is not known",
        ),
        pytest.param(
            {"metric": SimpleNamespace(name="val_f1", direction="max"), "direction": "minimize"},
            "direction: 'minimize' is not what the metric says, 'maximize'; say it once",
            id="an Objective and another direction",
        ),
        pytest.param(
            {"direction": "up"}, "direction: must be 'minimize' or 'maximize', got 'up'", id="an unknown direction"
        ),
        pytest.param({"name": "my study"}, f"name: 'my study' {_NAME}", id="a name with a blank"),
        pytest.param({"name": "../x"}, f"name: '../x' {_NAME}", id="a name that is a path"),
        pytest.param({"name": ""}, f"name: '' {_NAME}", id="an empty name"),
        pytest.param({"name": "a\n"}, f"name: 'a\\n' {_NAME}", id="a name with a line's end"),
        pytest.param({"name": "a" * 101}, f"name: '{'a' * 76}... {_NAME}", id="a name that is too long"),
        pytest.param(
            {"sampler": "tpee"},
            f"sampler: {{'kind': 'tpee'}} is not one of the kinds known here: {_SAMPLERS}",
            id="an unknown kind of sampler",
        ),
        pytest.param(
            {"pruner": {"kind": "asha"}},
            "pruner: {'kind': 'asha'} is not one of the kinds known here: hyperband, median, none, "
            "patient, percentile, successive-halving, threshold, wilcoxon",
            id="an unknown kind of pruner",
        ),
        pytest.param({"sampler": 3}, f"sampler: 3 is not one of the kinds known here: {_SAMPLERS}", id="a number"),
        pytest.param(
            {"sampler": {"kind": "tpe", "sed": 3}},
            "unknown field 'sed' in the sampler specification. Did you mean 'seed'?",
            id="a misspelt field of a sampler",
        ),
        pytest.param(
            {"sampler": {"kind": "random", "startup_trials": 3}},
            "unknown field 'startup_trials' in the sampler specification. Known: kind, seed.",
            id="a field of another sampler",
        ),
        pytest.param({"trials": None}, "trials: is missing; add it to the specification", id="no budget"),
        pytest.param(
            {"trials": 1, "points": [{}, {}]}, "points: 2 points do not fit in trials=1; raise it", id="points"
        ),
        pytest.param(
            {"trials": 1, "points": [{}], "defaults_first": True},
            "points: 1 point and the defaults do not fit in trials=1; raise it",
            id="points beside the defaults",
        ),
        pytest.param(
            {"sampler": "grid", "warm_start": ["other"]},
            "warm_start: a grid tries every cell anyway; leave it out, or use another sampler",
            id="a grid that starts from another study",
        ),
        pytest.param(
            {"sampler": {"kind": "grid", "space": {"units": []}}},
            "sampler.space.units: has no choices; give at least one, or leave it out",
            id="no choices",
        ),
        pytest.param(
            {"sampler": {"kind": "grid", "space": {"units": [1, 2, 1]}}},
            "sampler.space.units: names a choice twice; keep one",
            id="a choice twice",
        ),
        pytest.param(
            {"sampler": {"kind": "tpe", "group": True, "multivariate": False}},
            "sampler: group=True models parameters together; leave multivariate=False out",
            id="groups of parameters that are not modelled together",
        ),
        pytest.param(
            {"pruner": "threshold"},
            "pruner: a threshold needs a bound; give lower, upper or both",
            id="a threshold without a bound",
        ),
        pytest.param(
            {"pruner": {"kind": "threshold", "lower": 2, "upper": 1}},
            "pruner: lower must not be above upper, got 2 and 1",
            id="bounds the wrong way round",
        ),
        pytest.param(
            {"pruner": "percentile"},
            "pruner.percentile: is missing; add it to the specification",
            id="a percentile without its number",
        ),
        pytest.param(
            {"pruner": {"kind": "patient", "patience": 1, "wrapped": {"kind": "median", "min_epochs": 10}}},
            "max_epochs: 9 is below the pruner's min_epochs, 10; raise the one or lower the other",
            id="a wrapped pruner that starts after the end",
        ),
        pytest.param(
            {"pruner": "wilcoxon"},
            "pruner: wilcoxon compares trials run by run, and a trial has only one here; set folds or executions, or "
            "choose a pruner that judges by epochs, such as hyperband",
            id="a comparison of runs where there is one",
        ),
        pytest.param(
            {"folds": {"split": "time-series", "shuffle": True}},
            "folds: a time series is cut in the order of its rows; leave shuffle out",
            id="a time series shuffled",
        ),
        pytest.param({"folds": 1}, "folds.n: must be greater than or equal to 2, got 1", id="one fold"),
        pytest.param(
            {"value": "first"},
            "value: {'kind': 'first'} is not one of the kinds known here: best, last, mean-of-last",
            id="an epoch that cannot count",
        ),
        pytest.param(
            {"pruner": {"kind": "hyperband", "reduction_factor": 1}},
            "pruner.reduction_factor: must be greater than or equal to 2, got 1",
            id="a value of a pruner's field",
        ),
        pytest.param({"trials": True}, "trials: must be a valid integer, got True", id="true is not one"),
        pytest.param({"trials": "4"}, "trials: must be a valid integer, got '4'", id="text is no number"),
        pytest.param(
            {"limits": {"stalled_s": True}}, "limits.stalled_s: must be a valid number, got True", id="nor is it 1.0"
        ),
        pytest.param({"stop": {"epochs": True}}, "stop.epochs: must be a valid integer, got True", id="nor in a rule"),
        pytest.param(
            {"folds": {"splits": 3}},
            "unknown field 'splits' in the folds specification. Did you mean 'split'?",
            id="a misspelt field of the folds",
        ),
        pytest.param(
            {"pruner": {"kind": "patient", "patience": 1, "wrapped": {"kind": "hyperband", "min_epoch": 1}}},
            "unknown field 'min_epoch' in the pruner.wrapped specification. Did you mean 'min_epochs'?",
            id="a misspelt field of a wrapped pruner",
        ),
        pytest.param(
            {"pruner": {"kind": "patient", "patience": 1, "wrapped": "wilcoxon"}},
            "pruner.wrapped: {'kind': 'wilcoxon'} is not one of the kinds known here: hyperband, median, percentile, "
            "successive-halving, threshold",
            id="a pruner that cannot be wrapped",
        ),
        pytest.param(
            {"sampler": {"kind": "custom", "path": "my-package.Sampler"}},
            "sampler.path: 'my-package.Sampler' is not the dotted name of a class, such as optuna.samplers.TPESampler",
            id="a path that is no name",
        ),
        pytest.param(
            {"points": [{"units": [1]}]},
            "points.0.units: must be text, a number, true, false or null, got [1]",
            id="a list as a parameter",
        ),
        pytest.param({"points": {"units": 1}}, "points: must be a list, got {'units': 1}", id="one point"),
        pytest.param(
            {"folds": True}, "folds: must be Folds(...), or a dictionary of its fields, got True", id="no folds at all"
        ),
        pytest.param(
            {"direction": [["maximize"]]},
            "direction: must be 'minimize' or 'maximize', got ['maximize']",
            id="a list in a list",
        ),
        pytest.param(
            {"pruner": "wilcoxon", "executions": 6, "prune_on": "val_loss"},
            "prune_on: wilcoxon compares runs by the objective, val_accuracy, and not by val_loss; leave prune_on out, "
            "or choose a pruner that judges by epochs, such as hyperband",
            id="runs judged by another metric",
        ),
    ],
)
def test_a_mistake_is_told_with_what_was_received(fields: dict[str, Any], message: str) -> None:
    """The error names the field, the value and what would be right."""
    with pytest.raises(SpecError) as error:
        make_spec(**fields)
    assert str(error.value) == message


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: Folds(n=1), id="folds"),
        pytest.param(lambda: Stopping(epochs=0), id="stopping rules"),
        pytest.param(lambda: MeanOfLast(epochs=0), id="the value"),
    ],
)
def test_an_error_in_a_part_is_one_of_the_specification(make: Callable[[], object]) -> None:
    """It is told without a traceback, which would show pydantic; an error of the user's own models is not."""
    with pytest.raises(ValidationError) as error:
        make()
    assert is_of_specification(error.value)


def test_a_missing_field_is_named() -> None:
    """What has no default has to be said."""
    with pytest.raises(SpecError) as error:
        parse_spec({"name": "digits", "metric": "val_loss", "trials": 4})
    assert str(error.value) == "max_epochs: is missing; add it to the specification"


def test_a_specification_survives_the_storage() -> None:
    """What is recorded is read back as the same."""
    import json

    spec = make_spec(sampler={"kind": "random", "seed": 3}, pruner={"kind": "hyperband", "brackets": None})
    assert parse_spec(json.loads(to_json(spec))) == spec


@pytest.mark.parametrize(
    ("fields", "lines"),
    [
        pytest.param({}, [], id="the same"),
        pytest.param({"trials": 400}, [], id="a larger budget is an extension, not a disagreement"),
        pytest.param({"limits": {"trial_s": 60}, "max_repeated_errors": 9}, [], id="how long it may take"),
        pytest.param({"max_attempts": 3}, ["max_attempts: recorded 2, received 3"], id="what counts as failed"),
        pytest.param({"max_epochs": 27}, ["max_epochs: recorded 9, received 27"], id="a number"),
        pytest.param(
            {"sampler": "random"},
            [
                "sampler: recorded tpe(seed=None, startup_trials=10, candidates=24, multivariate=None, "
                "group=False, constant_liar=True), received random(seed=None)"
            ],
            id="a sampler of another kind",
        ),
        pytest.param(
            {"folds": 3, "executions": 2, "value": "last"},
            [
                "value: recorded best(), received last()",
                "executions: recorded 1, received 2",
                "folds: recorded None, received (n=3, split='k-fold', shuffle=None, seed=None)",
            ],
            id="what a value is made of",
        ),
        pytest.param(
            {"seed": 1, "metric": "val_auc"},
            ["metric: recorded 'val_accuracy', received 'val_auc'", "seed: recorded 0, received 1"],
            id="two fields",
        ),
    ],
)
def test_a_difference_is_shown(fields: dict[str, Any], lines: list[str]) -> None:
    """Each field that changes what a trial means has a line with both values."""
    assert differences(make_spec(), make_spec(**fields)) == lines


def test_a_specification_is_revised_by_what_may_change() -> None:
    """The rest, and the budget, stay as they are recorded; each field that is another is told."""
    recorded = make_spec(limits={"stalled_s": 30})
    received = make_spec(limits={"stalled_s": 30, "trial_s": 60}, max_repeated_errors=9, trials=100, seed=3)
    new = revised(recorded, received)
    assert new == make_spec(limits={"stalled_s": 30, "trial_s": 60}, max_repeated_errors=9)
    assert what_changed(recorded, new) == ["limits.trial_s None -> 60.0", "max_repeated_errors 5 -> 9"]
    assert what_changed(recorded, recorded) == []


@pytest.mark.parametrize(
    ("fields", "directions", "watched"),
    [
        pytest.param({"metric": ["val_accuracy"]}, ("maximize",), "val_accuracy", id="a list of one"),
        pytest.param(
            {"metric": ["parameters", "val_loss"]},
            ("minimize", "minimize"),
            "val_loss",
            id="a measured one, a loss",
        ),
        pytest.param(
            {"metric": ["val_reward", "val_loss"], "direction": ["maximize", None]},
            ("maximize", "minimize"),
            "val_reward",
            id="a direction where the name tells none",
        ),
        pytest.param({"metric": ["latency_s", "model_bytes"]}, ("minimize",) * 2, "loss", id="only measured ones"),
        pytest.param(
            {"metric": [SimpleNamespace(name="val_f1", direction="max"), "val_loss"]},
            ("maximize", "minimize"),
            "val_f1",
            id="KerasTuner's Objective among names",
        ),
    ],
)
def test_several_objectives_have_a_direction_each(
    fields: dict[str, Any], directions: tuple[str, ...], watched: str
) -> None:
    """Known or said, and the first one that Keras reports decides which epoch counts; as JSON they are the same."""
    spec = make_spec(**fields)
    assert (spec.directions, spec.watched) == (directions, watched)
    assert parse_spec(json.loads(to_json(spec))) == spec
    said = make_spec(**{**fields, "direction": list(directions)})
    assert differences(spec, said) == [], "a direction that is said is the one that is known"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param({"metric": 3}, "metric: must be a metric's name, or a list of several, got 3", id="a number"),
        pytest.param({"metric": []}, "metric: must be a metric's name, or a list of several, got []", id="none"),
        pytest.param(
            {"metric": ["loss", "loss"]}, "metric: each name stands once, got ['loss', 'loss']", id="one name twice"
        ),
        pytest.param(
            {"metric": ["val_loss", "parameters"], "direction": "minimize"},
            "direction: 2 metrics need as many directions, null where the name tells, such as [minimize, null]",
            id="one direction for two",
        ),
        pytest.param(
            {"metric": ["val_loss", "parameters"], "direction": ["minimize"] * 3},
            "direction: got 3 for 2 metrics; give one for each",
            id="too many directions",
        ),
        pytest.param(
            {"metric": ["val_loss", "reward"]},
            "direction: it is not known whether a larger 'reward' is better; say direction=[None, 'maximize']",
            id="an unknown direction among several",
        ),
        pytest.param(
            {"metric": ["val_loss", "parameters"], "direction": [None, "maximize"]},
            "direction: parameters is measured, and always minimized; name your own metric otherwise",
            id="a measured one maximized",
        ),
        pytest.param(
            {"metric": "parameters", "pruner": "hyperband"},
            "pruner: parameters is measured after the training, so that it cannot judge an epoch; name a metric of "
            'each epoch, such as prune_on="val_loss", or leave the pruner out',
            id="pruning on what is measured",
        ),
        pytest.param(
            {"prune_on": "parameters"},
            "prune_on: parameters is measured after the training; name a metric of each epoch",
            id="pruning on what is measured, by name",
        ),
        pytest.param(
            {"prune_on": "reward"},
            "prune_on: it is not known whether a larger 'reward' is better; name another one",
            id="pruning on a metric without a direction",
        ),
        pytest.param(
            {"metric": ["val_loss", "parameters"], "sampler": "cma-es"},
            "sampler: cma-es searches for one objective; with several use tpe, gp, nsga2, nsga3 or random",
            id="a sampler for one",
        ),
        pytest.param(
            {"metric": ["val_loss", "parameters"], "stop": {"target": 3}},
            "stop.target: is for one metric; with several, patience ends a study whose front stays",
            id="a target for several",
        ),
    ],
)
def test_objectives_that_cannot_be_are_refused(fields: dict[str, Any], message: str) -> None:
    """With what would be right."""
    with pytest.raises(SpecError) as error:
        make_spec(**fields)
    assert str(error.value) == message
