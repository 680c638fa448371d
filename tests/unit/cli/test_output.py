"""Tables for people, JSON for programs."""

from __future__ import annotations

import io
import json
import math
from unittest.mock import create_autospec

import pytest
from rich.console import Console
from rich.text import Text

from tests.records import make_attempt, make_study
from tuner_service.cli import inspecting
from tuner_service.cli.output import table
from tuner_service.domain.outcome import Reason
from tuner_service.domain.trial import Trial
from tuner_service.storage.ledger_storage import LedgerStorage


@pytest.mark.parametrize("choice", ["[relu, tanh]", "[/x]", "[bold]x[/]", "a\\"])
def test_a_studys_words_are_no_markup(choice: str) -> None:
    """A choice, or a parameter's name, in brackets is shown as it is; what is in colour stays so."""
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    console.print(table((choice, "state"), [(choice, Text("pruned", "yellow"))]))
    header, row = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert header.split("  ")[0].strip() == row.split("  ")[0].strip() == choice
    assert row.rstrip().endswith("pruned")


def test_json_of_a_diverged_trial_is_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Its curve ends in a number that JSON lacks, which is text there as in every export."""
    trial = Trial(make_attempt(0, reason=Reason.DIVERGED, number=0), reported={1: math.nan}, started_at=10.0)
    storage = create_autospec(LedgerStorage, instance=True)
    storage.study.return_value, storage.trials.return_value = make_study(), [trial]
    monkeypatch.setattr(inspecting.o, "connect", lambda _: storage)
    monkeypatch.setattr(inspecting.reading, "curves", lambda *_: [{"loss": [2.0, math.nan, math.inf]}])
    inspecting.show("digits", 0, json=True)
    shown = json.loads(capsys.readouterr().out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert shown["trial"]["curves"] == [{"loss": [2.0, "nan", "inf"]}]
