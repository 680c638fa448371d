"""A model in hand: loaded again in a fresh process and measured before it is called what it was recorded as."""

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

from tuner_service.domain.score import Score, Scored
from tuner_service.domain.seeds import hash_seed
from tuner_service.errors import ArtifactError, ModelError
from tuner_service.results.export import plain, record_fields
from tuner_service.results.model_card import card_of_export
from tuner_service.results.trials import Best, best
from tuner_service.storage.artifacts import Artifacts, trial_folder
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.training import isolated
from tuner_service.training.assignment import EVALUATION_FILE, MODEL_FILE
from tuner_service.training.evaluation import Evaluation, evaluate_model
from tuner_service.training.model_file import Needs
from tuner_service.worker.supervisor import find_study_file

#: By how much a metric may differ when it is measured again: batches are summed in another order elsewhere.
_RELATIVE, _ABSOLUTE = 1e-3, 1e-4


@dataclass(frozen=True)
class ExportedModel:
    """A model file and what was measured with it."""

    best: Best
    path: Path  #: best.keras, or trial-N.keras
    part: str  #: the part of the data that its value was measured on
    fold: int | None  #: of which fold that part is, from 0; None without folds
    metrics: Mapping[str, float]  #: on that part, now
    score: Score | None  #: on the part that tuning never saw, if anybody has looked
    needs: Needs  #: to be loaded


def export_model(
    storage: LedgerStorage, name: str, folder: Path, *, studies: Path, number: int | None = None
) -> ExportedModel:
    """Write ``best.keras`` into a folder, ``trial-N.keras`` of a trial that is named, after measuring it again.

    Beside it come ``best.json`` and ``best.md``, what is known of it for programs and for people. The test part is not
    looked at: ``evaluate`` does that.

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
    looks = storage.scores(found.study.study_id)
    mine = [one for one in looks if (one.trial, one.model) == (found.trial.attempt.number, Scored.TRIAL)]
    with tempfile.TemporaryDirectory(prefix="tuner-export-") as scratch:
        model, recorded, measured = measure(found, studies, Path(scratch), looks_at_test=False)
        path = folder / ("best.keras" if number is None else f"trial-{number}.keras")
        score = mine[-1] if mine else None
        exported = ExportedModel(found, path, recorded["part"], recorded["fold"], measured.part, score, measured.needs)
        card = _card(exported)
        write_model(model, card, card_of_export(found, card, measured.needs, path, looks), path)
    return exported


def measure(
    found: Best, studies: Path, scratch: Path, *, looks_at_test: bool
) -> tuple[Path, Mapping[str, Any], Evaluation]:
    """Return the kept model of a trial, what was recorded of it, and what it does now, in a fresh process.

    Raises:
        ModelError: If no model was kept, it cannot be loaded, or it does not do what was recorded.
    """
    study, trial = found.study, found.trial
    artifacts = Artifacts(study.artifacts, study.name)
    kept = trial_folder(trial.attempt.number)
    if not found.has_model:
        why = (
            "an objective(trial) trains by itself; save the model there"
            if study.kind == "objective"
            else f"nothing is at {study.artifacts}/{study.name}/{kept}, and models are kept of the best trials only, "
            f"as many as keep_models says ({study.spec.keep_models})"
        )
        raise ModelError(f"no model of trial {trial.attempt.number} of {study.name!r} was kept: {why}")
    path, _ = find_study_file(study, studies)
    model = scratch / MODEL_FILE
    artifacts.get(f"{kept}/{MODEL_FILE}", model)
    recorded = artifacts.read_json(f"{kept}/{EVALUATION_FILE}")
    seed = hash_seed(study.spec.seed, trial.attempt.configuration, "training")
    how = (recorded["part"], recorded["batch_size"], seed, study.spec.seeded_folds, recorded["fold"], looks_at_test)
    made_of = (dict(trial.params), study.spec.computing.on_one_device)
    measured = isolated.call(evaluate_model, path.resolve(), model, *made_of, *how, backend=study.spec.backend)
    _compare(found, recorded, measured.part)
    return model, recorded, measured


def _compare(found: Best, recorded: Mapping[str, Any], measured: Mapping[str, float]) -> None:
    expected, part = dict(recorded["metrics"]), recorded["part"]
    metric = found.study.spec.watched
    if part == "validation" and metric.startswith("val_") and metric.removeprefix("val_") in measured:
        # What the metric was in the epoch whose weights these are: of one run with its best epoch, the trial's value.
        expected[metric.removeprefix("val_")] = recorded["value"]
    wrong = [
        f"{name} was recorded as {value:.6g} and is now {measured.get(name, math.nan):.6g}"
        for name, value in expected.items()
        if not _is_same(measured.get(name, math.inf), value)
    ]
    if wrong:
        raise ModelError(
            f"the model of trial {found.trial.attempt.number} does not do what was recorded on the {part} data: "
            f"{'; '.join(wrong)}. Does load_data return the same rows each time?"
        )


def _is_same(value: float, recorded: float) -> bool:
    if math.isnan(value) or math.isnan(recorded):
        return math.isnan(value) and math.isnan(recorded)
    return math.isclose(value, recorded, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)


def _card(exported: ExportedModel) -> dict[str, Any]:
    study, trial = exported.best.study, exported.best.trial
    return {
        "study": study.name,
        "trial": trial.attempt.number,
        "configuration": trial.attempt.configuration,
        "values": dict(zip(study.spec.metrics, trial.attempt.values, strict=True)),
        "spread": None if trial.spread is None else dataclasses.asdict(trial.spread),
        "best_epoch": trial.best_epoch,
        "runs": [dataclasses.asdict(run) for run in trial.runs],
        "params": dict(trial.params),
        "fold": exported.fold,
        exported.part: dict(exported.metrics),
        "test": None if exported.score is None else dict(exported.score.metrics),
        "code": trial.code,
        "seed": hash_seed(study.spec.seed, trial.attempt.configuration, "training"),
        "environment": dict(trial.environment),
        "loading": str(exported.needs),
        "record": record_fields(study),
    }


def write_model(model: Path, card: Mapping[str, object], text: str, path: Path) -> None:
    """Copy a model to a path, its card beside it as JSON and as text; what is there is replaced by whole files.

    Raises:
        ArtifactError: If the folder cannot be written to.
    """
    folder = path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(path.name + ".draft")
        shutil.copyfile(model, draft)
        draft.replace(path)
        for suffix, content in ((".json", json.dumps(plain(card), indent=2) + os.linesep), (".md", text)):
            card_draft = path.with_suffix(f"{suffix}.draft")
            card_draft.write_text(content, encoding="utf-8")
            card_draft.replace(path.with_suffix(suffix))
    except OSError as error:
        raise ArtifactError(f"the model cannot be written to {folder}: {error.strerror}") from None
