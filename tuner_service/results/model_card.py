"""The model card: what is known of a model, in a page of Markdown beside its file.

Source of the idea: Mitchell et al., Model Cards for Model Reporting, arXiv:1810.03993.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tuner_service.domain.provenance import spec_digest
from tuner_service.domain.run import CONFIDENCE
from tuner_service.domain.score import Score
from tuner_service.domain.study import StudyRecord
from tuner_service.domain.trial import Trial
from tuner_service.results.export import iso
from tuner_service.results.trials import Best
from tuner_service.training.model_file import Needs
from tuner_service.training.refit import Refit

#: Packages that a card names; the others are in the file beside it.
_NAMED = ("python", "tuner-service", "keras", "tensorflow", "jax", "numpy", "optuna")


def card_of_export(found: Best, card: Mapping[str, Any], needs: Needs, path: Path, looks: Sequence[Score]) -> str:
    """Return the card of a trial's own model."""
    study, trial = found.study, found.trial
    part = "train" if "train" in card else "validation"
    fold = "" if card["fold"] is None else f", fold {card['fold'] + 1}"
    measured = [f"| {part}{fold} | {name} | {value:.6g} |" for name, value in card[part].items()]
    tested = [f"| test | {name} | {value:.6g} |" for name, value in (card["test"] or {}).items()]
    lines = [
        *_title(study, trial, f"Trial {trial.attempt.number} of the study `{study.name}`."),
        *_values(study, trial),
        "Measured again when it was exported, in a process of its own:",
        "",
        *_table(("data", "metric", "value"), [*measured, *tested]),
        *_looks(looks, len({(one.trial, one.model) for one in looks})),
        *_rest(study, trial),
        *_loading(study, trial, needs, path),
    ]
    return "\n".join(lines) + "\n"


def card_of_refit(
    study: StudyRecord, trial: Trial, refit: Refit, why: str, needs: Needs, path: Path, looks: Sequence[Score]
) -> str:
    """Return the card of a model that was trained on all data; ``looks`` at the test part were before it."""
    parts = (("train and validation", refit.train), ("test", refit.test or {}))
    measured = [f"| {part} | {name} | {value:.6g} |" for part, metrics in parts for name, value in metrics.items()]
    what = f"The hyperparameters of trial {trial.attempt.number} of the study `{study.name}`, trained on all data."
    lines = [
        *_title(study, trial, what),
        f"Trained for {refit.epochs} epochs: {why}.",
        "",
        *_table(("data", "metric", "value"), measured),
        *_looks(looks, len({(one.trial, one.model) for one in looks})),
        "The trial itself:",
        "",
        *_values(study, trial),
        *_rest(study, trial),
        *_loading(study, trial, needs, path),
    ]
    return "\n".join(lines) + "\n"


def _title(study: StudyRecord, trial: Trial, what: str) -> Iterator[str]:
    yield from (f"# {study.name}, trial {trial.attempt.number}", "", what, "")


def _values(study: StudyRecord, trial: Trial) -> Iterator[str]:
    runs = f"mean of {len(trial.runs)} runs" if trial.runs else "one run"
    rows = [
        f"| {metric} | {value:.6g} | {direction} | {runs} |"
        for metric, value, direction in zip(
            study.spec.metrics, trial.attempt.values, study.spec.directions, strict=True
        )
    ]
    yield from _table(("objective", "value", "to", "is"), rows)
    spread = trial.spread
    if spread is not None:
        yield (
            f"The runs of {study.spec.metrics[0]}: standard deviation {spread.std:.3g}, the mean from {spread.low:.6g} "
            f"to {spread.high:.6g} by a {CONFIDENCE:.0%} interval."
        )
    elif not trial.runs:
        yield (
            "A single run says nothing of the spread between seeds, and the best of many trials looks better than it "
            "is: the test part judges it."
        )
    yield ""


def _looks(looks: Sequence[Score], models: int) -> Iterator[str]:
    if not looks:
        yield from ("Nobody has looked at the test part before: `tuner evaluate` does, and records it.", "")
        return
    times = "once" if len(looks) == 1 else f"{len(looks)} times, at {models} models"
    yield from (f"The test part has been looked at {times}, first by {looks[0].who} on {iso(looks[0].at)}.", "")


def _rest(study: StudyRecord, trial: Trial) -> Iterator[str]:
    origin, environment = study.provenance, trial.environment
    yield from ("## Hyperparameters", "")
    yield from _table(("name", "value"), [f"| {name} | `{value}` |" for name, value in trial.params.items()])
    yield from ("## Data", "")
    yield from _table(("part", "is"), [f"| {name} | {text} |" for name, text in origin.parts.items()])
    if origin.data is not None:
        yield f"Digest `{origin.data}`."
        if environment.get("data", origin.data) != origin.data:
            yield f"**This trial was trained on other data**, digest `{environment['data']}`."
        yield ""
    commit = "no repository" if origin.commit is None else f"`{origin.commit}`{' with changes' * bool(origin.dirty)}"
    packages = ", ".join(f"{name} {origin.packages[name]}" for name in _NAMED if name in origin.packages)
    rows = {
        "code": f"`{study.code.file}`, digest `{trial.code}`, git {commit}",
        "specification": f"digest `{spec_digest(study.spec)}`, seed {study.spec.seed}",
        "computed with": f"{study.spec.backend or 'no Keras'}, {origin.precision or 'no precision'}",
        "packages": packages + (f"; in this trial {environment['packages']}" if "packages" in environment else ""),
        "trained on": f"{environment.get('device', 'unknown')}, {environment.get('host', 'unknown')}",
        "trained": iso(trial.attempt.ended_at) or "unknown",
        "created by": f"`{origin.command}`" if origin.command else "a program",
    }
    yield from ("## Record", "")
    yield from _table(("", ""), [f"| {name} | {text} |" for name, text in rows.items()])


def _loading(study: StudyRecord, trial: Trial, needs: Needs, path: Path) -> Iterator[str]:
    yield from ("## Loading", "", "```python")
    if needs is Needs.KERAS:
        yield from ("import keras", "", f'model = keras.models.load_model("{path.name}")', "```")
    else:
        yield from ("from tuner_service import load_model", "")
        yield from (f'model = load_model("{path.name}", study="{study.code.file}")', "```", "")
        yield (
            "It has layers, losses or metrics of the study's own, so the study file is needed; Keras' safe mode is on."
            if needs is Needs.STUDY
            else "Keras cannot make this network from its file alone, safe mode being on; the study's code builds it, "
            "and its weights come from the file."
        )
    yield from ("", f"The trial again: `tuner rerun {study.name} {trial.attempt.number}`.")


def _table(columns: Sequence[str], rows: Sequence[str]) -> Iterator[str]:
    if rows:
        yield from (f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}", *rows, "")
