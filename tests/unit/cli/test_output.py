"""Tables for people, JSON for programs."""

from __future__ import annotations

import io
import json
import math
from unittest.mock import create_autospec

import pytest
from rich.console import Console
from rich.text import Text

from tests.records import make_attempt, make_spec, make_study
from tuner_service.cli import inspecting
from tuner_service.cli.output import table
from tuner_service.domain.outcome import Reason
from tuner_service.domain.study import Ending
from tuner_service.domain.trial import Trial
from tuner_service.results.summary import summary_of
from tuner_service.storage.ledger_storage import LedgerStorage


@pytest.mark.parametrize("choice", ["[relu, tanh]", "[/x]", "[bold]x[/]", "a\\"])
def test_a_studys_words_are_no_markup(choice: str) -> None:
    """A choice, or a parameter's name, in brackets is shown as it is; what is in colour stays so."""
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    console.print(table((choice, "state"), [(choice, Text("pruned", "yellow"))]))
    header, row = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert header.split("  ")[0].strip() == row.split("  ")[0].strip() == choice
    assert row.rstrip().endswith("pruned")


def test_status_says_in_a_narrow_terminal_which_command_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one of the error that ended the study, in one piece, so that it can be copied."""
    spec, error = make_spec(name="a-study-with-a-long-name-of-its-own"), "ValueError: [units] must be even"
    rows = [
        make_attempt(0, reason=Reason.ERROR, error="KeyError: 'x'", number=0),
        *(make_attempt(0, n, reason=Reason.ERROR, error=error, number=n) for n in (1, 2, 3)),
    ]
    summary = summary_of(make_study(spec=spec, ending=Ending.FAILED), rows, [], 0.0)
    console = Console(file=io.StringIO(), width=40)
    monkeypatch.setattr(inspecting, "out", console)
    inspecting.print_failures(summary)
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "error  4 attempts of 1 configuration: ",
        "the study's code raised an error",
        "  ValueError: [units] must be even",
        "  tuner show a-study-with-a-long-name-of-its-own 1",
    ]


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
