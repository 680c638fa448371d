"""A study as TensorBoard reads it: the curves of every run as scalars, and a row a trial in the HParams tab.

The files are written with TensorBoard's own messages and records; TensorFlow is not needed, nor loaded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tuner_service.domain.attempt import Param
from tuner_service.domain.outcome import State
from tuner_service.domain.study import StudyRecord
from tuner_service.domain.trial import Trial
from tuner_service.errors import SpecError
from tuner_service.results.trials import Curve, curves
from tuner_service.storage.ledger_storage import LedgerStorage

#: Before the name of an objective: the value of the trial, beside what the metric was in its last epoch.
OBJECTIVE = "objective/"
_EVENTS = "events.out.tfevents.0.tuner-service"


def export_tensorboard(storage: LedgerStorage, name: str, folder: Path) -> int:
    """Write a study below ``folder/NAME``, a folder a trial, and return how many trials there are.

    Said again, it writes the files anew.

    Raises:
        SpecError: If TensorBoard is not installed, or the folder cannot be written to.
    """
    _check_installed()
    study = storage.study(name)
    trials = [one for one in storage.trials(study.study_id, curves=True) if one.started_at is not None]
    root = folder / study.name
    metrics: dict[str, None] = {f"{OBJECTIVE}{metric}": None for metric in study.spec.metrics}
    try:
        for one in trials:
            kept = curves(study, one.attempt.number) or _reported(study, one)
            metrics.update(dict.fromkeys(metric for curve in kept for metric in curve))
            # Of several runs each is a session of the trial's group.
            for place, curve in enumerate(kept or [{}]):
                run = root / f"trial-{one.attempt.number:05d}" / (f"run-{place + 1}" if len(kept) > 1 else "")
                _write(run, _of_run(study, one, curve))
        _write(root, [_experiment(study, trials, list(metrics))])
    except OSError as error:
        raise SpecError(f"{folder} of --tensorboard cannot be written to: {error.strerror or error}") from None
    return len(trials)


def _check_installed() -> None:
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise SpecError(
            "--tensorboard needs TensorBoard, which is not installed: pip install 'tuner-service[tensorboard]'"
        ) from None


def _reported(study: StudyRecord, trial: Trial) -> list[Curve]:
    """Return what a trial reported as a curve, where no other was kept: gaps between the reports are NaN."""
    if not trial.reported:
        return []
    first = 0 if study.kind == "objective" else 1
    values = [trial.reported.get(step, math.nan) for step in range(first, max(trial.reported) + 1)]
    return [{study.spec.judged: values}]


def _of_run(study: StudyRecord, trial: Trial, curve: Curve) -> Iterator[Any]:
    """Yield the events of one run: what it is, its curve, what came of it."""
    from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

    attempt = trial.attempt
    begin = trial.started_at or 0.0
    end = attempt.ended_at or begin
    start = plugin_data_pb2.SessionStartInfo(group_name=f"trial-{attempt.number:05d}", start_time_secs=begin)
    for name, value in trial.params.items():
        _set(start.hparams[name], value)
    yield _plugin_event("session_start_info", start, begin)
    epochs = max((len(values) for values in curve.values()), default=0)
    for metric, values in curve.items():
        for epoch, value in enumerate(values, start=1):
            # Between claim and end, evenly: nobody notes when an epoch ended.
            if not math.isnan(value):
                yield _scalar(metric, epoch, value, begin + (end - begin) * epoch / epochs)
    last = trial.best_epoch if trial.best_epoch is not None and attempt.state is State.COMPLETE else attempt.epoch
    for metric, value in zip(study.spec.metrics, attempt.values, strict=False):
        yield _scalar(f"{OBJECTIVE}{metric}", last, value, end)
    if attempt.state.final:
        failed = attempt.state is State.FAIL
        status = api_pb2.STATUS_FAILURE if failed else api_pb2.STATUS_SUCCESS
        done = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=end)
        yield _plugin_event("session_end_info", done, end)


def _experiment(study: StudyRecord, trials: Sequence[Trial], metrics: Sequence[str]) -> Any:  # noqa: ANN401 - a message
    """Return the event that names the columns of the HParams tab."""
    from tensorboard.plugins.hparams import api_pb2

    columns = []
    for name in dict.fromkeys(name for one in trials for name in one.params):
        values = list(dict.fromkeys(one.params[name] for one in trials if name in one.params))
        column = api_pb2.HParamInfo(name=name, type=_type(values))
        if column.type == api_pb2.DATA_TYPE_FLOAT64:
            numbers = [value for value in values if isinstance(value, int | float)]
            column.domain_interval.min_value, column.domain_interval.max_value = min(numbers), max(numbers)
        else:
            column.domain_discrete.extend(
                value if isinstance(value, bool) else str(value) for value in sorted(values, key=str)
            )
        columns.append(column)
    infos = [
        api_pb2.MetricInfo(name=api_pb2.MetricName(tag=metric), display_name=metric.removeprefix(OBJECTIVE))
        if metric.startswith(OBJECTIVE)
        else api_pb2.MetricInfo(name=api_pb2.MetricName(tag=metric), display_name=f"{metric}, last epoch")
        for metric in metrics
    ]
    experiment = api_pb2.Experiment(
        name=study.name,
        description=", ".join(
            f"{way} {metric}" for metric, way in zip(study.spec.metrics, study.spec.directions, strict=True)
        ),
        time_created_secs=study.created_at,
        hparam_infos=columns,
        metric_infos=infos,
    )
    return _plugin_event("experiment", experiment, study.created_at)


def _type(values: Iterable[Param]) -> Any:  # noqa: ANN401 - an enumeration of the messages
    from tensorboard.plugins.hparams import api_pb2

    kinds = {type(value) for value in values}
    if kinds <= {bool}:
        return api_pb2.DATA_TYPE_BOOL
    return api_pb2.DATA_TYPE_FLOAT64 if kinds <= {int, float} else api_pb2.DATA_TYPE_STRING


def _set(field: Any, value: Param) -> None:  # noqa: ANN401 - a message
    if isinstance(value, bool):
        field.bool_value = value
    elif isinstance(value, int | float):
        field.number_value = value
    else:
        field.string_value = str(value)


def _plugin_event(kind: str, content: Any, at: float) -> Any:  # noqa: ANN401 - messages
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    tags: Mapping[str, str] = {
        "experiment": metadata.EXPERIMENT_TAG,
        "session_start_info": metadata.SESSION_START_INFO_TAG,
        "session_end_info": metadata.SESSION_END_INFO_TAG,
    }
    data = plugin_data_pb2.HParamsPluginData(**{kind: content})
    value = summary_pb2.Summary.Value(
        tag=tags[kind], metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR
    )
    return event_pb2.Event(wall_time=at, summary=summary_pb2.Summary(value=[value]))


def _scalar(tag: str, step: int, value: float, at: float) -> Any:  # noqa: ANN401 - a message
    from tensorboard.compat.proto import event_pb2, summary_pb2

    summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, simple_value=value)])
    return event_pb2.Event(wall_time=at, step=step, summary=summary)


def _write(folder: Path, events: Iterable[Any]) -> None:
    """Write events into the one file of a run."""
    from tensorboard.compat.proto import event_pb2
    from tensorboard.summary.writer.record_writer import RecordWriter

    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / "draft"
    with draft.open("wb") as file:
        writer = RecordWriter(file)
        writer.write(event_pb2.Event(file_version="brain.Event:2").SerializeToString())
        for event in events:
            writer.write(event.SerializeToString())
    draft.replace(folder / _EVENTS)
