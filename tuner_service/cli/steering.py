"""Commands that steer: pause, resume, stop, extend, delete, doctor."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tuner_service.cli import options as o
from tuner_service.cli.output import out, print_json, print_note, table
from tuner_service.coordinator import control
from tuner_service.coordinator.studies import extend as extend_study
from tuner_service.domain.outcome import State
from tuner_service.errors import SpecError


def pause(study: o.Study, storage: o.Storage = None) -> None:
    """Claim no further trial; running ones go on."""
    control.pause(o.connect(storage), study)
    print_note(f"{study} is paused: running trials go on, no other is claimed; `tuner resume {study}` lets it go on")


def resume(study: o.Study, storage: o.Storage = None) -> None:
    """Let a study go on that was paused, stopped, or ended by its errors."""
    record = control.resume(o.connect(storage), study)
    print_note(f"{study} goes on" if record.ending is None else f"{study} has ended: its budget is settled")


def stop(study: o.Study, storage: o.Storage = None) -> None:
    """End a study once its running trials have finished."""
    ledger = o.connect(storage)
    record = control.stop(ledger, study)
    running = sum(one.state is State.RUNNING for one in ledger.attempts(record.study_id))
    print_note(f"{study} ends when its {running} running trials have finished" if running else f"{study} is stopped")


def extend(
    study: o.Study,
    trials: Annotated[int, typer.Option("--trials", help="The new budget, in trials altogether.")],
    storage: o.Storage = None,
) -> None:
    """Enlarge a study's budget."""
    record = extend_study(o.connect(storage), study, trials)
    print_note(f"{study} has a budget of {record.budget} trials now")


def delete(
    study: o.Study,
    storage: o.Storage = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove a study with its trials, curves and models."""
    ledger = o.connect(storage)
    record = ledger.study(study)
    if not yes:
        if not sys.stdin.isatty():
            raise SpecError(f"deleting {study} cannot be undone; say --yes")
        started = sum(one.owner is not None for one in ledger.attempts(record.study_id))
        typer.confirm(f"Delete {study} with its {started} trials, their curves and models?", abort=True)
    control.delete(ledger, study)
    print_note(f"{study} is deleted")


def doctor(storage: o.Storage = None, json: o.Json = False) -> None:
    """Say what is wrong with this machine and this storage."""
    from tuner_service.results.doctor import examine

    findings = examine(lambda: o.connect(storage))
    if json:
        print_json("findings", [finding.__dict__ for finding in findings])
    else:
        marks = {True: "[green]ok[/]", False: "[red]wrong[/]", None: "[yellow]note[/]"}
        out.print(table(("", "what", "found"), [(marks[one.good], one.what, one.found) for one in findings]))
    if any(one.good is False for one in findings):
        raise typer.Exit(1)
