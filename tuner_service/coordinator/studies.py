"""Making a study of a study file, or continuing the one that is there."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from tuner_service.coordinator.control import check_may_go_on
from tuner_service.coordinator.points import points_of
from tuner_service.domain.attempt import Param
from tuner_service.domain.code import Code
from tuner_service.domain.engine import Backend
from tuner_service.domain.override import override
from tuner_service.domain.plural import count
from tuner_service.domain.revision import differences, revised, what_changed
from tuner_service.domain.sampler import is_exhaustive
from tuner_service.domain.spec import parse_spec
from tuner_service.domain.study import CodeRecord, NewStudy, StudyRecord
from tuner_service.errors import (
    ArtifactError,
    CodeChangedError,
    SchemaError,
    SchemaVersionError,
    SpecError,
    StudyExistsError,
    StudyNotFoundError,
)
from tuner_service.ledger.reconcile import reconcile
from tuner_service.search.space import merge
from tuner_service.storage.artifacts import Artifacts, code_file
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.training import isolated
from tuner_service.training.inspection import Inspection, inspect
from tuner_service.training.study_file import read_code

DEFAULT_ARTIFACTS = "tuner-artifacts"


@dataclass(frozen=True)
class Created:
    """A study that is ready for workers, and what was done to make it so."""

    study: StudyRecord
    note: str  #: in words: created, continued, extended
    defaults: Mapping[str, Param] | None = None  #: of its parameters, where its code says


def create(
    storage: LedgerStorage,
    path: Path,
    *,
    changes: Sequence[Mapping[str, object]] = (),
    artifacts: str | None = None,
    accept_code: bool = False,
    command: str = "",
) -> Created:
    """Make a study of a study file, or continue the study of that name; its first rows wait then.

    Args:
        storage: Where it is recorded; tables are made where they are missing.
        path: The study file. Its code runs in a child process only.
        changes: Fields that replace those of its specification, later ones last.
        artifacts: A folder or fsspec URL for curves and models; ``./tuner-artifacts`` without one.
        accept_code: Let a study go on with code that has changed since it was created.
        command: What the user typed, without secrets, to be recorded.

    Raises:
        SpecError: If the specification is not valid.
        StudyFileError: If the file cannot be used.
        StudyExistsError: If the study of that name means something else; nothing is changed.
        CodeChangedError: If the study of that name was created with other code; nothing is changed.
    """
    code = read_code(path)
    # Before Keras is imported: a storage that cannot be reached is told at once.
    there = has_tables(storage)
    inspection = isolated.call(inspect, path.resolve(), list(changes), backend=asked_backend(changes))
    if not there:
        storage.create_tables()
    created = _continue(storage, code, inspection, accept_code=accept_code)
    if created is None:
        inspection = replace(inspection, provenance=replace(inspection.provenance, command=command))
        created = _create(storage, code, inspection, artifacts or DEFAULT_ARTIFACTS)
    return Created(reconcile(storage, created.study.name), created.note, inspection.defaults)


def asked_backend(changes: Sequence[Mapping[str, object]]) -> Backend | None:
    """Return what the changes of a specification want Keras to compute with, if they say so."""
    asked = [one["backend"] for one in changes if "backend" in one]
    # Anything else is refused with the other fields.
    return next((one for one in get_args(Backend) if asked and one == asked[-1]), None)


def extend(
    storage: LedgerStorage, name: str, trials: int | None = None, *, changes: Mapping[str, object] | None = None
) -> StudyRecord:
    """Enlarge a study's budget to this many configurations, or change what may change; if it had ended it goes on.

    What may change are ``stop``, ``limits``, ``max_repeated_errors`` and ``keep_models``.

    Args:
        storage: Where the study is.
        name: Its name.
        trials: The new budget.
        changes: Fields of the specification that may change, such as ``{"stop": {"hours": 12}}``.

    Raises:
        SpecError: If nothing is to change, or a field is not valid.
        StudyExistsError: If the budget is as large already, the cells of a grid are fewer, or a change would change
            what the study's trials mean.
        StoppedByRuleError: If a stopping rule would end it again at once.
    """
    study = storage.study(name)
    spec = parse_spec(override(study.spec.model_dump(), changes or {}))
    if trials is None and spec.trials != study.spec.trials:
        trials = spec.trials
    changed = differences(study.spec, spec)
    if changed:
        raise _refusal(name, changed)
    if trials is None and spec == study.spec:
        raise SpecError(
            f"say what to enlarge: tuner extend {name} --trials {study.budget * 2}, or --set stop.hours=..."
        )
    if trials is not None and trials <= study.budget:
        raise StudyExistsError(
            f"study {name!r} has a budget of {count(study.budget, 'trial')}; --trials must be larger to extend it, got "
            f"{trials}"
        )
    if is_exhaustive(study.spec.sampler) and trials is not None and trials > study.points:
        raise StudyExistsError(
            f"study {name!r} tries each of the {study.points} cells of its search space once, so that there are no "
            f"{trials} trials; for repeats or a larger space create another study"
        )
    spec = revised(study.spec, spec)
    check_may_go_on(storage, replace(study, spec=spec))
    if spec != study.spec:
        storage.revise_study(study.study_id, spec)
    if trials is not None:
        storage.extend_study(study.study_id, trials)
    return reconcile(storage, name)


def _create(storage: LedgerStorage, code: Code, inspection: Inspection, artifacts: str) -> Created:
    spec = inspection.spec
    if "://" not in artifacts:
        artifacts = str(Path(artifacts).expanduser().resolve())
    probe = secrets.token_hex(16)
    space: dict[str, str] = {}
    for drawn in inspection.draws:
        space = merge(space, drawn)
    points = points_of(storage, inspection, space)
    kept = Artifacts(artifacts, spec.name)
    if kept.names("trials"):
        raise ArtifactError(
            f"{artifacts}/{spec.name} holds the curves and models of another study of this name, whose storage is "
            "another one or gone; remove them, or keep this study's elsewhere with --artifacts"
        )
    # The files first: a study that is recorded is one whose artifacts can be written.
    kept.leave_probe(probe)
    _keep_sources(kept, code)
    budget = spec.trials or len(points)
    new = NewStudy(
        spec,
        CodeRecord(code.file, code.digest),
        inspection.kind,
        artifacts,
        probe,
        space,
        inspection.provenance,
        budget=budget if inspection.cells is None else min(budget, len(points)),
        points=points,
    )
    return Created(storage.create_study(new), _note(inspection, new))


def _keep_sources(kept: Artifacts, code: Code) -> None:
    """Keep the text of a study's code, for people and to say later what changed; nothing runs it from there."""
    kept.put_text(json.dumps(dict(code.sources)), code_file(code.digest))


def _note(inspection: Inspection, new: NewStudy) -> str:
    said = [f"{count(len(new.space), 'parameter')} found"] if new.space else []
    if inspection.cells is None:
        said += [f"{count(len(new.points), 'point')} to try first"] if new.points else []
    else:
        cells, asked = len(new.points), inspection.spec.trials
        said.append(count(cells, "cell"))
        if asked is not None and asked > cells:
            said[-1] += f", fewer than trials={asked}"
        elif asked is not None and asked < cells:
            said[-1] += f", {asked} of them tried"
    return ", ".join(["created", *said])


def _continue(storage: LedgerStorage, code: Code, inspection: Inspection, *, accept_code: bool) -> Created | None:
    spec = inspection.spec
    try:
        study = storage.study(spec.name)
    except StudyNotFoundError:
        return None
    changed = differences(study.spec, spec)
    if changed:
        raise _refusal(spec.name, changed)
    trials = study.budget if spec.trials is None else spec.trials
    if is_exhaustive(spec.sampler):
        trials = min(trials, study.points)
    if trials < study.budget and spec.trials != study.spec.trials:
        raise StudyExistsError(
            f"study {spec.name!r} has a budget of {study.budget} trials, which cannot shrink to {spec.trials}; "
            "use `tuner stop` to end it early"
        )
    note = "continued"
    if code.digest != study.code.digest:
        if not accept_code:
            raise CodeChangedError(
                f"the code of {code.file} has changed since study {spec.name!r} was created (digest "
                f"{study.code.digest}, now {code.digest}), so that its trials would not be comparable. Undo the "
                "change, create a study of another name, or let it go on with --accept-code"
            )
        _keep_sources(Artifacts(study.artifacts, study.name), code)
        accepted = (*study.code.accepted, study.code.digest)
        storage.accept_code(study.study_id, CodeRecord(code.file, code.digest, accepted))
        note = "continued with other code"
    new = revised(study.spec, spec)
    if new != study.spec:
        storage.revise_study(study.study_id, new)
        note += f", {', '.join(what_changed(study.spec, new))}"
    if trials > study.budget:
        storage.extend_study(study.study_id, trials)
        note += f", extended from {study.budget} to {trials} trials"
    elif study.ending is not None and new == study.spec:
        note = f"already {study.ending}"
    return Created(study, note)


def _refusal(name: str, changed: Sequence[str]) -> StudyExistsError:
    return StudyExistsError(
        f"study {name!r} exists, and another specification would change what its trials mean: {'; '.join(changed)}. "
        "Undo the change, or create a study of another name"
    )


def has_tables(storage: LedgerStorage) -> bool:
    """Return whether the tables are there; those of another version raise ``SchemaVersionError``."""
    try:
        storage.check_tables()
    except SchemaVersionError:
        raise
    except SchemaError:
        return False
    return True
