"""A study's trials as runs of an MLflow experiment."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from tuner_service.domain.outcome import State
from tuner_service.domain.study import StudyRecord
from tuner_service.domain.trial import Trial
from tuner_service.errors import SpecError, how_to_install
from tuner_service.results.export import record_fields
from tuner_service.results.trials import curves, reported_curve
from tuner_service.storage.ledger_storage import LedgerStorage

#: The tag by which a run is found again.
_TRIAL = "tuner.trial"
#: Most values that MLflow takes at once, and the longest value of a tag.
_BATCH, _LONGEST_TAG = 1000, 5000
#: What MLflow takes in no name, or only between two parts of one; and its longest name.
_NOT_ALLOWED = re.compile(r"[^/\w.\- :]|^/|/$|/(?=[/.])")
_LONGEST_NAME = 200
_STATUS = {State.COMPLETE: "FINISHED", State.PRUNED: "KILLED", State.FAIL: "FAILED"}


def export_mlflow(storage: LedgerStorage, name: str, uri: str) -> int:
    """Write the trials that have ended as runs of the experiment of the study's name, and return how many were new.

    Said again it adds those that have ended since: a run has its trial's number as a tag. The study's record is in tags
    of the experiment. Characters that MLflow does not take in the names of parameters and metrics become ``_``; the
    tag ``tuner.names`` has the parameters' own names then.

    Args:
        storage: The ledger's storage.
        name: The study.
        uri: MLflow's tracking server, or a database of it: ``sqlite:///mlflow.db``.

    Raises:
        SpecError: If MLflow is not installed, or the server refuses.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise SpecError(f"--mlflow needs MLflow: {how_to_install('mlflow')}") from None
    study = storage.study(name)
    trials = [one for one in storage.trials(study.study_id, curves=True) if one.started_at is not None]
    try:
        client = MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name(name)
        experiment = client.create_experiment(name) if found is None else found.experiment_id
        for field, value in record_fields(study).items():
            text = value if isinstance(value, str) else json.dumps(value)
            client.set_experiment_tag(experiment, f"tuner.{field}", text[:_LONGEST_TAG])
        there = _there(client, experiment)
        names = allowed_names(dict.fromkeys(param for one in trials for param in one.params))
        renamed = {other: name for name, other in names.items() if name != other}
        new = [one for one in trials if one.attempt.state.final and str(one.attempt.number) not in there]
        for one in new:
            attempt, begin = one.attempt, round((one.started_at or 0.0) * 1000)
            end = round((attempt.ended_at or 0.0) * 1000) or begin
            run = client.create_run(
                experiment,
                start_time=begin,
                run_name=f"trial-{attempt.number:05d}",
                tags={_TRIAL: str(attempt.number), "tuner.configuration": str(attempt.configuration),
                      "tuner.reason": str(attempt.reason), "tuner.worker": str(attempt.owner),
                      "tuner.code": str(one.code)},
            )  # fmt: skip
            key = run.info.run_id
            metrics = (
                Metric(_allowed(metric), value, begin + round((end - begin) * epoch / epochs), epoch)
                for metric, epoch, epochs, value in _points(study, one)
            )
            params = [Param(names[param], str(value)) for param, value in one.params.items()]
            objectives = [
                Metric(_allowed(f"objective/{metric}"), value, end, 0)
                for metric, value in zip(study.spec.metrics, attempt.values, strict=False)
            ]
            tags = {} if attempt.error is None else {"tuner.error": json.dumps(attempt.error)}
            if renamed.keys() & {one.key for one in params}:
                tags["tuner.names"] = json.dumps({one.key: renamed.get(one.key, one.key) for one in params})
            told = [RunTag(tag, text[:_LONGEST_TAG]) for tag, text in tags.items()]
            client.log_batch(key, metrics=objectives, params=params, tags=told)
            while batch := list(islice(metrics, _BATCH)):
                client.log_batch(key, metrics=batch)
            client.set_terminated(key, _STATUS[attempt.state], end)
    except MlflowException as error:
        # The client names the whole address, with the password that may be in it.
        first = re.sub(r"://\S*@", "://***@", str(error).splitlines()[0])
        raise SpecError(f"the MLflow server of --mlflow refused: {first}") from None
    return len(new)


def allowed_names(names: Iterable[str]) -> dict[str, str]:
    """Return for each parameter's name another one that MLflow takes, the same wherever it can be.

    >>> allowed_names(["units", "units@grid:1", "units@grid,1", "a//b"])
    {'units': 'units', 'units@grid:1': 'units_grid:1', 'units@grid,1': 'units_grid_1', 'a//b': 'a_/b'}
    >>> allowed_names(["a@b", "a,b", "a_b"])
    {'a@b': 'a_b_2', 'a,b': 'a_b_3', 'a_b': 'a_b'}
    """
    # Those that stay as they are come first, so that none of them is taken.
    found: dict[str, str] = {}
    names = list(names)
    for name in sorted(names, key=lambda one: _allowed(one) != one):
        wanted = _allowed(name)
        tries = (wanted, *(f"{wanted}_{count}" for count in range(2, len(names) + 2)))
        found[name] = next(one for one in tries if one not in found.values())
    return {name: found[name] for name in names}


def _allowed(name: str) -> str:
    return _NOT_ALLOWED.sub("_", name)[:_LONGEST_NAME]


def _there(client: Any, experiment: str) -> set[str]:  # noqa: ANN401 - an extra's
    """Return the trials that are there as wholes; a run that an earlier export left unfinished is removed."""
    runs: list[Any] = []
    token: str | None = ""
    while token is not None:
        page = client.search_runs([experiment], max_results=_BATCH, page_token=token or None)
        runs += [run for run in page if _TRIAL in run.data.tags]
        token = page.token or None
    unfinished = [run for run in runs if run.info.status == "RUNNING"]
    for run in unfinished:
        client.delete_run(run.info.run_id)
    return {run.data.tags[_TRIAL] for run in runs if run not in unfinished}


def _points(study: StudyRecord, trial: Trial) -> Iterator[tuple[str, int, int, float]]:
    """Yield metric, epoch, epochs of the run, and value: of several runs each has metrics of its own, run-1/loss."""
    kept = curves(study, trial.attempt.number) or [reported_curve(study, trial)]
    for place, curve in enumerate(kept, start=1):
        before = f"run-{place}/" if study.spec.runs > 1 else ""
        for metric, values in curve.items():
            for epoch, value in enumerate(values, start=1):
                if math.isfinite(value):
                    yield f"{before}{metric}", epoch, len(values), value
