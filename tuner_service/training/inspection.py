"""Looking at a study file before a study is made of it: its specification, its search space, its metric."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution

from tuner_service.domain.override import override
from tuner_service.domain.spec import StudySpec, parse_spec
from tuner_service.errors import SpecError, TunerServiceError, UserCodeError
from tuner_service.training import study_file
from tuner_service.training.data import Data
from tuner_service.training.remote_trial import Pipe, RemoteTrial, suggest

#: Draws from the search space, and seconds after which no further one is begun.
_DRAWS = 10
_DRAWING_S = 10.0


@dataclass(frozen=True)
class Inspection:
    """What a study file is, as data."""

    spec: StudySpec
    kind: str
    draws: Sequence[Mapping[str, BaseDistribution]]  #: the parameters of some draws from the search space
    versions: Mapping[str, str]  #: package name to version


def inspect(path: Path, changes: Sequence[Mapping[str, object]]) -> Inspection:
    """Import a study file, lay the changes over its specification, and try its functions once. This runs user code.

    Raises:
        SpecError: If the specification is not valid.
        StudyFileError: If the file or a function of it cannot be used.
    """
    study = study_file.load(path)
    if study.spec is None and not any(changes):
        raise SpecError(
            f"{path.name} has no `spec`; add spec = StudySpec(name=..., metric=..., trials=..., max_epochs=...), or "
            "give the fields with --config FILE.yaml or --set name=... --set trials=..."
        )
    given: dict[str, object] = {} if study.spec is None else study.spec.model_dump()
    if study.kind == "objective" and study.spec is None:
        # An Optuna script: what it returns has no name of its own, the study is called like the file, and Optuna's
        # default pruner is the median.
        given = {"name": path.stem, "metric": "value", "max_epochs": 100, "pruner": {"kind": "median"}}
    spec = parse_spec(override(given, *changes))
    draws = _probe(study, spec) if study.kind == "build_model" else []
    return Inspection(spec, study.kind, draws, _versions())


class _ProbePipe(Pipe):
    """Answers a trial from an in-memory study, so that a study's code can be tried without a storage."""

    def __init__(self, seed: int) -> None:
        sampler = optuna.samplers.RandomSampler(seed=seed)
        self._trial = optuna.create_study(sampler=sampler).ask()

    def ask(self, op: str, *arguments: Any) -> Any:  # noqa: ANN401 - as the method it stands for
        if op != "suggest":
            return False
        name, distribution = arguments
        return suggest(self._trial, name, distribution)

    def tell(self, op: str, *arguments: object) -> None:
        """Take note of nothing."""


def probe_trial(seed: int) -> RemoteTrial:
    """Return a trial whose parameters are random draws that nobody records."""
    return RemoteTrial(_ProbePipe(seed), 0, time.time())


def _probe(study: study_file.StudyFile, spec: StudySpec) -> list[dict[str, BaseDistribution]]:
    from tuner_service.training import network

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    data = _guarded("load_data", study.path, lambda: Data.check(study.load_data()))  # type: ignore[misc]
    started = time.monotonic()
    draws = []
    for seed in range(_DRAWS):
        trial = probe_trial(seed)
        try:
            model = _guarded("build_model", study.path, lambda trial=trial: network.build(study, trial))
            options = {}
            if study.fit is None:
                options = _guarded(
                    "fit_options", study.path, lambda trial=trial: network.options(study, trial, spec.max_epochs)
                )
        except UserCodeError:
            # A corner of the space that the study's code refuses costs a trial there, not the whole study.
            if seed == 0:
                raise
        else:
            if seed == 0 and study.fit is None:
                _guarded("fit", study.path, lambda m=model, o=options: _try_metric(m, o, data, spec))
        draws.append(trial.distributions)
        if time.monotonic() - started > _DRAWING_S:
            break
    return draws


def _try_metric(model: Any, options: dict[str, Any], data: Data, spec: StudySpec) -> None:  # noqa: ANN401
    """Train on one batch, to see whether data, network and metric fit together."""
    from tuner_service.training import network

    history = model.fit(
        **network.arguments(data.train),
        validation_data=data.validation,
        **{**options, "epochs": 1, "verbose": 0, "callbacks": [], "steps_per_epoch": 1, "validation_steps": 1},
    )
    network.metric_of({name: values[-1] for name, values in history.history.items()}, spec.metric)


def _guarded(what: str, path: Path, call: Any) -> Any:  # noqa: ANN401 - any call
    try:
        return call()
    except TunerServiceError:
        raise
    except (Exception, SystemExit) as error:
        raise UserCodeError.with_details(
            f"{path.name}: {what} failed: {study_file.last_line(error)}", study_file.user_traceback(error, path)
        ) from None


def _versions() -> dict[str, str]:
    import platform

    found = {"python": platform.python_version()}
    for package in ("tuner-service", "optuna", "keras", "tensorflow", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
