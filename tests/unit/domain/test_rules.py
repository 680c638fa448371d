"""What can be said against a study without running it."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from tests.records import make_spec
from tuner_service.domain.rules import call_sites, of_source, of_spec


def _loops(source: str) -> list[str]:
    """Return the names that are hinted at."""
    return [one.message.split("'")[1] for one in of_source(call_sites(ast.parse(source)))]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        pytest.param("for i in range(3):\n    trial.suggest_float('dropout', 0, 1)", ["dropout"], id="a for loop"),
        pytest.param("while True:\n    hp.Float('dropout', 0, 1)", ["dropout"], id="a while loop, of KerasTuner's"),
        pytest.param("[t.suggest_int('u', 1, 2) for _ in range(3)]", ["u"], id="a comprehension"),
        pytest.param("{k: t.suggest_int('u', 1, 2) for k in 'ab'}", ["u"], id="a dictionary's comprehension"),
        pytest.param("for i in x:\n    if i:\n        t.suggest_int(name='u', low=1, high=2)", ["u"], id="by keyword"),
        pytest.param("for i in range(t.suggest_int('layers', 1, 3)):\n    pass", [], id="how often it goes round"),
        pytest.param("[i for i in range(t.suggest_int('layers', 1, 3))]", [], id="how long a list is"),
        pytest.param("[j for i in x for j in range(t.suggest_int('u', 1, 3))]", ["u"], id="an inner loop's length"),
        pytest.param("for i in x:\n    t.suggest_int(f'units_{i}', 1, 2)", [], id="a numbered name"),
        pytest.param("t.suggest_int('u', 1, 2)\nfor i in x:\n    pass", [], id="before the loop"),
        pytest.param("for i in x:\n    def f(t):\n        t.suggest_int('u', 1, 2)", [], id="a function made in it"),
        pytest.param(
            "for i in x:\n    with hp.name_scope(f'layer_{i}'):\n        hp.Int('u', 1, 2)", [], id="a scope a round"
        ),
        pytest.param(
            "for i in x:\n    with hp.name_scope('layer'):\n        hp.Int('u', 1, 2)", ["u"], id="one scope for all"
        ),
        pytest.param("for i in x:\n    log.suggest('u')\n    model.add('u')", [], id="other methods"),
    ],
)
def test_one_name_in_a_loop_is_hinted_at(source: str, names: list[str]) -> None:
    """It is one parameter that all rounds share, which many mean otherwise."""
    assert _loops(source) == names


def test_arguments_that_are_written_as_values_are_read() -> None:
    """The others are left to the code itself."""
    sites = call_sites(
        ast.parse("t.suggest_int('a', 1, 9, step=2)\nt.suggest_float('b', 0, high)\nt.suggest_int(c, 1)")
    )
    assert [(one.name, one.line, one.arguments, dict(one.keywords)) for one in sites] == [
        ("a", 1, [1, 9], {"step": 2}),
        ("b", 2, None, {}),
    ]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        pytest.param({"pruner": {"kind": "hyperband", "min_epochs": 9}}, "no rung below max_epochs", id="no rung"),
        pytest.param({"pruner": {"kind": "patient", "patience": 8}}, "no rung below max_epochs", id="much patience"),
        pytest.param({"pruner": "median", "trials": 5}, "waits for startup_trials=5", id="it waits for all trials"),
        pytest.param(
            {"pruner": {"kind": "patient", "patience": 1, "wrapped": {"kind": "median"}}},
            "waits for startup_trials=5",
            id="the pruner within waits for all trials",
        ),
        pytest.param({"pruner": "median", "trials": 6}, None, id="it judges the last one"),
        pytest.param({"pruner": {"kind": "hyperband", "min_epochs": 8}}, None, id="one rung"),
        pytest.param({"pruner": "none"}, None, id="no pruning"),
    ],
)
def test_a_pruner_that_judges_nobody_is_told(fields: dict[str, Any], said: str | None) -> None:
    """Of nine epochs and four trials, unless the case says otherwise."""
    messages = [one.message for one in of_spec(make_spec(**fields))]
    assert messages == [] if said is None else said in messages[0]
