"""TPE that is made anew for each claim, and does not read from all trials anew what it has read before."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study
from optuna.trial import FrozenTrial


class TpeMemory:
    """What TPE reads from the trials of one study with one objective, kept from claim to claim; threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._common = IntersectionSearchSpace(include_pruned=True)
        self._columns: dict[tuple[str, BaseDistribution], np.ndarray] = {}

    def common_space(self, study: Study) -> dict[str, BaseDistribution]:
        """Return the parameters that all trials have had."""
        with self._lock:
            return self._common.calculate(study, use_cache=True)

    def numbers(self, trials: Sequence[FrozenTrial], space: Mapping[str, BaseDistribution]) -> np.ndarray:
        """Return what stands for each parameter's value in trials that have ended, NaN where one does not have it.

        Its shape is (parameters, trials).
        """
        wanted = np.fromiter((one.number for one in trials), dtype=int, count=len(trials))
        with self._lock:
            return np.array([self._column(trials, wanted, *one) for one in space.items()]).reshape(-1, len(trials))

    def _column(
        self, trials: Sequence[FrozenTrial], wanted: np.ndarray, name: str, distribution: BaseDistribution
    ) -> np.ndarray:
        column = self._columns.get((name, distribution), np.empty(0))
        if (missing := int(wanted.max(initial=-1)) + 1 - len(column)) > 0:
            # Infinity: not read yet.
            column = np.append(column, np.full(missing + len(column) // 2, np.inf))
            self._columns[name, distribution] = column
        for index in np.flatnonzero(np.isposinf(column[wanted])):
            params = trials[int(index)].params
            column[wanted[index]] = distribution.to_internal_repr(params[name]) if name in params else np.nan
        found: np.ndarray = column[wanted]
        return found


class KeptTpe(TPESampler):
    """Optuna's ``TPESampler``, which otherwise goes through every parameter of every trial for each claim.

    Args:
        memory: What was read before.
        options: Those of ``TPESampler``; parameters must be modelled together, and not in groups.
    """

    def __init__(self, memory: TpeMemory, **options: Any) -> None:  # noqa: ANN401 - as in Optuna
        super().__init__(**options)
        self._memory = memory

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """Return the common search space, as ``TPESampler`` does."""
        return {name: one for name, one in self._memory.common_space(study).items() if not one.single()}

    def _get_internal_repr(
        self, trials: list[FrozenTrial], search_space: dict[str, BaseDistribution], study: Study
    ) -> dict[str, np.ndarray]:
        """Return the values of trials by parameter. Where Optuna has no such method any more, it is not called."""
        values = np.full((len(search_space), len(trials)), np.nan)
        is_ended = np.array([one.state.is_finished() for one in trials], dtype=bool)
        ended = list(itertools.compress(trials, is_ended))
        values[:, is_ended] = self._memory.numbers(ended, search_space)
        for index in np.flatnonzero(~is_ended):
            theirs = super()._get_internal_repr([trials[index]], search_space, study)
            values[:, index] = [one[0] if len(one) else np.nan for one in theirs.values()]
        has_all = ~np.isnan(values).any(axis=0)
        return {name: row[has_all] for name, row in zip(search_space, values, strict=True)}
