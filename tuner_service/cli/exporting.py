"""Commands that take home: best, export, refit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from tuner_service import bootstrap
from tuner_service.cli import options as o
from tuner_service.cli.inspecting import spread_line, values_words
from tuner_service.cli.output import count, out, print_json, print_note, table, text
from tuner_service.domain.score import Score
from tuner_service.errors import SpecError
from tuner_service.results import export as exporting
from tuner_service.results import trials as reading
from tuner_service.results.model import ExportedModel, export_model
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.training.model_file import Needs


class ExportFormat(StrEnum):
    """Formats of an export."""

    JSON = "json"
    YAML = "yaml"
    CSV = "csv"
    CSV_LONG = "csv-long"


def best(study: o.Study, storage: o.Storage = None, json: o.Json = False) -> None:
    """Show the best hyperparameters found so far; of several objectives, the front."""
    front = reading.front(o.connect(storage), study)
    found = front[0]
    if len(found.study.spec.metrics) > 1:
        if json:
            print_json("front", [{**exporting.trial_fields(one.trial), "has_model": one.has_model} for one in front])
            return
        print_front(front)
        if any(one.has_model for one in front):
            print_note(f"a model: tuner export {study} N --model DIR")
        return
    if json:
        print_json("best", {**exporting.trial_fields(found.trial), "has_model": found.has_model})
        return
    attempt = found.trial.attempt
    out.print(
        f"{values_words(found.study.spec, attempt)} in trial {attempt.number}"
        + ("" if found.trial.best_epoch is None else f", epoch {found.trial.best_epoch}")
    )
    if found.trial.runs:
        out.print(spread_line(found.trial))
    out.print(table(("parameter", "value"), list(found.trial.params.items())))
    if not attempt.feasible:
        print_note("no complete trial satisfies all constraints; this is the best of those that violate some")
    if found.has_model:
        print_note(f"its model: tuner export {study} --model DIR")


def export(
    study: o.Study,
    number: Annotated[
        int | None, typer.Argument(metavar="[N]", help="With --model: this trial's, not the best one's.")
    ] = None,
    storage: o.Storage = None,
    form: Annotated[
        ExportFormat | None, typer.Option("--format", help="Format of the trials; without one json.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the trials there, not to the terminal.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", metavar="DIR", help="Write the best model there instead.")
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option("--tensorboard", metavar="DIR", help="Write it for TensorBoard instead: DIR/STUDY.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="With --tensorboard: go on until the study has ended.")
    ] = False,
    parquet: Annotated[
        Path | None, typer.Option("--parquet", metavar="FILE", help="Write the trials there instead, a row each.")
    ] = None,
    mlflow: Annotated[
        str | None, typer.Option("--mlflow", metavar="URI", help="Write it to this MLflow tracking server instead.")
    ] = None,
    studies: o.Studies = o.DEFAULT_STUDIES,
    traceback: o.Traceback = False,  # noqa: ARG001 - read where errors are printed
) -> None:
    """Write the trials of a study, or its best model, to files, or to other tools."""
    others = {"--model": model, "--tensorboard": tensorboard, "--parquet": parquet, "--mlflow": mlflow}
    given = [name for name, value in others.items() if value is not None]
    if len(given) > 1:
        raise SpecError(f"{' and '.join(given)} go to different places; call export once for each")
    if follow and tensorboard is None:
        raise SpecError("--follow goes on writing for TensorBoard; say where with --tensorboard DIR")
    if given and (idle := [name for name, value in (("--output", output), ("--format", form)) if value is not None]):
        raise SpecError(f"{' and '.join(idle)} say how the trials are written as text; leave them out with {given[0]}")
    if number is not None and model is None:
        raise SpecError(
            f"a number chooses a model; say --model DIR, or take one trial's figures from `tuner show {study} {number}`"
        )
    ledger = o.connect(storage)
    if tensorboard is not None:
        _to_tensorboard(ledger, study, tensorboard, follow=follow)
        return
    if parquet is not None:
        from tuner_service.results.dataframe import export_parquet

        export_parquet(ledger, study, parquet)
        print_note(f"{study} written to {parquet}")
        return
    if mlflow is not None:
        from tuner_service.results.mlflow import export_mlflow

        print_note(f"{count(export_mlflow(ledger, study, mlflow), 'trial')} written to the experiment {study}")
        return
    if model is not None:
        print_model(export_model(ledger, study, model, studies=studies, number=number))
        return
    content = exporting.export(ledger, study, (form or ExportFormat.JSON).value)
    if output is None:
        print(content, end="")
        return
    _write(output, content)
    if form not in (ExportFormat.CSV, ExportFormat.CSV_LONG):
        print_note(f"{study} written to {output}")
        return
    record = output.with_suffix(".record.json")
    _write(record, exporting.export_record(ledger, study))
    print_note(f"{study} written to {output}, its record to {record}")


def _write(path: Path, content: str) -> None:
    draft = path.with_name(path.name + ".draft")
    try:
        draft.write_text(content, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise SpecError(f"{path} of --output cannot be written: {error.strerror}") from None


def _to_tensorboard(ledger: LedgerStorage, study: str, folder: Path, *, follow: bool) -> None:
    from tuner_service.results.tensorboard.export import export_tensorboard
    from tuner_service.results.tensorboard.follow import follow_tensorboard

    look = f"tensorboard --logdir {folder / study}"
    if not follow:
        print_note(f"{count(export_tensorboard(ledger, study, folder), 'trial')} written; look at them with: {look}")
        return
    print_note(f"following {study}; look at it with: {look}")
    try:
        written = follow_tensorboard(ledger, study, folder, live=bootstrap.live_metrics())
        print_note(f"{study} has ended; {count(written, 'trial')} written")
    except KeyboardInterrupt:
        print_note("interrupted: the same command goes on")


def refit(
    study: o.Study,
    number: Annotated[int | None, typer.Argument(metavar="[N]", help="A trial's number; without one the best.")] = None,
    storage: o.Storage = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where refit.keras goes.")] = Path(),
    studies: o.Studies = o.DEFAULT_STUDIES,
    traceback: o.Traceback = False,  # noqa: ARG001 - read where errors are printed
) -> None:
    """Train the best hyperparameters on all data, and measure the model on the test part."""
    from tuner_service.results.refit import refit as train_again

    with out.status("training on all data"):
        found = train_again(o.connect(storage), study, output, studies=studies, number=number)
    refit = found.refit
    rows = Table.grid(padding=(0, 2))
    rows.add_row("model", f"{escape(str(found.path))}, the parameters of trial {found.trial.attempt.number}")
    rows.add_row("epochs", escape(f"{refit.epochs}: {found.why}"))
    if refit.left_out:
        rows.add_row("left out", escape(f"{', '.join(refit.left_out)}: there is no validation data to watch"))
    for part, metrics in (("train and validation", refit.train), ("test", refit.test)):
        if metrics is not None:
            rows.add_row(f"on {part} data", escape(metrics_words(metrics)))
    out.print(rows)
    if refit.test is not None and found.looks:
        print_note(looked_before(found.looks))


def looked_before(looks: Sequence[Score]) -> str:
    """Return in words that the test part had been looked at before."""
    models = {(one.trial, one.model) for one in looks}
    return (
        f"this was look {len(looks) + 1} at the test part: {count(len(models), 'model')} measured before, first by "
        f"{looks[0].who} on {exporting.iso(looks[0].at)}; a model chosen by it looks better than it is"
    )


def print_model(exported: ExportedModel) -> None:
    """Print what an exported model is and does."""
    spec, attempt = exported.best.study.spec, exported.best.trial.attempt
    rows = Table.grid(padding=(0, 2))
    rows.add_row("model", f"{escape(str(exported.path))}, of trial {attempt.number}")
    runs = len(exported.best.trial.runs)
    is_mean = f", the mean of {runs} runs, of which this is the best one's model" if runs else ""
    for metric, value in zip(spec.metrics, attempt.values, strict=True):
        rows.add_row(escape(metric), f"[bold green]{text(value)}[/]{is_mean}")
    fold = "" if exported.fold is None else f" of fold {exported.fold + 1}"
    again = ", measured again in a fresh process"
    rows.add_row(f"on {exported.part} data{fold}", escape(metrics_words(exported.metrics) + again))
    if exported.score is not None:
        rows.add_row("on test data", escape(metrics_words(exported.score.metrics)))
    else:
        rows.add_row("on test data", f"nobody has looked: tuner evaluate {spec.name}")
    if exported.needs is not Needs.KERAS:
        rows.add_row("to load it", f"tuner_service.load_model: see {escape(exported.path.with_suffix('.md').name)}")
    out.print(rows)


def metrics_words(metrics: Mapping[str, float]) -> str:
    """Return metrics in a line."""
    return ", ".join(f"{name} {text(value)}" for name, value in metrics.items())


def print_front(front: list[reading.Best]) -> None:
    """Print the trials of a front, the best by the first objective first."""
    metrics = front[0].study.spec.metrics
    params = list(dict.fromkeys(name for one in front for name in one.trial.params))
    rows = [
        (
            one.trial.attempt.number,
            *one.trial.attempt.values,
            "yes" if one.has_model else "no",
            *(one.trial.params.get(name, "") for name in params),
        )
        for one in front
    ]
    out.print(table(("trial", *metrics, "model", *params), rows, right=("trial", *metrics)))
