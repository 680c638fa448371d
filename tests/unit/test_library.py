"""The library: what `import tuner_service` offers, and that no command can do more."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

import tuner_service
from docs.reference import IN_PYTHON
from tuner_service.cli.app import app
from tuner_service.storage.ledger_storage import LedgerStorage

_SOURCE = Path(str(tuner_service.__file__))


def _commands() -> Iterator[tuple[str, Callable[..., object]]]:
    """Yield each command with the function that is called for it, those of a group by both their names."""
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        for inner, one in getattr(command, "commands", {"": command}).items():
            if one.hidden:
                continue
            yield f"{name} {inner}".strip(), one.callback


def test_all_is_what_is_there() -> None:
    """Each name is offered to people, to type checkers and to Python, and is what its home calls so."""
    tree = ast.parse(_SOURCE.read_text())
    typed = {
        alias.name: f"{node.module}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("tuner_service.")
        for alias in node.names
    }
    homes = {name: f"tuner_service.{home}" for name, home in tuner_service._HOMES.items()}
    assert typed == homes
    assert sorted(homes) == sorted(tuner_service.__all__)
    # Those of the one room that imports Keras are looked at by the tests of that room.
    for name, home in homes.items():
        if not home.startswith("tuner_service.training"):
            assert getattr(tuner_service, name) is getattr(sys.modules[home], name)


@pytest.mark.parametrize("name", tuner_service.__all__)
def test_what_is_offered_is_described(name: str) -> None:
    """Each has a docstring of its own, in the source: one room's would import Keras."""
    home = _SOURCE.parent / f"{tuner_service._HOMES[name].replace('.', '/')}.py"
    (definition,) = [
        node
        for node in ast.parse(home.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name
    ]
    assert ast.get_docstring(definition)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="has no attribute 'tune'"):
        tuner_service.tune  # noqa: B018


def test_every_command_is_a_call_of_the_library() -> None:
    """The table of the manual has each command, and names only what the library offers."""
    assert sorted(IN_PYTHON) == sorted(name for name, _ in _commands())
    for name in {name for names in IN_PYTHON.values() for name in names}:
        method = name.removeprefix("open_storage().")
        assert name in tuner_service.__all__ or (method != name and hasattr(LedgerStorage, method))


@pytest.mark.parametrize(("name", "callback"), [pytest.param(*one, id=one[0]) for one in _commands()])
def test_a_command_calls_what_the_table_names(name: str, callback: Callable[..., object]) -> None:
    """The command, or a function beside it that it calls, uses each function that the table has for it."""
    # `best` is the first of `front`, which the command needs as a whole.
    assert {one.rpartition(".")[2] for one in IN_PYTHON[name]} - _used(callback) <= {"best"}


def _used(callback: Callable[..., object]) -> set[str]:
    """Return the names that a function and those of its module that it calls use, as their homes have them."""
    tree = ast.parse(inspect.getsource(inspect.getmodule(callback)))  # type: ignore[arg-type]
    beside = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    homes = {alias.asname or alias.name: alias.name for node in imports for alias in node.names}
    used, looked_at, to_look_at = set[str](), set[str](), [callback.__name__]
    while to_look_at:
        name = to_look_at.pop()
        looked_at.add(name)
        for node in ast.walk(beside[name]):
            match node:
                case ast.Name(id=one) if one in beside:
                    to_look_at += [one] if one not in looked_at else []
                case ast.Name(id=one):
                    used.add(homes.get(one, one))
                case ast.Attribute(attr=one):
                    used.add(one)
    return used


def test_it_says_that_it_is_typed() -> None:
    """Type checkers of those who use it read its annotations."""
    assert (_SOURCE.parent / "py.typed").exists()
