"""The same trial again: trained anew as a worker would, and compared with what was recorded."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution

from tuner_service.domain.code import Code
from tuner_service.domain.code_change import code_changes
from tuner_service.domain.measured import MEASURED
from tuner_service.domain.outcome import Reason
from tuner_service.domain.provenance import changed_packages
from tuner_service.domain.study import StudyRecord
from tuner_service.domain.trial import Trial
from tuner_service.errors import ArtifactError, CodeChangedError, NotInStudyError, StudyFileError
from tuner_service.results import trials as reading
from tuner_service.results.trials import Curve
from tuner_service.storage.artifacts import Artifacts, code_file
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.training.assignment import CURVE_FILE, Result
from tuner_service.training.provenance import versions
from tuner_service.training.remote_trial import Answer, Ask
from tuner_service.training.study_file import read_code
from tuner_service.worker.evaluation import assignment_of, listed
from tuner_service.worker.machine import NO_GPU, gpus, grouped, slot_devices
from tuner_service.worker.supervisor import find_study_file
from tuner_service.worker.training_process import TrainingProcess, describe_exit, start_forkserver

#: Outcomes that training alone leads to, so that they come again.
_REPEATABLE = (Reason.FINISHED, Reason.PRUNED, Reason.DIVERGED)

#: How long to wait for a child's next message before looking again, and for one that has said how it went to end.
_LOOK_S, _GOODBYE_S = 5.0, 5.0


@dataclass(frozen=True)
class Compared:
    """A figure that was recorded, and that is another one now."""

    name: str  #: of an objective, or of a metric with its run
    recorded: float
    now: float
    epoch: int | None = None  #: the first epoch in which it is another; None of an objective
    most: float = 0.0  #: the largest difference of all epochs

    @property
    def differs(self) -> bool:
        """It is not the same to the last bit."""
        return not _same(self.recorded, self.now)


@dataclass(frozen=True)
class Rerun:
    """A trial that was trained again."""

    trial: Trial
    result: Result
    metrics: int  #: figures that were compared: objectives, and the metrics of each epoch
    differences: Sequence[Compared]
    surroundings: Sequence[str]  #: what was otherwise when it was trained first, in words

    @property
    def identical(self) -> bool:
        """Every figure is the same to the last bit, and it ended in the same way."""
        return self.result.reason is self.trial.attempt.reason and not self.differences


def rerun(
    storage: LedgerStorage, name: str, numbers: Sequence[int], *, studies: Path, accept_code: bool = False
) -> Iterator[Rerun]:
    """Train trials of a study again, one after the other, with the recorded parameters and seeds; change nothing.

    Args:
        storage: Where the study is.
        name: Its name.
        numbers: The trials; complete ones, pruned ones, or such as diverged.
        studies: Folder with the study file.
        accept_code: Train them with the code that is there although it is not that of the trial.

    Raises:
        NotInStudyError: If there is no such trial, or it ended by no fault of its own training.
        CodeChangedError: If the code is not that of a trial; what changed is named.
        StudyFileError: If the study's code cannot be loaded.
    """
    study = storage.study(name)
    trials = [_checked(reading.trial(storage, name, number), name) for number in numbers]
    path = _path(study, studies)
    code = read_code(path)
    changes = {one.code: code_differences(study, str(one.code), code) for one in trials if one.code != code.digest}
    if changes and not accept_code:
        told = "; ".join(
            f"trial {one.attempt.number}: {'; '.join(changes[one.code])}" for one in trials if one.code in changes
        )
        raise CodeChangedError(
            f"{path} is not the code that trained it. {told}. Put that version there, or train with this one and see "
            "what comes of it: --accept-code"
        )
    # One that is to have several devices, and finds too few, says so itself.
    device = next(iter(grouped(slot_devices(None, gpus(os.environ)), study.spec.devices_per_trial)), NO_GPU)
    start_forkserver(path, keras_backend=study.spec.backend, uses_gpus=device != NO_GPU)
    with tempfile.TemporaryDirectory(prefix="tuner-rerun-") as scratch:
        for trial in trials:
            # Before it is trained: they may be out of reach.
            recorded = reading.curves(study, trial.attempt.number)
            result, curves = _train(study, trial, path, Path(scratch), device)
            figures = list(compared(study, trial, result, recorded, curves))
            yield Rerun(
                trial,
                result,
                len(figures),
                [one for one in figures if one.differs],
                [*changes.get(trial.code, []), *_surroundings(study, trial, result)],
            )


def code_differences(study: StudyRecord, digest: str, code: Code) -> list[str]:
    """Return in words what changed from the code of this digest, which the study has run, to another."""
    if digest == code.digest:
        return []
    try:
        recorded = Artifacts(study.artifacts, study.name).read_json(code_file(digest))
    except ArtifactError:
        return [f"the code changed (digest {digest}, now {code.digest}); its text was not kept"]
    changes = [str(one) for one in code_changes(recorded, code.sources)]
    return changes or [f"the code changed in the order of its definitions (digest {digest}, now {code.digest})"]


def _checked(trial: Trial, name: str) -> Trial:
    attempt = trial.attempt
    if attempt.reason not in _REPEATABLE:
        how = attempt.state.lower() if attempt.reason is None else str(attempt.reason)
        raise NotInStudyError(
            f"trial {attempt.number} of {name!r} is {how}, which says nothing of its training; name one that is "
            f"complete or pruned, see `tuner trials {name}`"
        )
    return trial


def _path(study: StudyRecord, studies: Path) -> Path:
    try:
        return find_study_file(study, studies)[0]
    except CodeChangedError:
        # It has the name: what changed is told trial by trial.
        return studies / study.code.file


def _train(study: StudyRecord, trial: Trial, path: Path, scratch: Path, device: str) -> tuple[Result, list[Curve]]:
    attempt = trial.attempt
    folder = Path(tempfile.mkdtemp(dir=scratch))
    task = assignment_of(study, attempt.number, attempt.configuration, trial.started_at or 0.0, folder, device)
    child = TrainingProcess(path, scratch)
    try:
        _, error = _next(child, path).arguments
        if error is not None:
            raise error
        child.assign(dataclasses.replace(task, checkpoint_s=math.inf, trials_per_process=1))
        while True:
            ask = _next(child, path)
            if ask.op == "done":
                result, _ = ask.arguments
                break
            if ask.wants_answer:
                child.answer(_answer(trial, ask))
        child.end(_GOODBYE_S)
        file = folder / CURVE_FILE
        curves = json.loads(file.read_text()) if file.exists() else []
        return result, [curve for curve in curves if curve]
    finally:
        child.end()


def _next(child: TrainingProcess, path: Path) -> Ask:
    try:
        while (ask := child.wait(_LOOK_S)) is None:
            continue
    except EOFError:
        raise StudyFileError(f"the process that trains {path.name} {describe_exit(child.end(_GOODBYE_S))}") from None
    return ask


def _answer(trial: Trial, ask: Ask) -> Answer:
    """Answer as the worker did when the trial was trained first."""
    was_pruned = trial.attempt.reason is Reason.PRUNED
    match ask.op, ask.arguments:
        case "suggest", (str(name), BaseDistribution()):
            if name in trial.params:
                return Answer(trial.params[name])
            known = ", ".join(trial.params)
            return Answer(error=StudyFileError(f"the trial has no parameter {name!r}, only {known}: other code asks"))
        case "should_prune", (int(epoch), _, _):
            return Answer(was_pruned and epoch >= trial.attempt.epoch)
        case "should_stop_after", (values,):
            return Answer(was_pruned and len(values) >= len(trial.runs))
    # Its parameters are its own, and its model is not kept.
    return Answer(ask.op == "drawn")


def compared(
    study: StudyRecord, trial: Trial, result: Result, recorded: Sequence[Curve], now: Sequence[Curve]
) -> Iterator[Compared]:
    """Yield each figure that was recorded of a trial with what it is now: its objectives, and its curves' metrics."""
    values = () if result.value is None else (result.value, *result.others)
    for metric, one, other in zip(study.spec.metrics, trial.attempt.values, values, strict=False):
        # How long a prediction takes is never the same, and a file's size need not be.
        if metric not in MEASURED or metric == "parameters":
            yield Compared(metric, one, other)
    for run, (curve, again) in enumerate(zip(recorded, now, strict=False)):
        for metric in dict.fromkeys((*curve, *again)):
            name = metric if len(recorded) == 1 else f"{metric} of run {run + 1}"
            yield _series(name, curve.get(metric, []), again.get(metric, []))


def _series(name: str, recorded: Sequence[float], now: Sequence[float]) -> Compared:
    pairs = list(zip(recorded, now, strict=False))
    epoch = next((index for index, (one, other) in enumerate(pairs) if not _same(one, other)), None)
    if epoch is None:
        if len(recorded) == len(now):
            return Compared(name, math.nan, math.nan)
        return Compared(f"epochs of {name}", len(recorded), len(now), len(pairs) + 1)
    most = max(abs(one - other) for one, other in pairs if not _same(one, other))
    return Compared(name, *pairs[epoch], epoch + 1, most)


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _surroundings(study: StudyRecord, trial: Trial, result: Result) -> list[str]:
    recorded, provenance = trial.environment, study.provenance
    now: Mapping[str, Any] = {"host": socket.gethostname(), **result.environment}
    told = [
        f"{what}: {recorded[name]} -> {now[name]}"
        for name, what in (("data", "the data's digest"), ("host", "the host"), ("device", "the device"))
        if name in recorded and name in now and recorded[name] != now[name]
    ]
    others = listed(changed_packages(provenance.packages, versions(provenance.packages)))
    if others != recorded.get("packages", ""):
        was = f" (it was trained with {recorded['packages']})" if recorded.get("packages") else ""
        told.append(f"packages: {others or 'as the study was created'}{was}")
    return told
