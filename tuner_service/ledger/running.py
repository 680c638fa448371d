"""An attempt that this worker has: what its training asks for, and how it ends."""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError

from tuner_service.domain.attempt import Attempt, best_attempt
from tuner_service.domain.direction import best_of
from tuner_service.domain.front import beats, kept
from tuner_service.domain.outcome import Outcome, Reason, State
from tuner_service.domain.pruner import RUNS_BRACKET, Wilcoxon, judged_before
from tuner_service.domain.sampler import CustomSampler
from tuner_service.domain.study import StudyRecord
from tuner_service.domain.worker import Progress
from tuner_service.errors import StorageError, StorageUnavailableError, TrialLostError
from tuner_service.ledger.drawing import Drawing
from tuner_service.ledger.history import Histories
from tuner_service.ledger.patience import Patience, patiently
from tuner_service.storage.ledger_storage import Claim, LedgerStorage
from tuner_service.storage.live import LiveEpoch, LiveMetrics
from tuner_service.storage.param import CONSTRAINT

_log = logging.getLogger(__name__)

#: Seconds from one writing of reported values to the next, where they come faster.
_REPORTS_S = 1.0

#: For a question that has an answer also where the storage is away.
_BRIEFLY = Patience(timeout_s=2.0)


class RunningAttempt:
    """A claimed trial. Each method waits for a storage that is away, and may be repeated.

    Every method raises ``TrialLostError`` once the trial belongs to somebody else.
    """

    def __init__(
        self,
        storage: LedgerStorage,
        study: StudyRecord,
        claim: Claim,
        worker_id: str,
        patience: Patience = patiently,
        histories: Histories | None = None,
        live: LiveMetrics | None = None,
    ) -> None:
        self._storage = storage
        self._study = study
        self.claim = claim
        self._worker_id = worker_id
        self._patiently = patience
        self._histories = histories or Histories(storage)
        self._live = live
        self.bracket = study.spec.pruner.bracket_of(claim.configuration, study.spec.max_epochs, study.spec.seed)
        self.rungs = study.spec.pruner.rungs(self.bracket, study.spec.max_epochs)
        self.progress_now = Progress(claim.trial_id, 0, None)
        self._judged: set[int] = set()
        self._reported: set[int] = set()
        self._unwritten: dict[int, float] = {}
        self._wrote_at = time.monotonic()
        self._drawing = Drawing(storage, study, claim, worker_id, self._histories.tpe_memory(study))
        self._violated = False
        self._keeps_model = False

    def suggest(self, name: str, distribution: BaseDistribution) -> Any:  # noqa: ANN401 - any parameter
        """Return a parameter: given with the row, drawn before, or drawn now."""
        return self._through_optuna(lambda: self._drawing.suggest(name, distribution))

    def drawn(self, *, repeats: bool = False) -> bool:
        """Write the parameters so far, and return whether they are the attempt's; if not, they are drawn again.

        Unless ``repeats`` they are not where another configuration has the same.
        """
        confirmed = bool(self._through_optuna(lambda: self._drawing.confirm(repeats=repeats)))
        if not confirmed:
            # What the study's code said was of parameters that are another's.
            self._violated = False
        return confirmed

    def report(self, step: int, epoch: int, value: float) -> None:
        """Record a value for Optuna's pages and samplers, under the step that the study's code counts.

        Values that come soon after each other are written together, a second later, or before the trial ends.
        With several objectives Optuna refuses reports, and its samplers fail where there are some; with a measured one
        they would compare it with what was reported: then it hears none.
        """
        self.progress(epoch, value)
        if self._watches_the_objective and step not in self._reported:
            self._reported.add(step)
            self._unwritten[step] = value
            if time.monotonic() - self._wrote_at >= _REPORTS_S:
                self._write_reports()

    def _write_reports(self) -> None:
        if self._unwritten:
            values = dict(self._unwritten)
            self._patiently(lambda: self._storage.record_reports(self.claim.trial_id, self._worker_id, values))
            self._unwritten.clear()
        self._wrote_at = time.monotonic()

    def progress(self, epoch: int, value: float, run: int = 0, metrics: Mapping[str, float] | None = None) -> None:
        """Note where training stands, in epochs over all runs; the next beat carries it.

        All ``metrics`` of the epoch go to whoever watches live; without them the value does.
        """
        is_news = (epoch, run) != (self.progress_now.epoch, self.progress_now.run)
        self.progress_now = dataclasses.replace(self.progress_now, epoch=epoch, value=value, run=run)
        if self._live is not None and is_news:
            shown = metrics or {self._study.spec.watched: value}
            self._live.publish(self._study.probe, LiveEpoch(self.claim.number, epoch, run, shown))

    def resumed(self, epochs: int, run: int = 0) -> None:
        """Note how many epochs an earlier attempt had trained, and in which run it was."""
        self.progress_now = dataclasses.replace(self.progress_now, epoch=epochs, resumed_from=epochs, run=run)

    def saved(self, epochs: int) -> None:
        """Note after how many epochs the training was saved where others find it."""
        self.progress_now = dataclasses.replace(self.progress_now, checkpoint=epochs)

    def predecessors(self) -> list[Attempt]:
        """Return the earlier attempts of the configuration, the last one first."""
        earlier = [one for one in self._attempts() if one.configuration == self.claim.configuration]
        earlier = [one for one in earlier if one.attempt < self.claim.attempt and one.owner is not None]
        return sorted(earlier, key=lambda one: one.attempt, reverse=True)

    def should_prune(self, epoch: int, value: float, curve: Sequence[float]) -> bool:
        """Return whether to stop after this epoch, the configuration's value there and its curve so far being these.

        A report between two rungs is judged at the highest rung that it has passed, once.
        """
        spec = self._study.spec
        passed = [rung for rung in self.rungs if rung <= epoch and rung not in self._judged]
        if not passed or epoch >= spec.max_epochs:
            return False
        self._judged.update(passed)
        if not math.isfinite(value):
            return True
        better = spec.direction_of(spec.judged)
        if self._study.kind == "objective":
            # A script says its latest value; what counts is its best, as of a network.
            best = best_of(filter(math.isfinite, curve), better)
            value = value if best is None else best
        if not spec.pruner.compares:
            return spec.pruner.should_prune(value, (), curve, better)
        recorded = self._record_rung(self.bracket, passed[-1], value)
        others = judged_before(recorded, self.claim.configuration)
        return spec.pruner.should_prune(recorded[self.claim.configuration], others, curve, better)

    def should_stop_after(self, values: Sequence[float]) -> bool:
        """Return whether to train no further run, the finished ones having had these values, in their order."""
        spec, mine = self._study.spec, self.claim.configuration
        if not isinstance(spec.pruner, Wilcoxon):
            return False
        recorded = [self._record_rung(RUNS_BRACKET, run, value) for run, value in enumerate(values)]
        if len(values) >= spec.runs:
            return False
        best = best_attempt(self._attempts(), spec.better)
        if best is None or best.value is None or best.configuration == mine:
            return False
        pairs = [(one[mine], one[best.configuration]) for one in recorded if best.configuration in one]
        return spec.pruner.should_stop(pairs, best.value, spec.direction_of(spec.watched))

    def _record_rung(self, bracket: int, epoch: int, value: float) -> Mapping[int, float]:
        """Record a value of the configuration unless it has one there, and return those of all, by configuration."""
        return self._patiently(
            lambda: self._storage.record_rung(
                self._study.study_id,
                bracket=bracket,
                epoch=epoch,
                configuration=self.claim.configuration,
                value=value,
            )
        )

    def set_user_attr(self, key: str, value: Any) -> None:  # noqa: ANN401 - any JSON value
        """Record an attribute of the study's code."""
        if not self._drawing.set_attribute(key, value):
            self._through_optuna(lambda: self._optuna_storage.set_trial_user_attr(self.claim.trial_id, key, value))

    def set_constraint(self, key: str, value: float) -> None:
        """Record a constraint, satisfied at zero or below."""
        note = f"{CONSTRAINT}{key}"
        self._violated |= value > 0
        if not self._drawing.set_note(note, value):
            self._through_optuna(lambda: self._optuna_storage.set_trial_system_attr(self.claim.trial_id, note, value))

    def keep_model(self, values: Sequence[float]) -> bool:
        """Return whether a model of these values is worth keeping: few enough of the study beat it so far.

        It is where the storage does not say so soon: the child waits for nothing else, and a training that has ended
        has no checkpoint to go on from. A model that was not worth it is among those ``displaced`` later.
        """
        try:
            self._keeps_model = _BRIEFLY(lambda: self._is_worth_keeping(tuple(values)))
        except StorageUnavailableError:
            self._keeps_model = True
        return self._keeps_model

    def _is_worth_keeping(self, values: tuple[float, ...]) -> bool:
        spec = self._study.spec
        with self._histories.current(self._study) as history:
            if not history.is_beaten(values, feasible=not self._violated):
                return True
            if spec.keep_models == 1:
                return False
            rivals = [one for one in history.attempts if one.state is State.COMPLETE]
        better = sum(beats(one, values, spec.directions, feasible=not self._violated) for one in rivals)
        return better < spec.keep_models

    def displaced(self) -> list[Attempt]:
        """Return the attempts whose models need not be kept any more, now that this one's is."""
        if not self._keeps_model:
            return []
        attempts, spec = self._attempts(), self._study.spec
        mine = [one for one in attempts if one.trial_id == self.claim.trial_id]
        before = kept((one for one in attempts if one not in mine), spec.directions, spec.keep_models)
        now = kept(attempts, spec.directions, spec.keep_models)
        return [one for one in (*before, *mine) if one not in now]

    def _attempts(self) -> list[Attempt]:
        """Return the attempts of the study; of those that have ended only what this process has not read before."""

        def current() -> list[Attempt]:
            with self._histories.current(self._study) as history:
                return history.attempts

        return self._patiently(current)

    def concluded(self, outcome: Outcome) -> Outcome:
        """Return an outcome as it is to be recorded, by whoever does: running out of memory twice is more than once."""
        if outcome.reason is Reason.OOM and self.ran_out_of_memory_before:
            outcome = dataclasses.replace(outcome, reason=Reason.INFEASIBLE)
        if outcome.state is not State.COMPLETE and not self._watches_the_objective:
            # The last value of what was watched is no value of the trial.
            outcome = dataclasses.replace(outcome, value=None, others=())
        return outcome

    def settle(self, outcome: Outcome) -> Outcome:
        """Record how it ended, and return what was recorded."""
        outcome = self.concluded(outcome)
        self._write_reports()
        if outcome.reason is not Reason.EXHAUSTED:
            # Parameters with which the study's code fails are shown even where they are another's, too.
            self._through_optuna(lambda: self._drawing.keep(repeats=outcome.reason is Reason.ERROR))
            if isinstance(self._study.spec.sampler, CustomSampler):
                self._through_optuna(lambda: self._after_trial(outcome))
        self._patiently(lambda: self._storage.settle(self.claim.trial_id, self._worker_id, outcome))
        return outcome

    @functools.cached_property
    def ran_out_of_memory_before(self) -> bool:
        """Whether an earlier attempt of the configuration did: then this one is to be alone on its device."""
        return self.claim.attempt > 0 and any(one.reason is Reason.OOM for one in self.predecessors())

    @property
    def _watches_the_objective(self) -> bool:
        """Whether what is reported of an epoch is the study's objective, so that Optuna is to hear it."""
        return self._study.spec.metrics == (self._study.spec.watched,)

    def _after_trial(self, outcome: Outcome) -> None:
        try:
            self._drawing.after_trial(optuna.trial.TrialState[outcome.state], list(outcome.values) or None)
        except (StorageError, StorageInternalError, TrialLostError):
            raise
        except Exception:
            # What the training came to is not lost for it.
            _log.exception("%s.after_trial failed", self._study.spec.sampler)

    @property
    def _optuna_storage(self) -> optuna.storages.BaseStorage:
        return self._storage.optuna_storage()

    def _through_optuna(self, call: Any) -> Any:  # noqa: ANN401 - any call
        def translated() -> Any:  # noqa: ANN401
            try:
                return call()
            except UpdateFinishedTrialError:
                raise TrialLostError(f"trial {self.claim.number} has ended without this worker") from None
            except StorageInternalError as error:
                cause = str(error.__cause__ or error).strip().splitlines()[0]
                raise StorageUnavailableError(f"the storage cannot be used: {cause}") from error

        return self._patiently(translated)
