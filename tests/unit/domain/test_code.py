"""What belongs to a study's code."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tuner_service.domain.code import code_digest
from tuner_service.errors import StudyFileError

_SOURCE = '''
import keras
import layers_of_mine

spec = StudySpec(name="a", trials=4)

def build_model(trial):
    """Return a network."""
    return layers_of_mine.dense(trial.suggest_int("units", 1, 9))
'''
_HELPERS = {"layers_of_mine": "from widths import BASE\ndef dense(units): return BASE * units", "widths": "BASE = 2"}


def _digest(source: str, helpers: Mapping[str, str] = _HELPERS) -> str:
    def find(module: str) -> str | None:
        return helpers.get(module)

    return code_digest(source, find, file="digits.py")


def test_a_digest_is_short_and_stays_the_same() -> None:
    """16 hexadecimal digits; the same on every machine and Python."""
    assert _digest("x = 1") == "f6e5565619abb8a2"
    assert len(_digest(_SOURCE)) == 16
    int(_digest(_SOURCE), 16)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("import keras\n", "import keras  # the library\n\n\n", id="a comment"),
        pytest.param('("units", 1, 9)', '(\n        "units",\n        1,\n        9,\n    )', id="layout"),
        pytest.param('"units"', "'units'", id="quotes"),
        pytest.param("trials=4", "trials=400", id="the specification"),
        pytest.param("spec = ", "spec: StudySpec = ", id="the specification with its type"),
    ],
)
def test_what_changes_no_trial_does_not_count(old: str, new: str) -> None:
    """Comments, layout and the specification leave the digest as it is."""
    assert old in _SOURCE
    assert _digest(_SOURCE.replace(old, new)) == _digest(_SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("1, 9", "1, 10", id="a constant"),
        pytest.param("1, 9", "1, 9.0", id="its type"),
        pytest.param("Return a network.", "Return a net.", id="a docstring"),
        pytest.param("trial)", "hp)", id="a name"),
        pytest.param("return ", "", id="a statement"),
        pytest.param("spec = ", "other = ", id="what the specification is assigned to"),
    ],
)
def test_what_may_change_a_trial_counts(old: str, new: str) -> None:
    """A changed constant, docstring, name or statement is another code."""
    assert old in _SOURCE
    assert _digest(_SOURCE.replace(old, new)) != _digest(_SOURCE)


@pytest.mark.parametrize(
    "helpers",
    [
        pytest.param({**_HELPERS, "layers_of_mine": "def dense(units): return units"}, id="imported by the file"),
        pytest.param({**_HELPERS, "widths": "BASE = 3"}, id="imported by a module that the file imports"),
        pytest.param({}, id="gone"),
    ],
)
def test_modules_beside_the_file_count(helpers: dict[str, str]) -> None:
    """A study's code is the file with what it imports from its own folder."""
    assert _digest(_SOURCE, helpers) != _digest(_SOURCE)


_PACKAGE = {
    "layers.__init__": "from . import dense\nfrom .widths import BASE",
    "layers.dense": "from ..layers.activations import NAME\nfrom .sub import deep",
    "layers.widths": "BASE = 2",
    "layers.activations": "NAME = 'relu'",
    "layers.sub.__init__": "",
    "layers.sub.deep": "from .. import outer",
    "layers.outer": "OUTER = 1",
}


@pytest.mark.parametrize("changed", list(_PACKAGE))
@pytest.mark.parametrize("source", ["import layers", "import layers.dense", "from layers import dense"])
def test_every_file_of_a_package_counts_that_is_imported(source: str, changed: str) -> None:
    """What its modules import from beside them, with dots too, and the package itself."""
    other = {**_PACKAGE, changed: _PACKAGE[changed] + "\nx = 1"}
    assert _digest(source, other) != _digest(source, _PACKAGE)


def test_dots_do_not_lead_to_modules_of_that_name_elsewhere() -> None:
    """What lies beside the study file under the name of a module in the package is not imported."""
    assert _digest("import layers", {**_PACKAGE, "widths": "BASE = 3"}) == _digest("import layers", _PACKAGE)


def test_a_specification_in_a_helper_counts() -> None:
    """Only the study file has a specification that is compared by itself."""
    assert _digest("import helper", {"helper": "spec = 1"}) != _digest("import helper", {"helper": "spec = 2"})


def test_modules_that_import_each_other_are_read_once() -> None:
    """A circle has an end."""
    assert _digest("import a", {"a": "import b", "b": "import a"})


def test_an_import_inside_a_function_counts() -> None:
    """A module that is imported late is code all the same."""
    source = "def build_model(trial):\n    from widths import BASE"
    assert _digest(source) != _digest(source, {"widths": "BASE = 3"})


@pytest.mark.parametrize(
    ("source", "helpers", "message"),
    [
        pytest.param("x = (", {}, r"digits.py is not Python: .+, line 1", id="the study file"),
        pytest.param("import a", {"a": "\nx = ("}, r"a.py is not Python: .+, line 2", id="a module beside it"),
    ],
)
def test_a_file_that_is_not_python_is_named(source: str, helpers: dict[str, str], message: str) -> None:
    """The error says which file, what and where."""
    with pytest.raises(StudyFileError, match=rf"\A{message}\Z"):
        _digest(source, helpers)
