"""Commands that steer: pause, resume, stop, cancel, retry, enqueue, extend, delete, gc, doctor."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.text import Text

from tuner_service.cli import options as o
from tuner_service.cli.output import count, out, print_json, print_note, table
from tuner_service.coordinator import control
from tuner_service.coordinator.collect import collect
from tuner_service.coordinator.studies import extend as extend_study
from tuner_service.domain.exit_code import ExitCode
from tuner_service.domain.outcome import State
from tuner_service.domain.override import parse_assignments, parse_point
from tuner_service.domain.revision import what_changed
from tuner_service.domain.study import Control
from tuner_service.errors import SpecError


def pause(study: o.Study, storage: o.Storage = None) -> None:
    """Claim no further trial; running ones go on."""
    control.pause(o.connect(storage), study)
    print_note(f"{study} is paused: running trials go on, no other is claimed; `tuner resume {study}` lets it go on")


def resume(study: o.Study, storage: o.Storage = None) -> None:
    """Let a study go on that was paused, stopped, or ended before its budget was settled."""
    record = control.resume(o.connect(storage), study)
    print_note(f"{study} goes on" if record.ending is None else f"{study} has ended: its budget is settled")


def stop(study: o.Study, storage: o.Storage = None) -> None:
    """End a study once its running trials have finished."""
    ledger = o.connect(storage)
    record = control.stop(ledger, study)
    running = sum(one.state is State.RUNNING for one in ledger.attempts(record.study_id))
    end = f"{study} ends when {count(running, 'running trial')} {'has' if running == 1 else 'have'} finished"
    print_note(end if running else f"{study} is stopped")


def cancel(study: o.Study, storage: o.Storage = None) -> None:
    """End a study and its running trials now."""
    control.cancel(o.connect(storage), study)
    print_note(f"{study} ends now, its workers within two beats; `tuner resume {study}` tries what was cut off again")


def retry(
    study: o.Study,
    numbers: Annotated[list[int] | None, typer.Argument(metavar="[N...]", help="Trials that failed.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that failed.")] = False,
    storage: o.Storage = None,
) -> None:
    """Try configurations again that have failed for good."""
    if bool(numbers) == failed:
        raise SpecError(f"say which trials to try again: tuner retry {study} N ..., or tuner retry {study} --failed")
    ledger = o.connect(storage)
    again = control.retry(ledger, study, None if failed else numbers)
    paused = ledger.study(study).control is Control.PAUSE
    later = f" once it goes on: tuner resume {study}" if paused else ""
    tried = f"{count(len(again), 'trial')} of {study} {'is' if len(again) == 1 else 'are'} tried again{later}"
    print_note(tried if again else f"no trial of {study} has failed")


def enqueue(
    study: o.Study,
    params: Annotated[list[str], typer.Argument(metavar="NAME=VALUE...", help="The point to try next.")],
    storage: o.Storage = None,
) -> None:
    """Have a point tried next; parameters that are not named are sampled."""
    configuration = control.enqueue(o.connect(storage), study, parse_point(params))
    print_note(f"configuration {configuration} of {study} is that point; it counts like any other")


def extend(
    study: o.Study,
    trials: Annotated[int | None, typer.Option("--trials", help="The new budget, in trials altogether.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Another stopping rule or limit: --set stop.hours=12, --set limits.stalled_s=3600.",
        ),
    ] = None,
    storage: o.Storage = None,
) -> None:
    """Enlarge a study's budget, or change its stopping rules or limits; workers learn of it with their next trials."""
    ledger = o.connect(storage)
    before = ledger.study(study).spec
    record = extend_study(ledger, study, trials, changes=parse_assignments(set_ or []))
    rules = ", ".join(f"{name}={value}" for name, value in record.spec.stop if value is not None and name != "running")
    other = [one for one in what_changed(before, record.spec) if not one.startswith("stop.")]
    said = [
        f"a budget of {count(record.budget, 'trial')} now",
        *([f"stopping rules: {rules}"] if rules else []),
        *other,
    ]
    print_note(f"{study} has {', '.join(said)}")


def delete(
    study: o.Study,
    storage: o.Storage = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Remove a study with its trials, curves and models."""
    ledger = o.connect(storage)
    record = ledger.study(study)
    if not yes:
        if not sys.stdin.isatty():
            raise SpecError(f"deleting {study} cannot be undone; say --yes")
        started = sum(one.owner is not None for one in ledger.attempts(record.study_id))
        typer.confirm(f"Delete {study} with its {count(started, 'trial')}, their curves and models?", abort=True)
    control.delete(ledger, study)
    print_note(f"{study} is deleted")


def gc(study: o.Study, storage: o.Storage = None) -> None:
    """Remove what nobody needs: models that were beaten, checkpoints of trials that are settled, drafts."""
    removed = collect(o.connect(storage), study)
    found = (count(removed.models, "model"), count(removed.checkpoints, "checkpoint"), count(removed.drafts, "draft"))
    print_note(f"{study}: {', '.join(found)} removed")


def doctor(storage: o.Storage = None, json: o.Json = False) -> None:
    """Say what is wrong with this machine and this storage."""
    from tuner_service.results.doctor import examine

    readings = examine(lambda: o.connect(storage))
    if json:
        print_json("findings", [one.__dict__ for one in readings])
    else:
        marks = {True: Text("ok", "green"), False: Text("wrong", "red"), None: Text("note", "yellow")}
        out.print(table(("", "what", "found"), [(marks[one.good], one.what, one.found) for one in readings]))
    if any(one.good is False for one in readings):
        sys.exit(ExitCode.NOT_GOOD)
