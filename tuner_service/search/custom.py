"""A sampler that a study names by its dotted path: made, and tried for what it keeps in memory."""

from __future__ import annotations

import importlib
import inspect
import random
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler

from tuner_service.domain.sampler import CustomSampler
from tuner_service.errors import SpecError

#: Trials of the small study in which a sampler is looked at: more than the random ones with which most begin.
_TRIALS = 16

#: By specification: whether a sampler keeps what it learns in memory, and the one object of one that does.
_KEEPS: dict[str, bool] = {}
_KEPT: dict[str, BaseSampler] = {}


def make_custom(spec: CustomSampler, seed: int) -> BaseSampler:
    """Return the sampler, made anew and seeded where its constructor takes a seed.

    One that keeps what it learns in memory is made once in a process; its worker has one slot.

    Raises:
        SpecError: If it is not installed, is no sampler of Optuna, or does not take the arguments.
    """
    key = spec.model_dump_json()
    if key not in _KEEPS:
        _KEEPS[key] = bool(kept_in_memory(spec))
    if not _KEEPS[key]:
        return _made(spec, seed)
    return _KEPT.setdefault(key, _made(spec, seed))


def _made(spec: CustomSampler, seed: int) -> BaseSampler:
    module, _, name = spec.path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SpecError(
            f"sampler.path: {spec.path} cannot be imported: {error}. Install its package where the study is created "
            "and where its workers run, or correct the name"
        ) from None
    if not (inspect.isclass(kind) and issubclass(kind, BaseSampler)):
        raise SpecError(f"sampler.path: {spec.path} is not a class derived from optuna.samplers.BaseSampler")
    seeded = {"seed": seed} if "seed" in inspect.signature(kind).parameters else {}
    try:
        made: BaseSampler = kind(**{**seeded, **spec.arguments})
    except Exception as error:
        raise SpecError(f"sampler.arguments: {spec.path} does not take them: {error}") from None
    if not seeded:
        # Optuna's way to set a sampler apart from its copies in other processes.
        made.reseed_rng()
    return made


def kept_in_memory(spec: CustomSampler) -> list[str]:
    """Return the names of the attributes in which the sampler keeps what it has learned, none where it keeps nothing.

    Two of them see the same small study: one all of it, one only its last trial, which is what a sampler sees that is
    made anew for a claim. What they read from the study is the same, so an attribute in which they differ was filled
    by the earlier trials; random generators aside.

    Raises:
        SpecError: If it cannot be made, or fails there.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=_made(spec, seed=0))
    stays, fresh = study.sampler, _made(spec, seed=0)
    space = {"x": FloatDistribution(-1.0, 1.0), "y": CategoricalDistribution(["a", "b"])}
    states = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for number in range(_TRIALS):
                trial = study.ask(space)
                study.tell(trial, trial.params["x"] ** 2 + number % 3)
            for sampler in (stays, fresh):
                # Both begin this trial with the same history, and leave nothing behind in it.
                study.sampler = sampler
                trial = study.ask(space)
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                states.append(_state(sampler))
    except Exception as error:
        raise SpecError(f"sampler.path: {spec.path} fails in a small study of its own: {error!r}") from None
    return sorted(name for name in states[0] if states[0][name] != states[1].get(name))


def _state(value: Any, depth: int = 4) -> Any:  # noqa: ANN401 - whatever a sampler holds
    """Return what an object holds in a form that compares, without random generators and code."""
    if isinstance(value, np.random.RandomState | np.random.Generator | random.Random) or callable(value):
        return None
    if isinstance(value, np.ndarray):
        return value.tolist()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if depth == 0:
        return type(value).__name__
    if isinstance(value, Mapping):
        return {repr(key): _state(one, depth - 1) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_state(one, depth - 1) for one in value]
    if isinstance(value, optuna.search_space.IntersectionSearchSpace):
        return None  # a cache of what the study holds
    return {name: _state(one, depth - 1) for name, one in getattr(value, "__dict__", {}).items()}
