"""Commands that run: run, create, worker, coordinator, watch."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from tuner_service import bootstrap, running
from tuner_service.cli import live
from tuner_service.cli import options as o
from tuner_service.cli.exporting import print_front
from tuner_service.cli.inspecting import print_failure, status_lines
from tuner_service.cli.output import out, print_note, print_warning, table
from tuner_service.cluster.api import Cluster
from tuner_service.cluster.scaling import JobScaler
from tuner_service.coordinator.loop import coordinate
from tuner_service.coordinator.studies import Created
from tuner_service.coordinator.studies import create as create_study
from tuner_service.domain.companion import baseline_of
from tuner_service.domain.exit_code import ExitCode
from tuner_service.domain.outcome import Reason
from tuner_service.domain.provenance import shown_command
from tuner_service.domain.study import Ending
from tuner_service.results import trials as reading
from tuner_service.results.summary import Summary, summarize
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.worker.settings import WorkerSettings

Slots = Annotated[
    int | None,
    typer.Option("--slots", min=1, help="Trials at a time in a worker; by default one a GPU, or one a core."),
]


def create(
    file: o.StudyFile,
    storage: o.Storage = None,
    set_: o.Set = None,
    config: o.Config = None,
    backend: o.KerasBackend = None,
    artifacts: o.ArtifactsUrl = None,
    warm_start: o.WarmStart = None,
    accept_code: o.AcceptCode = False,
    baseline: o.Baseline = False,
    traceback: o.Traceback = False,  # noqa: ARG001 - read where errors are printed
) -> None:
    """Make a study of a study file, or continue the one of that name."""
    changes = o.changes(config, set_, warm_start, backend)
    ledger, folder = o.connect(storage), "" if file.parent == o.DEFAULT_STUDIES else f" --studies {file.parent}"

    def make(*more: Mapping[str, object]) -> Created:
        created = create_study(
            ledger,
            file,
            changes=[*changes, *more],
            artifacts=bootstrap.artifacts_url(artifacts),
            accept_code=accept_code,
            command=shown_command(["tuner", *sys.argv[1:]]),
        )
        name = created.study.name
        print_note(f"{name}: {created.note}; its workers: tuner worker {name}{folder}")
        return created

    made = make()
    if baseline:
        make(baseline_of(made.study, made.defaults))


def run(
    file: o.StudyFile,
    storage: o.Storage = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Worker processes on this machine.")] = 1,
    slots: Slots = None,
    slots_per_gpu: o.SlotsPerGpu = 1,
    set_: o.Set = None,
    config: o.Config = None,
    backend: o.KerasBackend = None,
    artifacts: o.ArtifactsUrl = None,
    warm_start: o.WarmStart = None,
    accept_code: o.AcceptCode = False,
    baseline: o.Baseline = False,
    traceback: o.Traceback = False,  # noqa: ARG001 - read where errors are printed
) -> None:
    """Create a study, work on it with local workers, and show the best. Started again, it continues."""
    ledger = o.connect(storage)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    looking = out.status(f"looking at {file}")
    if out.is_terminal:
        looking.start()

    def created(made: Created) -> None:
        looking.stop()
        where = bootstrap.storage_url(storage)
        print_note(f"{made.study.name}: {made.note}, {made.study.budget} trials, in {where}")
        if baseline and not companion:
            # That it has none is said before hours of training.
            companion.append(baseline_of(made.study, made.defaults))

    companion: list[Mapping[str, object]] = []

    def work(*more: Mapping[str, object]) -> str:
        return running.run(
            file,
            storage=storage,
            workers=workers,
            slots=slots,
            slots_per_gpu=slots_per_gpu,
            changes=[*o.changes(config, set_, warm_start, backend), *more],
            artifacts=artifacts,
            accept_code=accept_code,
            command=shown_command(["tuner", *sys.argv[1:]]),
            created=created,
            follow=_follow,
        ).name

    try:
        name = work()
        if baseline:
            work(companion[0])
            print_note(f"to compare: tuner compare {name} {companion[0]['name']}")
    except KeyboardInterrupt:
        print_note("interrupted: what was running is handed back; the same command continues")
        sys.exit(ExitCode.INTERRUPTED)
    finally:
        looking.stop()
    summary = summarize(ledger, name)
    for line in status_lines(summary):
        out.print(line)
    if summary.study.ending in (Ending.STOPPED, Ending.FAILED):
        print_note(f"it has ended before its budget was settled; tuner resume {name} lets it go on")
    front = reading.front(ledger, name) if summary.front else []
    if front and len(summary.study.spec.metrics) > 1:
        out.print()
        print_front(front)
        print_note(f"\na model: tuner export {name} N --model DIR --studies {file.parent}")
    elif front:
        (found,) = front
        out.print()
        out.print(table(("best hyperparameters", ""), list(found.trial.params.items())))
        if found.has_model:
            print_note(f"\nits model: tuner export {name} --model DIR --studies {file.parent}")
    if summary.study.ending is Ending.FAILED:
        shows = next(group.shows for group in summary.failures if group.reason is Reason.ERROR)
        print_failure(reading.trial(ledger, name, shows))
        sys.exit(ExitCode.NOT_GOOD)


def _follow(ledger: LedgerStorage, name: str, look_after: Callable[[], None]) -> None:
    def look() -> Summary:
        look_after()
        return summarize(ledger, name)

    live.follow(look, lambda summary: summary.study.ending is not None)


def worker(
    study: o.Study,
    storage: o.Storage = None,
    studies: o.Studies = o.DEFAULT_STUDIES,
    slots: Slots = None,
    slots_per_gpu: o.SlotsPerGpu = 1,
    worker_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The worker's id; by default host, process, a random part.")
    ] = None,
    beat: o.Beat = WorkerSettings.beat_s,
    lease: o.Lease = WorkerSettings.lease_s,
    wait: Annotated[
        float, typer.Option("--wait", min=0.0, help="Seconds to wait for the storage and the study.")
    ] = WorkerSettings.wait_s,
    load: Annotated[Path | None, typer.Option("--load", hidden=True)] = None,
) -> None:
    """Train trials of a study until it has ended. Exit codes: 0 ended, 75 interrupted, 78 configuration error."""
    if bootstrap.guards_secret() and os.geteuid() == 0:
        print_warning(
            "this worker runs as root, so that the study's code could read its memory, and the storage's password in "
            "it; run it as another user"
        )
    if bootstrap.leaves_secret_open():
        print_warning(
            "the study's code could read the file with the storage's password, which is closed to it only in a folder "
            "that is mounted, as a Secret is, on Linux 5.19 or later; give workers a role that can do little: "
            "`tuner db roles`"
        )
    ended = running.run_worker(
        o.connect(storage),
        study,
        studies=studies,
        load=load,
        slots=slots,
        slots_per_gpu=slots_per_gpu,
        worker_id=worker_id,
        beat_s=beat,
        lease_s=lease,
        wait_s=wait,
    )
    sys.exit(ExitCode.DONE if ended else ExitCode.INTERRUPTED)


def coordinator(
    storage: o.Storage = None,
    period: Annotated[float, typer.Option("--period", min=0.1, help="Seconds from one look to the next.")] = 5.0,
    scale_in: Annotated[
        str | None,
        typer.Option(
            "--scale-in",
            metavar="NAMESPACE",
            help="Also choose how many workers those studies have that were submitted there with --min-workers.",
        ),
    ] = None,
) -> None:
    """Keep all studies going: collect what fell behind, end what is done. Optional: workers do so too."""
    ledger = o.connect(storage)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    print_note(f"coordinating the studies of {bootstrap.storage_url(storage)}")
    # It looks again in a moment, and has other studies to look after.
    scaler = None if scale_in is None else JobScaler(Cluster(patience_s=period), scale_in)
    notifier = bootstrap.notifier(ledger)
    coordinate(ledger, stopping, period_s=period, scaler=scaler, notifier=notifier)
    if notifier is not None:
        notifier.close()


def watch(
    study: o.Study,
    storage: o.Storage = None,
    every: Annotated[float, typer.Option("--every", min=0.1, help="Seconds from one look to the next.")] = 1.0,
) -> None:
    """Follow a study live until it has ended; Ctrl-C only stops watching."""
    ledger = o.connect(storage)
    try:
        live.follow(
            lambda: summarize(ledger, study),
            lambda summary: summary.study.ending is not None,
            every_s=every,
        )
    except KeyboardInterrupt:
        out.print()
