"""Distributed tuning of Keras networks on Optuna.

What a study file needs is here, and what commands do, one function each or a few. Names are loaded when they are first
used, so that ``tuner --help`` does not wait for what it does not need.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuner_service.bootstrap import open_storage, open_study
    from tuner_service.cluster.api import Cluster
    from tuner_service.cluster.manifests import render
    from tuner_service.cluster.pool import WorkerPool, pack_code
    from tuner_service.cluster.submitting import logs, pods, scale, submit
    from tuner_service.coordinator.checking import check
    from tuner_service.coordinator.collect import collect
    from tuner_service.coordinator.control import cancel, delete, enqueue, pause, resume, retry, stop
    from tuner_service.coordinator.loop import coordinate
    from tuner_service.coordinator.studies import create, extend
    from tuner_service.domain.companion import baseline_of
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
    from tuner_service.results.compare import compare
    from tuner_service.results.dataframe import export_parquet
    from tuner_service.results.doctor import examine
    from tuner_service.results.evaluate import evaluate
    from tuner_service.results.export import export
    from tuner_service.results.mlflow import export_mlflow
    from tuner_service.results.model import export_model
    from tuner_service.results.planning import plan_file, plan_study
    from tuner_service.results.refit import refit
    from tuner_service.results.report.writing import write_report
    from tuner_service.results.rerun import rerun
    from tuner_service.results.summary import summarize
    from tuner_service.results.tensorboard.export import export_tensorboard
    from tuner_service.results.tensorboard.follow import follow_tensorboard
    from tuner_service.results.trials import best, curves, front, trial, trials
    from tuner_service.running import run, run_server, run_worker
    from tuner_service.storage.sql.roles import roles_sql
    from tuner_service.training.data import Data
    from tuner_service.training.hyperparameters import make_hp
    from tuner_service.training.model_file import load_model

_HOMES = {
    "BestEpoch": "domain.objective_value",
    "BruteForce": "domain.sampler",
    "Cluster": "cluster.api",
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
    "Nsga2": "domain.sampler",
    "Nsga3": "domain.sampler",
    "Patient": "domain.pruner",
    "Percentile": "domain.pruner",
    "QuasiRandom": "domain.sampler",
    "Random": "domain.sampler",
    "Stopping": "domain.stopping",
    "StudySpec": "domain.spec",
    "SuccessiveHalving": "domain.pruner",
    "Threshold": "domain.pruner",
    "Tpe": "domain.sampler",
    "TunerServiceError": "errors",
    "Wilcoxon": "domain.pruner",
    "WorkerPool": "cluster.pool",
    "baseline_of": "domain.companion",
    "best": "results.trials",
    "cancel": "coordinator.control",
    "check": "coordinator.checking",
    "collect": "coordinator.collect",
    "compare": "results.compare",
    "coordinate": "coordinator.loop",
    "create": "coordinator.studies",
    "curves": "results.trials",
    "delete": "coordinator.control",
    "enqueue": "coordinator.control",
    "evaluate": "results.evaluate",
    "examine": "results.doctor",
    "export": "results.export",
    "export_mlflow": "results.mlflow",
    "export_model": "results.model",
    "export_parquet": "results.dataframe",
    "export_tensorboard": "results.tensorboard.export",
    "follow_tensorboard": "results.tensorboard.follow",
    "extend": "coordinator.studies",
    "front": "results.trials",
    "load_model": "training.model_file",
    "logs": "cluster.submitting",
    "make_hp": "training.hyperparameters",
    "open_storage": "bootstrap",
    "open_study": "bootstrap",
    "pack_code": "cluster.pool",
    "pause": "coordinator.control",
    "plan_file": "results.planning",
    "plan_study": "results.planning",
    "pods": "cluster.submitting",
    "refit": "results.refit",
    "render": "cluster.manifests",
    "rerun": "results.rerun",
    "resume": "coordinator.control",
    "retry": "coordinator.control",
    "roles_sql": "storage.sql.roles",
    "run": "running",
    "run_server": "running",
    "run_worker": "running",
    "scale": "cluster.submitting",
    "stop": "coordinator.control",
    "submit": "cluster.submitting",
    "summarize": "results.summary",
    "trial": "results.trials",
    "trials": "results.trials",
    "write_report": "results.report.writing",
}

__all__ = [
    "BestEpoch",
    "BruteForce",
    "Cluster",
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
    "WorkerPool",
    "baseline_of",
    "best",
    "cancel",
    "check",
    "collect",
    "compare",
    "coordinate",
    "create",
    "curves",
    "delete",
    "enqueue",
    "evaluate",
    "examine",
    "export",
    "export_mlflow",
    "export_model",
    "export_parquet",
    "export_tensorboard",
    "extend",
    "follow_tensorboard",
    "front",
    "load_model",
    "logs",
    "make_hp",
    "open_storage",
    "open_study",
    "pack_code",
    "pause",
    "plan_file",
    "plan_study",
    "pods",
    "refit",
    "render",
    "rerun",
    "resume",
    "retry",
    "roles_sql",
    "run",
    "run_server",
    "run_worker",
    "scale",
    "stop",
    "submit",
    "summarize",
    "trial",
    "trials",
    "write_report",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
