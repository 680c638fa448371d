"""Tables for people, JSON for programs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from tuner_service.cli.output import table


@pytest.mark.parametrize("choice", ["[relu, tanh]", "[/x]", "[bold]x[/]", "a\\"])
def test_a_studys_words_are_no_markup(choice: str) -> None:
    """A choice, or a parameter's name, in brackets is shown as it is; what is in colour stays so."""
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    console.print(table((choice, "state"), [(choice, Text("pruned", "yellow"))]))
    header, row = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert header.split("  ")[0].strip() == row.split("  ")[0].strip() == choice
    assert row.rstrip().endswith("pruned")
