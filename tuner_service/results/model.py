"""The best model in hand: loaded again in a fresh process and measured before it is called best."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuner_service.domain.seeds import hash_seed
from tuner_service.errors import ArtifactError, ModelError
from tuner_service.results.trials import Best, best
from tuner_service.storage.artifacts import Artifacts, trial_folder
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.training import isolated
from tuner_service.training.assignment import EVALUATION_FILE, MODEL_FILE
from tuner_service.training.evaluation import evaluate_model
from tuner_service.worker.supervisor import find_study_file

#: By how much a metric may differ when it is measured again: batches are summed in another order elsewhere.
_RELATIVE, _ABSOLUTE = 1e-3, 1e-4


@dataclass(frozen=True)
class ExportedModel:
    """A model file and what was measured with it."""

    best: Best
    path: Path  #: best.keras
    part: str  #: the part of the data that its value was measured on
    fold: int | None  #: of which fold that part is, from 0; None without folds
    metrics: Mapping[str, float]  #: on that part, now
    test: Mapping[str, float] | None  #: on the part that tuning never saw, where there is one


def export_model(
    storage: LedgerStorage, name: str, folder: Path, *, studies: Path, number: int | None = None
) -> ExportedModel:
    """Write ``best.keras`` and ``best.json`` into a folder, after measuring the model again in a fresh process.

    Args:
        storage: Where the study is.
        name: The study's name.
        folder: Made where it is missing; earlier files of these names are replaced once the new ones are whole.
        studies: Folder with the study file, whose data the model is measured on.
        number: The trial whose model it is; of one objective, the best without it.

    Raises:
        NotInStudyError: If there is no such trial, or it has to be chosen from a front.
        ModelError: If no model was kept, it cannot be loaded, or it does not do what was recorded.
    """
    found = best(storage, name, number)
    study, trial = found.study, found.trial
    artifacts = Artifacts(study.artifacts, study.name)
    kept = trial_folder(trial.attempt.number)
    if not found.has_model:
        why = (
            "an objective(trial) trains by itself; save the model there"
            if study.kind == "objective"
            else f"nothing is at {study.artifacts}/{study.name}/{kept}"
        )
        raise ModelError(f"no model of trial {trial.attempt.number} of {name!r} was kept: {why}")
    path, _ = find_study_file(study, studies)
    with tempfile.TemporaryDirectory(prefix="tuner-export-") as scratch:
        model = Path(scratch) / MODEL_FILE
        artifacts.get(f"{kept}/{MODEL_FILE}", model)
        recorded = artifacts.read_json(f"{kept}/{EVALUATION_FILE}")
        seed = hash_seed(study.spec.seed, trial.attempt.configuration, "training")
        part, fold = recorded["part"], recorded["fold"]
        how = (part, recorded["batch_size"], seed, study.spec.seeded_folds, fold)
        measured = isolated.call(evaluate_model, path.resolve(), model, *how, backend=study.spec.backend)
        _compare(found, recorded, measured.part)
        exported = ExportedModel(found, folder / "best.keras", part, fold, measured.part, measured.test)
        _write(exported, model)
    return exported


def _compare(found: Best, recorded: Mapping[str, Any], measured: Mapping[str, float]) -> None:
    expected, part = dict(recorded["metrics"]), recorded["part"]
    metric = found.study.spec.watched
    if part == "validation" and metric.startswith("val_") and metric.removeprefix("val_") in measured:
        # What the metric was in the epoch whose weights these are: of one run with its best epoch, the trial's value.
        expected[metric.removeprefix("val_")] = recorded["value"]
    wrong = [
        f"{name} was recorded as {value:.6g} and is now {measured.get(name, math.nan):.6g}"
        for name, value in expected.items()
        if not math.isclose(measured.get(name, math.nan), value, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
    ]
    if wrong:
        raise ModelError(
            f"the model of trial {found.trial.attempt.number} does not do what was recorded on the {part} data: "
            f"{'; '.join(wrong)}. Does load_data return the same rows each time?"
        )


def _write(exported: ExportedModel, model: Path) -> None:
    trial = exported.best.trial
    card = {
        "study": exported.best.study.name,
        "trial": trial.attempt.number,
        "configuration": trial.attempt.configuration,
        "values": dict(zip(exported.best.study.spec.metrics, trial.attempt.values, strict=True)),
        "best_epoch": trial.best_epoch,
        "runs": [dataclasses.asdict(run) for run in trial.runs],
        "params": dict(trial.params),
        "fold": exported.fold,
        exported.part: dict(exported.metrics),
        "test": None if exported.test is None else dict(exported.test),
        "code": trial.code,
    }
    write_model(model, card, exported.path)


def write_model(model: Path, card: Mapping[str, object], path: Path) -> None:
    """Copy a model to a path, and write its card beside it as JSON; what is there is replaced by whole files.

    Raises:
        ArtifactError: If the folder cannot be written to.
    """
    folder, beside = path.parent, path.with_suffix(".json")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(path.name + ".draft")
        shutil.copyfile(model, draft)
        draft.replace(path)
        card_draft = beside.with_name(beside.name + ".draft")
        card_draft.write_text(json.dumps(card, indent=2) + os.linesep)
        card_draft.replace(beside)
    except OSError as error:
        raise ArtifactError(f"the model cannot be written to {folder}: {error.strerror}") from None
