"""The examples in docstrings."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import tuner_service.domain

_MODULES = [
    *(one.name for one in pkgutil.iter_modules(tuner_service.domain.__path__, "tuner_service.domain.")),
    "tuner_service.errors",
    "tuner_service.worker.machine",
    "tuner_service.cli.output",
]


@pytest.mark.parametrize("module", _MODULES)
def test_examples_in_docstrings_are_true(module: str) -> None:
    """What an example shows is what comes out."""
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_there_are_examples() -> None:
    """The list above finds modules, and they have examples."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [one for module in _MODULES for one in finder.find(importlib.import_module(module)) if one.examples]
    assert len(found) >= 8
