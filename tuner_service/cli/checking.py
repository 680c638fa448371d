"""Commands for before a study starts: check, plan."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from tuner_service.cli import options as o
from tuner_service.cli.output import count, duration, out, print_json, table
from tuner_service.coordinator.checking import check as check_file
from tuner_service.domain.exit_code import ExitCode
from tuner_service.domain.finding import Level
from tuner_service.domain.forecast import Rung
from tuner_service.errors import SpecError
from tuner_service.results.planning import Plan, plan_file, plan_study
from tuner_service.worker.machine import NO_GPU, gpus, slot_devices

_COLOURS = {Level.ERROR: "bold red", Level.WARNING: "bold yellow", Level.HINT: "bold cyan"}


def check(
    file: o.StudyFile,
    set_: o.Set = None,
    config: o.Config = None,
    json: o.Json = False,
    traceback: o.Traceback = False,  # noqa: ARG001 - read where errors are printed
) -> None:
    """Look for mistakes in a study file before anything is trained. Exit code 1 if there are errors."""
    with out.status(f"looking at {file}"):
        checked = check_file(file, o.changes(config, set_))
    if json:
        print_json("findings", [dataclasses.asdict(one) for one in checked.findings])
    else:
        for one in checked.findings:
            place = f"{file}:{one.line}" if one.line is not None else str(file)
            out.print(f"{escape(place)}: [{_COLOURS[one.level]}]{one.level}[/] [dim]\\[{one.rule}][/]", soft_wrap=True)
            out.print(f"    {escape(one.message)}")
        levels = Counter(one.level for one in checked.findings)
        found = ", ".join(count(levels[one], one.value) for one in Level if levels[one]) or "nothing found"
        out.print(f"[bold]{found}[/] in {escape(str(file))} ({escape(checked.tried)})")
    if checked.errors:
        sys.exit(ExitCode.NOT_GOOD)


def plan(
    what: Annotated[str, typer.Argument(metavar="FILE|STUDY", help="A study file, or a study's name: what is left.")],
    storage: o.Storage = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Workers that are to train it.")] = 1,
    slots: Annotated[
        int | None, typer.Option("--slots", min=1, help="Trials at a time in each; by default as this machine has.")
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Train three configurations here for three epochs, to learn the time.")
    ] = False,
    set_: o.Set = None,
    config: o.Config = None,
    json: o.Json = False,
    traceback: o.Traceback = False,  # noqa: ARG001 - read where errors are printed
) -> None:
    """Say how many epochs a study will take, how long, and how much memory, before it starts or while it runs."""
    devices = gpus(os.environ)
    on = workers * len(slot_devices(slots, devices))
    if what.endswith(".py") or Path(what).is_file():
        if storage is not None:
            raise SpecError(
                f"--storage is for the name of a study, and {what!r} is taken for a study file, which is "
                "planned without one; leave it out, or name the study"
            )
        with out.status(f"looking at {what}"):
            here = (devices[0] if devices else NO_GPU) if measure else None
            found = plan_file(Path(what), o.changes(config, set_), slots=on, devices=here)
    else:
        if measure or set_ or config:
            raise SpecError(
                f"--measure, --set and --config are for a study file, and {what!r} is taken for the name of a study, "
                "which is planned by what its trials took; leave them out, or name the file"
            )
        found = plan_study(o.connect(storage), what, slots=on)
    if json:
        print_json("plan", _plan_fields(found))
        return
    _print_plan(found)


def _plan_fields(plan: Plan) -> dict[str, object]:
    return {
        "study": plan.spec.name,
        "slots": plan.slots,
        "settled": plan.settled,
        "epochs": plan.epochs,
        "epoch_s": plan.epoch_s,
        "seconds": plan.seconds,
        "forecast": dataclasses.asdict(plan.forecast),
        "measured": None if plan.measured is None else dataclasses.asdict(plan.measured),
    }


def _print_plan(plan: Plan) -> None:
    ahead, spec = plan.forecast, plan.spec
    done = f", {plan.settled} settled before" if plan.settled else ""
    runs = spec.attempt_epochs // spec.max_epochs
    each = f"at most {runs} x {spec.max_epochs} epochs" if runs > 1 else f"at most {count(spec.max_epochs, 'epoch')}"
    out.print(
        f"[bold]{escape(spec.name)}[/]  {count(ahead.configurations, 'configuration')} of {each}{done}, "
        f"on {count(plan.slots, 'slot')}"
    )
    if not ahead.configurations:
        return
    share = plan.epochs / ahead.epochs_unpruned
    low, high = ahead.epochs_range
    source = f"{low:.0f} to {high:.0f} in nine of ten simulated studies"
    if plan.epochs_each is not None:
        source = "from the epochs per configuration so far"
    elif not ahead.simulated:
        source = "nobody knows beforehand what a threshold stops"
    out.print(f"epochs   {ahead.epochs_unpruned} without pruning")
    if spec.pruner.kind != "none":
        out.print(f"         {plan.epochs:.0f} expected, {share:.0%} of them ({source})")
    if ahead.random:
        part = ahead.random / ahead.configurations
        out.print(
            f"sampler  {ahead.random} of {count(ahead.configurations, 'configuration')} ({part:.0%}) are random: "
            f"{spec.sampler.kind} has no model before"
        )
    if plan.seconds is None or plan.epoch_s is None:
        out.print("time     not known; --measure trains a little to learn it")
    else:
        shortest, longest = (f"{one:.2g}" for one in plan.epoch_s)
        each = f"{shortest} s" if shortest == longest else f"{shortest} to {longest} s"
        start = f", {plan.start_s:.1f} s to begin a trial" if plan.start_s else ""
        soonest, latest = (duration(one) for one in plan.seconds)
        whole = soonest if soonest == latest else f"{soonest} to {latest}"
        out.print(f"time     {each} an epoch{start}: about [bold]{whole}[/] in all")
    if plan.measured is not None:
        smallest, largest = plan.measured.parameters
        out.print(
            f"memory   {plan.measured.memory_mb:.0f} MB a slot at most, as measured here, with "
            f"{plan.measured.data_mb:.1f} MB of data, which the slots of a worker share"
        )
        out.print(f"network  {smallest} to {largest} parameters")
    if len(ahead.rungs) > 1:
        many = spec.pruner.brackets_for(spec.max_epochs) > 1
        columns = ("epochs", "trials that get there", *(["bracket"] if many else []))
        rows = [(one.epochs, f"{one.reached:.1f}", one.bracket)[: len(columns)] for one in _some(ahead.rungs)]
        out.print()
        out.print(table(columns, rows, right=columns))


def _some(rungs: Sequence[Rung], most: int = 20) -> list[Rung]:
    """Return some rungs, the last one among them, of a pruner that judges often."""
    step = -(-len(rungs) // most)
    return [*rungs[:-1:step], rungs[-1]]
