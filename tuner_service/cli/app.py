"""The command ``tuner``: its commands, and the one place where errors are printed."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version
from typing import Annotated

import stamina.instrumentation
import typer

from tuner_service.cli import checking, exporting, inspecting, pods, reporting, running, serving, steering, verifying
from tuner_service.cli.database import db
from tuner_service.cli.output import err, out, print_error
from tuner_service.domain.exit_code import ExitCode
from tuner_service.errors import StorageUnavailableError, StudyFileError, TunerServiceError

app = typer.Typer(
    name="tuner",
    help="Tune Keras networks with Optuna, over as many workers as you have.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _panel, _commands in (
    ("Before it starts", (checking.check, checking.plan)),
    ("Run studies", (running.run, running.create, running.worker, running.coordinator)),
    (
        "Look at them",
        (inspecting.list_, inspecting.status, running.watch, inspecting.trials, inspecting.show, serving.serve),
    ),
    ("Take home", (exporting.best, reporting.report, exporting.export, exporting.refit)),
    ("Check results", (verifying.evaluate, verifying.rerun, verifying.compare)),
    ("On Kubernetes", (pods.submit, pods.render_, pods.scale, pods.pods, pods.logs)),
    (
        "Steer",
        (
            steering.pause,
            steering.resume,
            steering.stop,
            steering.cancel,
            steering.extend,
            steering.retry,
            steering.enqueue,
            steering.delete,
            steering.gc,
            steering.doctor,
        ),
    ),
):
    for _command in _commands:
        app.command(_command.__name__.rstrip("_"), rich_help_panel=_panel)(_command)
app.add_typer(db, name="db", rich_help_panel="Steer")


def _print_version(asked: bool) -> None:
    if asked:
        print(version("tuner-service"))
        raise typer.Exit


@app.callback()
def _main(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more of what is done.")] = False,
    _: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    # It would tell each repetition, but not what is repeated; `ledger.patience` says it itself.
    stamina.instrumentation.set_on_retry_hooks([])
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("tuner_service").setLevel(logging.DEBUG if verbose else logging.INFO)


def run(arguments: list[str] | None = None) -> None:
    """Run a command, and end the process with its exit code; errors raised on purpose are one line."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        app(arguments)
    except TunerServiceError as error:
        print_error(str(error))
        is_worker = next((one for one in arguments if not one.startswith("-")), None) == "worker"
        if isinstance(error, StudyFileError) and error.details:
            if "--traceback" in arguments:
                err.print(error.details, markup=False)
            elif not is_worker:
                err.print("[dim]--traceback shows where in the study's code[/]")
        if not is_worker:
            sys.exit(ExitCode.MISTAKE)
        # One whose storage does not answer may be started again.
        away = isinstance(error, StorageUnavailableError)
        sys.exit(ExitCode.INTERRUPTED if away else ExitCode.MISCONFIGURED)
    except BrokenPipeError:
        # The reader of a pipe, head for instance, has seen enough.
        out.quiet = True
        sys.stderr.close()
        sys.exit(ExitCode.DONE)
