"""Overrides from YAML and from ``--set``."""

from __future__ import annotations

from typing import Any

import pytest
from keras_tuner import Objective

from tuner_service.domain.override import override, parse_assignments, parse_point, parse_yaml
from tuner_service.errors import SpecError


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        pytest.param("", {}, id="nothing"),
        pytest.param("trials: 3\npruner: {kind: median}", {"trials": 3, "pruner": {"kind": "median"}}, id="fields"),
        pytest.param("a: 1e-3", {"a": 0.001}, id="1e-3 is a number"),
        pytest.param("a: 1E5\nb: -2.e3", {"a": 1e5, "b": -2e3}, id="and so are its relatives"),
        pytest.param("a: 1e\nb: e3", {"a": "1e", "b": "e3"}, id="half a number is a word"),
        pytest.param("a: '1e-3'", {"a": "1e-3"}, id="a quoted number is a text"),
    ],
)
def test_yaml_is_read_as_people_write_it(text: str, fields: dict[str, object]) -> None:
    """YAML gives the fields that it seems to give."""
    assert parse_yaml(text, "digits.yaml") == fields


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("a: 1\na: 2", "YAML: a stands there more than once; keep one", id="a key twice"),
        pytest.param("a: {b: 1, b: 1}", "YAML: b stands there more than once; keep one", id="a key twice further in"),
        pytest.param(
            "a: &x 1\nb: *x",
            "YAML aliases (*name) are not read in a specification; write the value out",
            id="an alias",
        ),
        pytest.param("- 1", "digits.yaml: must be `field: value` lines, got list", id="a list"),
        pytest.param("word", "digits.yaml: must be `field: value` lines, got str", id="a word"),
        pytest.param("1: 2", "digits.yaml: must be `field: value` lines, got dict", id="a number as a key"),
        pytest.param(
            f"a: {'x' * 300_000}",
            "digits.yaml: has 300003 characters; a specification has at most 262144",
            id="more than a specification can be",
        ),
    ],
)
def test_yaml_that_is_no_specification_is_refused(text: str, message: str) -> None:
    """The error says what is wrong."""
    with pytest.raises(SpecError) as error:
        parse_yaml(text, "digits.yaml")
    assert str(error.value) == message


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a: [", id="cut off"),
        pytest.param("a: b: c", id="two colons"),
        pytest.param("a: !!python/object:os.system ls", id="an object"),
        pytest.param("a: 2020-13-45", id="a day that is none"),
        pytest.param("a: !!int b", id="a number that is none"),
        pytest.param("a: " + "[" * 50_000, id="endlessly deep"),
        pytest.param("a: \x00", id="a control character"),
        pytest.param("<<: {a: 1}", id="a merge"),
    ],
)
def test_yaml_that_cannot_be_read_is_an_error_of_the_specification(text: str) -> None:
    """Whatever the reader stumbles over is told in one line, and names the file."""
    with pytest.raises(SpecError, match=r"\Adigits.yaml: is not YAML: .+\Z"):
        parse_yaml(text, "digits.yaml")


@pytest.mark.parametrize(
    ("assignments", "fields"),
    [
        pytest.param([], {}, id="nothing"),
        pytest.param(["trials=100", "name=b"], {"trials": 100, "name": "b"}, id="fields"),
        pytest.param(
            ["sampler.kind=tpe", "sampler.seed=3"], {"sampler": {"kind": "tpe", "seed": 3}}, id="a dot reaches inside"
        ),
        pytest.param(["name=a=b"], {"name": "a=b"}, id="the first equals sign divides"),
        pytest.param(["a=1", "a=2"], {"a": 2}, id="the last one holds"),
        pytest.param(["a=", "b=null"], {"a": None, "b": None}, id="nothing is null"),
        pytest.param(["a=1e-3", "b=true"], {"a": 0.001, "b": True}, id="values are YAML"),
    ],
)
def test_set_gives_fields(assignments: list[str], fields: dict[str, object]) -> None:
    """``--set field=value`` is read as YAML would be."""
    assert parse_assignments(assignments) == fields


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        pytest.param(
            ["trials"],
            "--set wants field=value, such as trials=100 or sampler.seed=3, got 'trials'",
            id="no equals sign",
        ),
        pytest.param(["=3"], "--set wants field=value, such as trials=100 or sampler.seed=3, got '=3'", id="no field"),
        pytest.param(
            ["sampler=tpe", "sampler.seed=3"],
            "--set sampler.seed: 'sampler' was already set to 'tpe'",
            id="a field inside of what was set whole",
        ),
    ],
)
def test_set_that_says_nothing_is_refused(assignments: list[str], message: str) -> None:
    """The error repeats what was received."""
    with pytest.raises(SpecError) as error:
        parse_assignments(assignments)
    assert str(error.value) == message


_TPE = {"kind": "tpe", "seed": 1, "candidates": 9}


@pytest.mark.parametrize(
    ("fields", "changes", "result"),
    [
        pytest.param({"a": 1, "b": 2}, [{"a": 3}], {"a": 3, "b": 2}, id="a field"),
        pytest.param({"a": 1}, [{"a": 2}, {"a": 3}], {"a": 3}, id="the last change holds"),
        pytest.param({"sampler": _TPE}, [{"sampler": {"seed": 3}}], {"sampler": {**_TPE, "seed": 3}}, id="one inside"),
        pytest.param(
            {"sampler": _TPE},
            [{"sampler": {"kind": "tpe", "seed": 3}}],
            {"sampler": {**_TPE, "seed": 3}},
            id="same kind",
        ),
        pytest.param(
            {"sampler": _TPE},
            [{"sampler": {"kind": "random"}}],
            {"sampler": {"kind": "random"}},
            id="another kind starts from its own defaults",
        ),
        pytest.param({"sampler": _TPE}, [{"sampler": "random"}], {"sampler": "random"}, id="a short form"),
        pytest.param(
            {"sampler": _TPE},
            [{"sampler": "random"}, {"sampler": {"seed": 3}}],
            {"sampler": {"kind": "random", "seed": 3}},
            id="inside of a short form",
        ),
        pytest.param({"folds": 10}, [{"folds": {"split": "stratified"}}], {"folds": {"n": 10, "split": "stratified"}},
                     id="inside of a number of folds"),
        pytest.param(
            {"pruner": {"kind": "patient", "wrapped": {"kind": "hyperband", "min_epochs": 3, "brackets": 2}}},
            [{"pruner": {"wrapped": {"min_epochs": 9}}}],
            {"pruner": {"kind": "patient", "wrapped": {"kind": "hyperband", "min_epochs": 9, "brackets": 2}}},
            id="further inside",
        ),
        pytest.param({"sampler": {"kind": "custom", "arguments": {"a": 1, "b": 2}}},
                     [{"sampler": {"arguments": {"b": 3}}}],
                     {"sampler": {"kind": "custom", "arguments": {"a": 1, "b": 3}}}, id="an argument"),
        pytest.param({"sampler": {"kind": "grid", "space": {"a": (1,), "b": (2,)}}},
                     [{"sampler": {"space": {"b": [3]}}}],
                     {"sampler": {"kind": "grid", "space": {"b": [3]}}}, id="another space"),
        pytest.param({"metric": "val_loss", "direction": "minimize"}, [{"metric": "val_accuracy"}],
                     {"metric": "val_accuracy", "direction": None}, id="another metric has its own direction"),
        pytest.param({"metric": "val_x", "direction": "minimize"}, [{"metric": "val_y", "direction": "maximize"}],
                     {"metric": "val_y", "direction": "maximize"}, id="or the one that is given with it"),
        pytest.param({"metric": "val_x", "direction": "minimize"}, [{"direction": "maximize"}, {"metric": "val_y"}],
                     {"metric": "val_y", "direction": "maximize"}, id="or before it"),
        pytest.param({"metric": ("val_x", "size"), "direction": ("minimize", None)}, [{"metric": ["val_x", "size"]}],
                     {"metric": ["val_x", "size"], "direction": ("minimize", None)}, id="the same metrics keep it"),
        pytest.param({"metric": "val_x", "direction": "minimize"}, [{"metric": Objective("val_x", "min")}],
                     {"metric": Objective("val_x", "min"), "direction": "minimize"}, id="KerasTuner's objective"),
        pytest.param({"sampler": {"kind": "custom", "path": "a.A", "arguments": {"x": 1}}},
                     [{"sampler": {"kind": "custom", "path": "b.B", "arguments": {"y": 2}}}],
                     {"sampler": {"kind": "custom", "path": "b.B", "arguments": {"y": 2}}}, id="another class"),
    ],
)  # fmt: skip
def test_changes_are_laid_over_each_other(
    fields: dict[str, Any], changes: list[dict[str, Any]], result: dict[str, Any]
) -> None:
    """Later changes hold, and leave alone what they do not name."""
    before = repr(fields)
    assert override(fields, *changes) == result
    assert repr(fields) == before


@pytest.mark.parametrize(
    ("assignments", "point"),
    [
        pytest.param([], {}, id="nothing"),
        pytest.param(["units=64", "rate=1e-3", "kind=relu"], {"units": 64, "rate": 0.001, "kind": "relu"}, id="some"),
        pytest.param(["a=true", "b=null", "c='64'"], {"a": True, "b": None, "c": "64"}, id="other types"),
        pytest.param([" dense.units = 3"], {"dense.units": 3}, id="a dot is part of the name"),
        pytest.param(["a=x=y"], {"a": "x=y"}, id="an equals sign in the value"),
        pytest.param(["a=1", "a=2"], {"a": 2}, id="the last of a name"),
    ],
)
def test_a_point_is_read_as_people_write_it(assignments: list[str], point: dict[str, Any]) -> None:
    """Numbers are numbers, words are words."""
    assert parse_point(assignments) == point
    assert [type(value) for value in parse_point(assignments).values()] == [type(value) for value in point.values()]


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        pytest.param("units", "a point is name=value for each parameter, such as units=64, got 'units'", id="no value"),
        pytest.param("=64", "a point is name=value for each parameter, such as units=64, got '=64'", id="no name"),
        pytest.param("a=[1, 2]", "a must be text, a number, true, false or null, got [1, 2]", id="a list"),
        pytest.param("a=2020-01-01", "a must be text, a number, true, false or null, got datetime.date(", id="a date"),
    ],
)
def test_what_is_no_point_is_refused(assignment: str, message: str) -> None:
    """The error says what was received."""
    with pytest.raises(SpecError) as error:
        parse_point([assignment])
    assert str(error.value).startswith(message)
