"""What changed in a study's code."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tuner_service.domain.code_change import code_changes

_STUDY = '''
"""A study."""
import keras
import helpers

spec = StudySpec(name="a", trials=4)
BASE = 8

class Scale(keras.layers.Layer):
    factor = 2

    def call(self, x):
        return self.factor * x  # scaled

def build_model(trial):
    units = trial.suggest_int("units", 1, 9)
    model = helpers.dense(units)
    model.compile("adam")
    return model
'''
_CODE = {"study.py": _STUDY, "helpers.py": "def dense(units):\n    return units\n"}


def _changed(old: str, new: str, file: str = "study.py") -> Mapping[str, str]:
    assert old in _CODE[file]
    return {**_CODE, file: _CODE[file].replace(old, new)}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        pytest.param('"units", 1, 9', '"units", 1, 99', "study.py:16, build_model", id="a line of a function"),
        pytest.param("self.factor * x", "self.factor + x", "study.py:13, Scale.call", id="a line of a method"),
        pytest.param("factor = 2", "factor = 3", "study.py:10, Scale", id="an attribute of a class"),
        pytest.param("keras.layers.Layer", "Base", "study.py:9, Scale", id="what a class is made of"),
        pytest.param("BASE = 8", "BASE = 9", "study.py:7, outside of functions", id="a constant"),
        pytest.param('    model.compile("adam")\n', "", "study.py:18, build_model", id="a line that is gone"),
    ],
)
def test_a_changed_line_is_named(old: str, new: str, told: str) -> None:
    """File, line and function, with what stood there and what stands there now."""
    (change,) = code_changes(_CODE, _changed(old, new))
    assert str(change).startswith(f"{told}: ")
    assert old.strip() in str(change)
    assert new.strip() in str(change)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("# scaled", "# otherwise", id="a comment"),
        pytest.param("trials=4", "trials=400", id="the specification"),
        pytest.param('("units", 1, 9)', '(\n        "units", 1, 9\n    )', id="layout"),
    ],
)
def test_what_changes_no_trial_is_not_named(old: str, new: str) -> None:
    """Comments, layout and the specification."""
    assert code_changes(_CODE, _changed(old, new)) == []


def test_a_module_beside_the_study_is_looked_at() -> None:
    """By its own name and line."""
    (change,) = code_changes(_CODE, _changed("return units", "return units + 1", "helpers.py"))
    assert str(change) == "helpers.py:2, dense: 'return units' -> 'return units + 1'"


def test_what_came_and_what_went_is_named() -> None:
    """A function that is gone, and another that is new."""
    renamed = _changed("def dense", "def layer", "helpers.py")
    assert [str(one) for one in code_changes(_CODE, renamed)] == [
        "helpers.py, dense: 'def dense(units):', 'return units' -> nothing",
        "helpers.py:1, layer: nothing -> 'def layer(units):', 'return units'",
    ]
