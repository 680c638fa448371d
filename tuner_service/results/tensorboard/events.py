"""What TensorBoard is told of a study: messages of its own, run by run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tuner_service.domain.attempt import Param
from tuner_service.domain.outcome import State
from tuner_service.domain.study import StudyRecord
from tuner_service.domain.trial import Trial
from tuner_service.results.export import record_fields
from tuner_service.results.trials import Curve

#: Before the name of an objective: the value of the trial, beside what the metric was in its last epoch.
OBJECTIVE = "objective/"


def run_folder(study: StudyRecord, trial: int, run: int) -> str:
    """Return the folder of a run, from 0, below the study's; of several runs each is a session of the trial's group."""
    return f"trial-{trial:05d}" + (f"/run-{run + 1}" if study.spec.runs > 1 else "")


def of_run(study: StudyRecord, trial: Trial, curve: Curve) -> Iterator[Any]:
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
                yield scalar(metric, epoch, value, begin + (end - begin) * epoch / epochs)
    last = trial.best_epoch if trial.best_epoch is not None and attempt.state is State.COMPLETE else attempt.epoch
    for metric, value in zip(study.spec.metrics, attempt.values, strict=False):
        yield scalar(f"{OBJECTIVE}{metric}", last, value, end)
    if attempt.state.final:
        failed = attempt.state is State.FAIL
        status = api_pb2.STATUS_FAILURE if failed else api_pb2.STATUS_SUCCESS
        done = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=end)
        yield _plugin_event("session_end_info", done, end)


def begin_again() -> Any:  # noqa: ANN401 - a message
    """Return the event after which TensorBoard forgets the scalars that a run's file had before."""
    from tensorboard.compat.proto import event_pb2

    return event_pb2.Event(step=0, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))


def experiment(study: StudyRecord, trials: Sequence[Trial], metrics: Iterable[str]) -> Any:  # noqa: ANN401 - a message
    """Return the event that names the columns of the HParams tab: the parameters, the objectives and ``metrics``."""
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
    titles = {f"{OBJECTIVE}{metric}": metric for metric in study.spec.metrics}
    titles |= {metric: f"{metric}, last epoch" for metric in metrics}
    infos = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=title) for tag, title in titles.items()]
    goals = (f"{way} {metric}" for metric, way in zip(study.spec.metrics, study.spec.directions, strict=True))
    made = api_pb2.Experiment(
        name=study.name,
        description=f"{', '.join(goals)}\n{json.dumps(record_fields(study))}",
        time_created_secs=study.created_at,
        hparam_infos=columns,
        metric_infos=infos,
    )
    return _plugin_event("experiment", made, study.created_at)


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


def scalar(tag: str, step: int, value: float, at: float) -> Any:  # noqa: ANN401 - a message
    """Return the event of a value at a step, at a time in seconds since 1970."""
    from tensorboard.compat.proto import event_pb2, summary_pb2

    summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, simple_value=value)])
    return event_pb2.Event(wall_time=at, step=step, summary=summary)
