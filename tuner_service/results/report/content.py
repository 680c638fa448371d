"""What a report says, in numbers: worked out from one reading of a study's rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tuner_service.domain.companion import companion_name, is_companion
from tuner_service.domain.direction import is_better
from tuner_service.domain.outcome import RULES, Failure, Reason, State
from tuner_service.domain.study import StudyRecord
from tuner_service.domain.trial import Trial
from tuner_service.domain.worker import WorkerInfo
from tuner_service.errors import StudyNotFoundError
from tuner_service.results.report.comparison import GroupComparison, compare_groups
from tuner_service.results.report.importance import Importances, importances_of
from tuner_service.results.report.use import Use, use_of
from tuner_service.results.summary import Summary, summary_of
from tuner_service.results.trials import Curve, curves_for_looking
from tuner_service.storage.ledger_storage import LedgerStorage


@dataclass(frozen=True)
class Cause:
    """Trials that failed with the same error."""

    reason: Reason
    error: str  #: type and first line of the message
    trials: Sequence[int]  #: their numbers
    failure: Failure | None  #: of the first of them

    @property
    def meaning(self) -> str:
        """What the reason means, in words."""
        return RULES[self.reason].meaning


@dataclass(frozen=True)
class Content:
    """Everything that a report shows."""

    summary: Summary
    trials: Sequence[Trial]  #: by number, without waiting rows
    front: Sequence[Trial]  #: the best trial; of several objectives, those that no other dominates
    improvements: Sequence[Trial]  #: each was the best by the first objective when it ended, in that order
    importances: Sequence[Importances]  #: for each objective; none of fewer than two complete trials
    comparison: GroupComparison
    companion: str | None  #: name of the study whose trials stand beside its own there
    use: Use
    causes: Sequence[Cause]
    best_curves: Sequence[Curve]  #: every metric of every epoch of the best trial, run by run

    @property
    def study(self) -> StudyRecord:
        """The study's record."""
        return self.summary.study

    @property
    def best(self) -> Trial | None:
        """The best trial, by the first objective."""
        return next(iter(self.front), None)

    @property
    def params(self) -> list[str]:
        """The parameters' names, the most important first."""
        ranked = [*self.importances[0].among_best] if self.importances else []
        return list(dict.fromkeys([*ranked, *(name for one in self.trials for name in one.params)]))

    @property
    def complete(self) -> list[Trial]:
        """The complete trials."""
        return [one for one in self.trials if one.attempt.state is State.COMPLETE and one.attempt.value is not None]

    def best_first(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return trials by the first objective, the best first; those that violate a constraint after all others."""
        sign = -1 if self.study.spec.better == "maximize" else 1
        return sorted(trials, key=lambda one: (not one.attempt.feasible, sign * (one.attempt.value or 0.0)))


def read_content(storage: LedgerStorage, name: str) -> Content:
    """Return what there is to say of a study; raises ``StudyNotFoundError`` where there is none."""
    study = storage.study(name)
    trials = storage.trials(study.study_id, curves=True)
    companion = _companion(storage, study)
    return content_of(study, trials, storage.workers(study.study_id), storage.now(), companion)


def content_of(
    study: StudyRecord,
    trials: Sequence[Trial],
    workers: Sequence[WorkerInfo],
    now: float,
    companion: Sequence[Trial] = (),
) -> Content:
    """Return what rows read at this time say of a study, and of its companion's trials."""
    summary = summary_of(study, [one.attempt for one in trials], workers, now)
    started = [one for one in trials if one.started_at is not None]
    by_number: Mapping[int, Trial] = {one.attempt.number: one for one in started}
    front = [by_number[one.number] for one in summary.front if one.number in by_number]
    return Content(
        summary=summary,
        trials=started,
        front=front,
        improvements=_improvements(study, started),
        importances=importances_of(study, started),
        comparison=compare_groups(study.spec, started, companion),
        companion=companion_name(study.name) if companion else None,
        use=use_of(started, workers, now),
        causes=_causes(started),
        best_curves=curves_for_looking(study, front[0].attempt.number) if front else [],
    )


def _companion(storage: LedgerStorage, study: StudyRecord) -> list[Trial]:
    """Return the trials of the study's companion; none where it has no such one."""
    try:
        companion = storage.study(companion_name(study.name))
    except StudyNotFoundError:
        return []
    if not is_companion(study, companion):
        return []
    return [one for one in storage.trials(companion.study_id) if one.started_at is not None]


def _improvements(study: StudyRecord, trials: Sequence[Trial]) -> list[Trial]:
    ended = [one for one in trials if one.attempt.state is State.COMPLETE and one.attempt.value is not None]
    found: list[Trial] = []
    for one in sorted(ended, key=lambda one: (one.attempt.ended_at or 0.0, one.attempt.number)):
        than = found[-1].attempt.value if found else None
        value = one.attempt.value
        if one.attempt.feasible and value is not None and is_better(value, than, study.spec.better):
            found.append(one)
    return found


def _causes(trials: Sequence[Trial]) -> list[Cause]:
    grouped: dict[tuple[Reason, str], list[Trial]] = {}
    for one in trials:
        reason = one.attempt.reason
        if reason is not None and reason not in (Reason.FINISHED, Reason.PRUNED, Reason.WITHDRAWN):
            error = one.attempt.error or ("" if one.failure is None else one.failure.fingerprint)
            grouped.setdefault((reason, error), []).append(one)
    causes = [
        Cause(reason, error, [one.attempt.number for one in mine], next((o.failure for o in mine if o.failure), None))
        for (reason, error), mine in grouped.items()
    ]
    return sorted(causes, key=lambda cause: -len(cause.trials))
