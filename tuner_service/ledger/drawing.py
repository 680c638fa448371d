"""The parameters of an attempt: given with its row, or drawn by the study's sampler and written in one go."""

from __future__ import annotations

import contextlib
import copy
import datetime
import hashlib
import json
import logging
from collections.abc import Container, Mapping, Sequence
from typing import Any, cast

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from tuner_service.domain.attempt import Param
from tuner_service.domain.sampler import Random
from tuner_service.domain.study import StudyRecord
from tuner_service.errors import SpaceExhaustedError, SpecError, StudyFileError, TrialLostError
from tuner_service.search.grid import unseen
from tuner_service.search.sampler import make_sampler
from tuner_service.search.space import DYNAMIC, as_in_a_grid, check_kept, contains
from tuner_service.search.tpe import TpeMemory
from tuner_service.storage.ledger_storage import Claim, Draw, LedgerStorage

_log = logging.getLogger(__name__)

#: How often a draw that another configuration had is drawn again by the sampler, and then in other ways.
MAX_REDRAWS = 20


class Drawing:
    """Parameters are kept here until ``confirm`` writes them; those that are asked for later are written at once.

    Each method may be repeated where the storage was away. Optuna's ``Trial`` would write each parameter by itself, and
    what a sampler has drawn could not be drawn again.
    """

    def __init__(
        self,
        storage: LedgerStorage,
        study: StudyRecord,
        claim: Claim,
        worker_id: str,
        memory: TpeMemory | None = None,
    ) -> None:
        self._storage = storage
        self._memory = memory if len(study.spec.metrics) == 1 else None
        self._study = study
        self._claim = claim
        self._worker_id = worker_id
        # A script trains while it asks, so that nothing can be drawn again: its parameters are written as they come.
        self.confirmed = study.kind == "objective"
        self._draws = 0
        self._preferred: Mapping[str, Param] = {}
        self._begin()

    def _begin(self) -> None:
        self._params: dict[str, Param] = {}
        self._distributions: dict[str, BaseDistribution] = {}
        self._notes: dict[str, Any] = {}
        self._attributes: dict[str, Any] = {}
        self._sampling: _Sampling | None = None

    def suggest(self, name: str, distribution: BaseDistribution) -> Param:
        """Return a parameter: given with the row, drawn before, or drawn now.

        Raises:
            StudyFileError: If it comes with another distribution than the study was created with, or the value that was
                given is not in it.
        """
        check_kept(self._study.space, name, distribution)
        if name not in self._params:
            self._params[name] = as_in_a_grid(distribution, self._value(name, distribution))
            self._distributions[name] = distribution
        if self.confirmed:
            self._write([name])
        return self._params[name]

    def _value(self, name: str, distribution: BaseDistribution) -> Param:
        if name in self._claim.params:
            given = self._claim.params[name]
            if not contains(distribution, given):
                raise StudyFileError(
                    f"{name}={given!r} was given to configuration {self._claim.configuration}; it is not in "
                    f"{distribution}"
                )
            return given
        if name in self._preferred and contains(distribution, self._preferred[name]):
            return self._preferred[name]
        if distribution.single():
            return cast(Param, distribution.to_external_repr(_only(distribution)))
        if self._sampling is None:
            self._sampling = _Sampling(self._storage, self._study, self._claim, self._make_sampler(), self._notes)
        return self._sampling.draw(name, distribution, self._params, self._distributions)

    def _make_sampler(self) -> BaseSampler:
        spec, claim = self._study.spec, self._claim
        return make_sampler(
            # A sampler that draws the same again and again has nothing else to say.
            spec.sampler if self._draws <= MAX_REDRAWS else Random(),
            seed=spec.sampler_seed,
            configuration=claim.configuration,
            draw=self._draws,
            space=self._study.space,
            memory=self._memory,
        )

    def confirm(self, *, repeats: bool) -> bool:
        """Write the parameters, and return whether they are the attempt's; if not, they are drawn anew from now on.

        Args:
            repeats: They may be those of another configuration.

        Raises:
            SpaceExhaustedError: If all parameters that there are, as far as one can find, are taken.
        """
        if self._write(list(self._params), unless_repeated=not repeats and self._is_drawn()):
            self.confirmed = True
            return True
        self._draws += 1
        self._preferred = {}
        if self._draws > MAX_REDRAWS:
            self._preferred = self._untried()
        if self._draws > 2 * MAX_REDRAWS:
            raise self._exhausted()
        self._begin()
        return False

    def keep(self, *, repeats: bool) -> None:
        """Write what was drawn of an attempt that ends before it is confirmed, so that people see it, and a retry."""
        if self.confirmed:
            return
        try:
            self._write(list(self._params), unless_repeated=not repeats and self._is_drawn())
        except StudyFileError:
            # It ends for one that cannot stand beside those of other trials, which is told; the rest is shown.
            for name in self._params:
                with contextlib.suppress(StudyFileError):
                    self._write([name])

    def set_attribute(self, key: str, value: Any) -> bool:  # noqa: ANN401 - any JSON value
        """Take an attribute of the study's code, to be written with the parameters; return whether that is to come."""
        return self._take(self._attributes, key, value)

    def set_note(self, key: str, value: Any) -> bool:  # noqa: ANN401 - any JSON value
        """Take a system attribute, such as a constraint, to be written with the parameters, if that is to come."""
        return self._take(self._notes, key, value)

    def _take(self, where: dict[str, Any], key: str, value: Any) -> bool:  # noqa: ANN401
        if not self.confirmed:
            where[key] = value
        return not self.confirmed

    def after_trial(self, state: TrialState, values: Sequence[float] | None) -> None:
        """Tell the sampler how the trial is about to end."""
        if self._sampling is None:
            self._sampling = _Sampling(self._storage, self._study, self._claim, self._make_sampler(), self._notes)
        self._sampling.after_trial(state, values)
        self._write([])

    def _is_drawn(self) -> bool:
        """Return whether any parameter could have been another."""
        return any(name not in self._claim.params and not one.single() for name, one in self._distributions.items())

    def _write(self, names: Sequence[str], *, unless_repeated: bool = False) -> bool:
        if not names and not self._notes and not self._attributes:
            return True
        params = {
            name: (
                self._distributions[name].to_internal_repr(self._params[name]),
                distribution_to_json(self._distributions[name]),
            )
            for name in names
        }
        digest = None if self.confirmed else _digest(self._params)
        draw = Draw(params, dict(self._notes), dict(self._attributes), digest)
        written = self._storage.record_draw(
            self._claim.trial_id, self._worker_id, draw, unless_repeated=unless_repeated
        )
        if written:
            self._notes.clear()
            self._attributes.clear()
        return written

    def _untried(self) -> Mapping[str, Param]:
        """Return parameters like those just drawn that no configuration has; none where there is no end of values."""
        if any(
            isinstance(one, FloatDistribution) and one.step is None and not one.single()
            for one in self._distributions.values()
        ):
            return {}
        space = {
            name: CategoricalDistribution([self._params[name]]) if name in self._claim.params else distribution
            for name, distribution in self._distributions.items()
        }
        trials = self._storage.trials(self._study.study_id)
        seen = [one.params for one in trials if one.attempt.configuration != self._claim.configuration]
        try:
            cell = unseen(space, seen, seed=self._claim.configuration)
        except SpecError:
            # So many values of one parameter that nobody lists them: drawn at random they hardly repeat.
            return {}
        recorded = self._study.space
        if cell is None and DYNAMIC not in recorded.values() and recorded.keys() == space.keys():
            raise self._exhausted()
        return cell or {}

    def _exhausted(self) -> SpaceExhaustedError:
        return SpaceExhaustedError(
            f"every draw of configuration {self._claim.configuration} had the parameters of another one"
        )


class _Sampling:
    """A sampler at work on one trial, by Optuna's public interface of samplers."""

    def __init__(
        self,
        storage: LedgerStorage,
        study: StudyRecord,
        claim: Claim,
        sampler: BaseSampler,
        notes: dict[str, Any],
    ) -> None:
        self._sampler = sampler
        self._theirs = theirs = storage.optuna_storage()
        # A first attempt has nothing but its number, which need not be read.
        is_fresh = claim.attempt == 0 and not claim.params
        self._trial = _fresh_trial(claim) if is_fresh else copy.deepcopy(theirs.get_trial(claim.trial_id))
        optuna_storage = cast(BaseStorage, _Notebook(theirs, self._trial, notes, reads_once=study.kind != "objective"))
        # Pruning is this service's own; Optuna's Hyperband would also split the sampler's history.
        pruner = optuna.pruners.NopPruner()
        self._study = optuna.study.Study(study.name, optuna_storage, sampler=sampler, pruner=pruner)
        self._relative: Mapping[str, Param] | None = None
        sampler.before_trial(self._study, self._trial)

    def draw(
        self,
        name: str,
        distribution: BaseDistribution,
        params: Mapping[str, Param],
        distributions: Mapping[str, BaseDistribution],
    ) -> Param:
        """Return a value for a parameter, those that the trial has already being these."""
        if self._relative is None:
            space = self._sampler.infer_relative_search_space(self._study, self._trial)
            self._relative = self._sampler.sample_relative(self._study, self._trial, space)
        if name in self._relative and contains(distribution, as_in_a_grid(distribution, self._relative[name])):
            return self._relative[name]
        self._trial.params = dict(params)
        self._trial.distributions = dict(distributions)
        return cast(Param, self._sampler.sample_independent(self._study, self._trial, name, distribution))

    def after_trial(self, state: TrialState, values: Sequence[float] | None) -> None:
        # As Optuna does, with all that is recorded of it by now.
        trial = copy.deepcopy(self._theirs.get_trial(self._trial._trial_id))
        if trial.state.is_finished():
            raise TrialLostError(f"trial {trial.number} has ended without this worker")
        self._sampler.after_trial(self._study, trial, state, values)


def _fresh_trial(claim: Claim) -> FrozenTrial:
    began = datetime.datetime.fromtimestamp(claim.claimed_at, tz=datetime.UTC).replace(tzinfo=None)
    return FrozenTrial(
        number=claim.number,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=began,
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
        trial_id=claim.trial_id,
    )


class _Notebook:
    """Optuna's storage as a sampler sees it during one draw: what it notes of its trial is written with the draw.

    The other trials are read once, since a draw is over in a moment; a script, which trains while it asks, reads them
    with each question.
    """

    def __init__(self, storage: BaseStorage, trial: FrozenTrial, notes: dict[str, Any], *, reads_once: bool) -> None:
        self._storage = storage
        self._reads_once = reads_once
        self._trials: list[FrozenTrial] | None = None
        self._trial = trial
        self._notes = notes

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:  # noqa: ANN401 - as in Optuna
        if trial_id != self._trial._trial_id:
            self._storage.set_trial_system_attr(trial_id, key, value)
            return
        self._notes[key] = value
        self._trial.system_attrs[key] = value

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        if deepcopy or not self._reads_once:
            return self._storage.get_all_trials(study_id, deepcopy=deepcopy, states=states)
        if self._trials is None:
            self._trials = self._storage.get_all_trials(study_id, deepcopy=False)
        return [one for one in self._trials if states is None or one.state in states]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the storage has
        return getattr(self._storage, name)


def _only(distribution: BaseDistribution) -> float:
    assert isinstance(distribution, CategoricalDistribution | FloatDistribution | IntDistribution)  # noqa: S101
    return 0.0 if isinstance(distribution, CategoricalDistribution) else float(distribution.low)


def _digest(params: Mapping[str, Param]) -> str:
    """Return a digest that two configurations share if, and only if, they have the same parameters."""
    return hashlib.blake2b(json.dumps(params, sort_keys=True).encode(), digest_size=16).hexdigest()
