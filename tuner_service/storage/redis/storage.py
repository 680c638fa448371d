"""The ledger's storage on Redis."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from tuner_service.domain.attempt import Attempt, NewAttempt
from tuner_service.domain.ending import may_start
from tuner_service.domain.outcome import RULES, Failure, Outcome, Reason
from tuner_service.domain.score import Score, Scored
from tuner_service.domain.study import Control, StudyRecord
from tuner_service.domain.trial import Trial
from tuner_service.errors import CodeChangedError, TrialLostError
from tuner_service.storage.ledger_storage import Claim, Draw, Rows
from tuner_service.storage.param import CONSTRAINT, check_compatible
from tuner_service.storage.redis import rows
from tuner_service.storage.redis.journal import unavailable
from tuner_service.storage.redis.studies import NAMES, points_key, study_key
from tuner_service.storage.redis.workers import (
    RedisWorkers,
    lease_key,
    progress_key,
    seen_key,
    workers_key,
)

#: Longest time of a claim where claims take turns; whoever dies in one holds the others up for so long.
_CLAIMING_S = 30.0
#: Whose the lease of a trial is while it is failed, and for how long at most, in seconds: then somebody tries again.
_EXPIRING, _EXPIRING_S = "(expiring)", 30.0


def _scores_key(study_id: int) -> str:
    return f"tuner:scores:{study_id}"


def draws_key(study_id: int) -> str:
    """Return the key of the hash that says which configuration has which parameters, by their digest."""
    return f"tuner:draws:{study_id}"


def notices_key(study_id: int) -> str:
    """Return the key of the set of what users were told of a study."""
    return f"tuner:notices:{study_id}"


class RedisLedgerStorage(RedisWorkers):
    """See ``LedgerStorage``. A state changes by one entry of the journal; what is said about it comes before."""

    def delete_study(self, study_id: int) -> None:
        trials = self._trials(study_id)
        # First, and at once: what is left, should this be interrupted, keeps nobody from creating a study of the name.
        self.optuna_storage().delete_study(study_id)
        with unavailable(self._url):
            text = cast(bytes | None, self._client.get(study_key(study_id)))
            if text is not None:
                self._client.hdel(NAMES, rows.study_from_json(text).name)
            rungs = list(self._client.scan_iter(f"tuner:rung:{study_id}:*", count=1000))
            leases = [lease_key(one._trial_id) for one in trials]
            others = [seen_key(study_id), f"tuner:turn:{study_id}", points_key(study_id), draws_key(study_id)]
            others += [_scores_key(study_id), notices_key(study_id)]
            keys = [study_key(study_id), progress_key(study_id), workers_key(study_id), *others, *rungs, *leases]
            self._client.delete(*keys)

    def look(self, name: str) -> Rows:
        study = self.study(name)
        return Rows(study, self.attempts(study.study_id), self.workers(study.study_id), self.now())

    def attempts(self, study_id: int, *, after: int = -1, among: Collection[int] = ()) -> list[Attempt]:
        known = frozenset(among)
        wanted = [one for one in self._rows(study_id) if one._trial_id > after or one._trial_id in known]
        return self._attempts(study_id, wanted)

    def insert_attempts(self, study_id: int, new: Sequence[NewAttempt]) -> int:
        inserted = 0
        by_id = {one._trial_id: one for one in self._trials(study_id)} if new else {}
        there = rows.first_rows(list(by_id.values()))
        for one in new:
            if (one.configuration, one.attempt) in there:
                continue
            try:
                row = self._waiting_trial(study_id, one, None if one.params_of is None else by_id[one.params_of])
                trial_id = self.optuna_storage().create_new_trial(study_id, row)
            except KeyError:
                # The study was deleted in the meantime.
                return 0
            first = rows.first_rows(self._trials(study_id))
            if first[one.configuration, one.attempt] == trial_id:
                inserted += 1
            else:
                # Another reconciler was faster; its row stands before this one in everybody's journal.
                self.withdraw([trial_id])
        return inserted

    def _waiting_trial(self, study_id: int, new: NewAttempt, before: FrozenTrial | None) -> FrozenTrial:
        if before is not None:
            return rows.waiting_trial(study_id, new, rows.given_params(before), rows.sampler_notes(before), "")
        point = self._point(study_id, new.configuration) if new.attempt == 0 and not new.params else None
        if point is not None:
            return rows.waiting_trial(study_id, new, point.params, {}, point.source)
        return rows.waiting_trial(study_id, new, new.params, {}, "")

    def claim(self, study_id: int, worker_id: str, *, lease_s: float, code: str) -> Claim | None:
        with unavailable(self._url):
            text = cast(bytes | None, self._client.get(study_key(study_id)))
        study = None if text is None else rows.study_from_json(text)
        if study is None or study.control is not Control.RUN or study.ending is not None:
            return None
        if study.code.digest != code:
            raise CodeChangedError.for_worker(study.name, study.code.digest, code)
        if study.spec.stop.epochs is None:
            return self._claim(study, worker_id, lease_s, code)
        with unavailable(self._url), self._client.lock(f"tuner:claiming:{study_id}", timeout=_CLAIMING_S):
            # One claim at a time: two must not both take the last epochs.
            return self._claim(study, worker_id, lease_s, code)

    def _claim(self, study: StudyRecord, worker_id: str, lease_s: float, code: str) -> Claim | None:
        study_id = study.study_id
        if study.spec.stop.has_rules and not may_start(
            study.spec, self.attempts(study_id), now=self.now(), since=study.resumed_at
        ):
            return None
        trials = self._trials(study_id)
        first = rows.first_rows(trials)
        waiting = [one for one in trials if one.state is TrialState.WAITING and rows.is_ours(one)]
        for trial in sorted(waiting, key=lambda one: (rows.key_of(one)[1] == 0, rows.key_of(one))):
            if first[rows.key_of(trial)] != trial._trial_id:
                self.withdraw([trial._trial_id])
            elif self._take(trial, worker_id, lease_s):
                now = self.now()
                claim: dict[str, Any] = {"owner": worker_id, "claimed_at": now, "code": code}
                self.optuna_storage().set_trial_system_attr(trial._trial_id, rows.CLAIM, claim)
                configuration, attempt = rows.key_of(trial)
                params = rows.given_params(trial)
                return Claim(trial._trial_id, trial.number, configuration, attempt, now, params)
        return None

    def _take(self, trial: FrozenTrial, worker_id: str, lease_s: float) -> bool:
        """Set the lease, then the state: a row that runs without a lease would be judged at once."""
        with unavailable(self._url):
            key = lease_key(trial._trial_id)
            if not self._client.set(key, worker_id, nx=True, px=max(round(lease_s * 1000), 1)):
                return False
            try:
                if self.optuna_storage().set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                    return True
            except UpdateFinishedTrialError:
                pass
            self._client.delete(key)
        return False

    def record_draw(self, trial_id: int, worker_id: str, draw: Draw, *, unless_repeated: bool = False) -> bool:
        trial, storage = self._mine(trial_id, worker_id), self.optuna_storage()
        study_id = trial.system_attrs[rows.STUDY]
        configuration, _ = rows.key_of(trial)
        if draw.digest is not None:
            # Whose it is stays so even where this process dies before the parameters are written.
            with unavailable(self._url):
                self._client.hsetnx(draws_key(study_id), draw.digest, str(configuration))
                first = int(cast(bytes, self._client.hget(draws_key(study_id), draw.digest)))
            if unless_repeated and first != configuration:
                return False
        before = {
            name: distribution
            for one in self._trials(study_id)
            for name, distribution in one.distributions.items()
            if name in draw.params
        }
        try:
            for name, (value, text) in draw.params.items():
                distribution = json_to_distribution(text)
                if name in before and before[name] != distribution:
                    check_compatible(name, distribution_to_json(before[name]), text)
                if name not in trial.params:
                    storage.set_trial_param(trial_id, name, value, distribution)
            for key, note in draw.notes.items():
                storage.set_trial_system_attr(trial_id, key, note)
            for key, attribute in draw.attributes.items():
                storage.set_trial_user_attr(trial_id, key, attribute)
        except UpdateFinishedTrialError:
            raise TrialLostError(f"trial {trial.number} has ended without this worker") from None
        return True

    def record_reports(self, trial_id: int, worker_id: str, values: Mapping[int, float]) -> None:
        trial, storage = self._mine(trial_id, worker_id), self.optuna_storage()
        try:
            for step, value in values.items():
                storage.set_trial_intermediate_value(trial_id, step, value)
        except UpdateFinishedTrialError:
            raise TrialLostError(f"trial {trial.number} has ended without this worker") from None

    def record_rung(
        self, study_id: int, *, bracket: int, epoch: int, configuration: int, value: float
    ) -> Mapping[int, float]:
        key = f"tuner:rung:{study_id}:{bracket}:{epoch}"
        with unavailable(self._url):
            self._client.hsetnx(key, str(configuration), repr(value))
            there = cast(dict[bytes, bytes], self._client.hgetall(key))
        return {int(one): float(text) for one, text in there.items()}

    def settle(self, trial_id: int, worker_id: str, outcome: Outcome) -> None:
        trial = self._trial(trial_id)
        number = "(deleted)" if trial is None else trial.number
        owner = None if trial is None else trial.system_attrs.get(rows.CLAIM, {}).get("owner")
        if trial is not None and trial.state.is_finished() and owner == worker_id:
            said = trial.system_attrs.get(rows.OUTCOME, {}).get("reason")
            if said == outcome.reason and RULES[outcome.reason].state == trial.state.name:
                return
        if trial is None or owner != worker_id or not self._end(trial, outcome):
            raise TrialLostError(f"trial {number} is not {worker_id}'s any more")

    def expire(self, trial_id: int, reason: Reason) -> bool:
        trial = self._trial(trial_id)
        if trial is None or trial.state is not TrialState.RUNNING:
            return False
        judge_from, now = self._judge_from(trial.system_attrs[rows.STUDY])
        if now < judge_from:
            return False
        if not self._take_lease(trial_id, _EXPIRING, _EXPIRING_S):
            return False
        owner = trial.system_attrs.get(rows.CLAIM, {}).get("owner")
        return self._end(trial, Outcome(reason, failure=Failure.of_lost_worker(owner)))

    def withdraw(self, trial_ids: Collection[int]) -> int:
        withdrawn = 0
        for trial_id in trial_ids:
            trial = self._trial(trial_id)
            if trial is not None and trial.state is TrialState.WAITING:
                withdrawn += self._end(trial, Outcome(Reason.WITHDRAWN), waiting=True)
        return withdrawn

    def _end(self, trial: FrozenTrial, outcome: Outcome, *, waiting: bool = False) -> bool:
        if trial.state is not (TrialState.WAITING if waiting else TrialState.RUNNING):
            return False
        storage, trial_id = self.optuna_storage(), trial._trial_id
        try:
            for key, attribute in {"reason": str(outcome.reason), **outcome.attributes}.items():
                storage.set_trial_user_attr(trial_id, key, attribute)
            for name, amount in outcome.constraints.items():
                storage.set_trial_system_attr(trial_id, f"{CONSTRAINT}{name}", amount)
            storage.set_trial_system_attr(trial_id, rows.OUTCOME, rows.outcome_attribute(outcome, self.now()))
            storage.set_trial_state_values(trial_id, TrialState[outcome.state], list(outcome.values) or None)
        except (UpdateFinishedTrialError, KeyError):
            return False
        with unavailable(self._url):
            self._client.delete(lease_key(trial_id))
        return True

    def take_turn(self, study_id: int, period_s: float) -> bool:
        with unavailable(self._url):
            key = f"tuner:turn:{study_id}"
            return bool(self._client.set(key, 1, nx=True, px=max(round(period_s * 1000), 1)))

    def note_told(self, study_id: int, notice: str) -> bool:
        with unavailable(self._url):
            return bool(self._client.sadd(notices_key(study_id), notice))

    def record_score(self, study_id: int, score: Score) -> None:
        text = json.dumps(dataclasses.asdict(dataclasses.replace(score, at=self.now())))
        with unavailable(self._url):
            self._client.rpush(_scores_key(study_id), text)

    def scores(self, study_id: int) -> list[Score]:
        with unavailable(self._url):
            texts = cast(list[bytes], self._client.lrange(_scores_key(study_id), 0, -1))
        found = [json.loads(text) for text in texts]
        return [Score(**{**one, "model": Scored(one["model"])}) for one in found]

    def trials(self, study_id: int, *, numbers: Collection[int] | None = None, curves: bool = False) -> list[Trial]:
        ours = [one for one in self._rows(study_id) if numbers is None or one.number in numbers]
        attempts = self._attempts(study_id, ours)
        return [rows.to_trial(trial, one, curves=curves) for trial, one in zip(ours, attempts, strict=True)]

    def _mine(self, trial_id: int, worker_id: str) -> FrozenTrial:
        """Return a trial that runs and is this worker's, or raise ``TrialLostError``."""
        trial = self._trial(trial_id)
        owner = None if trial is None else trial.system_attrs.get(rows.CLAIM, {}).get("owner")
        if trial is None or owner != worker_id or trial.state is not TrialState.RUNNING:
            raise TrialLostError(
                f"trial {'(deleted)' if trial is None else trial.number} is not {worker_id}'s any more"
            )
        return trial

    def _trial(self, trial_id: int) -> FrozenTrial | None:
        storage = self.optuna_storage()
        try:
            trial = storage.get_trial(trial_id)
            # Optuna's journal goes on giving out the trials of a study that was deleted.
            storage.get_study_name_from_id(trial.system_attrs[rows.STUDY])
        except KeyError:
            return None
        return trial

    def _attempts(self, study_id: int, ours: Sequence[FrozenTrial]) -> list[Attempt]:
        running = [one for one in ours if one.state is TrialState.RUNNING]
        with unavailable(self._url):
            pipe = self._client.pipeline(transaction=False)
            pipe.time()
            pipe.hgetall(progress_key(study_id))
            for one in running:
                pipe.pttl(lease_key(one._trial_id))
            (seconds, microseconds), progress, *ttls = pipe.execute()
        now = seconds + microseconds / 1e6
        # A key that is gone says nothing of when it went: then the lease ran out at the beginning of time.
        leases = {one._trial_id: now + ttl / 1000 if ttl > 0 else 0.0 for one, ttl in zip(running, ttls, strict=True)}
        known = {int(key): json.loads(text) for key, text in progress.items()}
        return [rows.to_attempt(one, known.get(one._trial_id, {}), leases.get(one._trial_id)) for one in ours]
