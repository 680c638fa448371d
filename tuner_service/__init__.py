"""Distributed tuning of Keras networks on Optuna.

What a study file needs is here; what commands do is in the rooms below, one function each. Names are loaded when they
are first used, so that ``tuner --help`` does not wait for what it does not need.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuner_service.bootstrap import open_storage, open_study, run
    from tuner_service.coordinator.checking import check
    from tuner_service.coordinator.control import cancel, delete, enqueue, pause, resume, retry, stop
    from tuner_service.coordinator.studies import create, extend
    from tuner_service.domain.folds import Folds
    from tuner_service.domain.objective_value import BestEpoch, LastEpoch, MeanOfLast
    from tuner_service.domain.pruner import (
        Hyperband,
        Median,
        NoPruning,
        Patient,
        Percentile,
        SuccessiveHalving,
        Threshold,
        Wilcoxon,
    )
    from tuner_service.domain.sampler import (
        BruteForce,
        CmaEs,
        CustomSampler,
        GaussianProcess,
        Grid,
        Nsga2,
        Nsga3,
        QuasiRandom,
        Random,
        Tpe,
    )
    from tuner_service.domain.spec import StudySpec
    from tuner_service.domain.stopping import Stopping
    from tuner_service.errors import TunerServiceError
    from tuner_service.results.planning import plan_file, plan_study
    from tuner_service.results.summary import summarize
    from tuner_service.training.data import Data
    from tuner_service.training.hyperparameters import make_hp
    from tuner_service.training.model_file import load_model

_HOMES = {
    "BestEpoch": "domain.objective_value",
    "BruteForce": "domain.sampler",
    "CmaEs": "domain.sampler",
    "CustomSampler": "domain.sampler",
    "Data": "training.data",
    "Folds": "domain.folds",
    "GaussianProcess": "domain.sampler",
    "Grid": "domain.sampler",
    "Hyperband": "domain.pruner",
    "LastEpoch": "domain.objective_value",
    "MeanOfLast": "domain.objective_value",
    "Median": "domain.pruner",
    "NoPruning": "domain.pruner",
    "Patient": "domain.pruner",
    "Percentile": "domain.pruner",
    "Nsga2": "domain.sampler",
    "Nsga3": "domain.sampler",
    "QuasiRandom": "domain.sampler",
    "Random": "domain.sampler",
    "Stopping": "domain.stopping",
    "StudySpec": "domain.spec",
    "SuccessiveHalving": "domain.pruner",
    "Threshold": "domain.pruner",
    "Tpe": "domain.sampler",
    "Wilcoxon": "domain.pruner",
    "check": "coordinator.checking",
    "TunerServiceError": "errors",
    "cancel": "coordinator.control",
    "create": "coordinator.studies",
    "delete": "coordinator.control",
    "enqueue": "coordinator.control",
    "extend": "coordinator.studies",
    "load_model": "training.model_file",
    "make_hp": "training.hyperparameters",
    "open_storage": "bootstrap",
    "open_study": "bootstrap",
    "pause": "coordinator.control",
    "plan_file": "results.planning",
    "plan_study": "results.planning",
    "resume": "coordinator.control",
    "retry": "coordinator.control",
    "run": "bootstrap",
    "stop": "coordinator.control",
    "summarize": "results.summary",
}

__all__ = [
    "BestEpoch",
    "BruteForce",
    "CmaEs",
    "CustomSampler",
    "Data",
    "Folds",
    "GaussianProcess",
    "Grid",
    "Hyperband",
    "LastEpoch",
    "MeanOfLast",
    "Median",
    "NoPruning",
    "Nsga2",
    "Nsga3",
    "Patient",
    "Percentile",
    "QuasiRandom",
    "Random",
    "Stopping",
    "StudySpec",
    "SuccessiveHalving",
    "Threshold",
    "Tpe",
    "TunerServiceError",
    "Wilcoxon",
    "cancel",
    "check",
    "create",
    "delete",
    "enqueue",
    "extend",
    "load_model",
    "make_hp",
    "open_storage",
    "open_study",
    "pause",
    "plan_file",
    "plan_study",
    "resume",
    "retry",
    "run",
    "stop",
    "summarize",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
