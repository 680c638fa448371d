"""Two studies side by side: what differs, and which is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tuner_service.domain.attempt import Attempt, settlements
from tuner_service.domain.code_change import code_changes
from tuner_service.domain.comparison import LEAST_RUNS, LEAST_TRIALS, Gain, gain_of_runs, gain_of_search
from tuner_service.domain.ending import epochs_trained
from tuner_service.domain.front import front
from tuner_service.domain.outcome import State
from tuner_service.domain.provenance import changed_packages
from tuner_service.domain.revision import what_changed
from tuner_service.domain.study import StudyRecord
from tuner_service.domain.trial import Trial
from tuner_service.errors import ArtifactError
from tuner_service.storage.artifacts import Artifacts, code_file
from tuner_service.storage.ledger_storage import LedgerStorage


@dataclass(frozen=True)
class Side:
    """One of the two."""

    study: StudyRecord
    settled: int
    best: Trial | None
    epochs: int  #: trained


@dataclass(frozen=True)
class Comparison:
    """Two studies; gains are those of the first over the second."""

    one: Side
    other: Side
    differences: Mapping[str, Sequence[str]]  #: by what differs, each in words: first -> second
    gains: Sequence[Gain]
    undecided: str  #: why nobody can say which is better; empty where it can be said

    @property
    def better(self) -> str | None:
        """The name of the better study, where that can be said: by the runs of the winners, or else by the search."""
        if self.undecided or not self.gains:
            return None
        gain = self.gains[0]
        return (self.one if gain.low > 0 else self.other).study.name


def compare(storage: LedgerStorage, name: str, other: str) -> Comparison:
    """Return how two studies of a storage differ, and which is better, as far as their trials can tell."""
    studies = storage.study(name), storage.study(other)
    attempts = [storage.attempts(study.study_id) for study in studies]
    one, two = (_side(storage, study, mine) for study, mine in zip(studies, attempts, strict=True))
    obstacle = _obstacle(*studies)
    gains = [] if obstacle else _gains(one, two, *attempts)
    return Comparison(one, two, _differences(*studies), gains, obstacle or _undecided(gains))


def _side(storage: LedgerStorage, study: StudyRecord, attempts: Sequence[Attempt]) -> Side:
    best = front(attempts, study.spec.directions)[:1]
    found = storage.trials(study.study_id, numbers=[best[0].number]) if best else []
    settled = _settled(study, attempts)
    return Side(study, len(settled), found[0] if found else None, epochs_trained(attempts))


def _settled(study: StudyRecord, attempts: Sequence[Attempt]) -> list[Attempt]:
    return list(settlements(attempts, study.spec.max_attempts).values())


def _gains(one: Side, two: Side, attempts: Sequence[Attempt], others: Sequence[Attempt]) -> list[Gain]:
    direction = one.study.spec.better
    runs, other_runs = ([] if side.best is None else [run.value for run in side.best.runs] for side in (one, two))
    values, other_values = (
        [row.value if row.state is State.COMPLETE and row.feasible else None for row in _settled(side.study, mine)]
        for side, mine in ((one, attempts), (two, others))
    )
    found = [gain_of_runs(runs, other_runs, direction), gain_of_search(values, other_values, direction)]
    return [gain for gain in found if gain is not None]


def _obstacle(one: StudyRecord, two: StudyRecord) -> str:
    """Return why values of the studies cannot be compared at all; empty where they can be."""
    for study in (one, two):
        if len(study.spec.metrics) > 1:
            return f"{study.name} has several objectives, so that it has a front and no best value; see `tuner best`"
    if one.spec.metrics != two.spec.metrics or one.spec.directions != two.spec.directions:
        return f"{one.spec.metrics[0]} and {two.spec.metrics[0]} are not the same metric, or not the same way is better"
    if one.provenance.data != two.provenance.data:
        return "they were created with different data"
    if one.spec.seeded_folds != two.spec.seeded_folds:
        return "their values come from different folds of the data"
    return ""


def _undecided(gains: Sequence[Gain]) -> str:
    if not gains:
        return f"that needs {LEAST_TRIALS} settled trials of each, or {LEAST_RUNS} runs of each winner (executions)"
    if not gains[0].decided:
        return "the interval holds zero; more trials, or more executions of the winners, may tell"
    return ""


def _differences(one: StudyRecord, two: StudyRecord) -> dict[str, Sequence[str]]:
    mine, theirs = one.provenance, two.provenance
    found: dict[str, Sequence[str]] = {
        "specification": [line for line in what_changed(one.spec, two.spec) if not line.startswith("name ")],
        "search space": _changed(one.space, two.space),
        "code": _code_differences(one, two),
        "data": _changed({"digest": mine.data, **mine.parts}, {"digest": theirs.data, **theirs.parts}),
        "packages": [f"{name} {change}" for name, change in changed_packages(mine.packages, theirs.packages).items()],
        "surroundings": _changed(
            *(
                {"precision": record.precision, "platform": record.platform, "host": record.host, "git": record.commit}
                for record in (mine, theirs)
            )
        ),
    }
    return {what: lines for what, lines in found.items() if lines}


def _changed(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    return [
        f"{name}: {before.get(name)} -> {after.get(name)}"
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    ]


def _code_differences(one: StudyRecord, two: StudyRecord) -> list[str]:
    if one.code.digest == two.code.digest:
        return []
    try:
        # Each file by the name of the first: the studies' own files are called otherwise.
        mine, theirs = (
            Artifacts(study.artifacts, study.name).read_json(code_file(study.code.digest)) for study in (one, two)
        )
    except ArtifactError:
        return [f"digest {one.code.digest} -> {two.code.digest}; the text of one was not kept"]
    renamed = {one.code.file if file == two.code.file else file: text for file, text in theirs.items()}
    changes = [str(change) for change in code_changes(mine, renamed)]
    return changes or [f"digest {one.code.digest} -> {two.code.digest}, by the order of its definitions"]
