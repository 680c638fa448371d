"""The best configuration trained on all data: what one would deploy, and what a test set says of it."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tuner_service.domain.outcome import State
from tuner_service.domain.score import Score, Scored
from tuner_service.domain.seeds import hash_seed
from tuner_service.domain.study import StudyRecord
from tuner_service.domain.trial import Trial
from tuner_service.errors import NotInStudyError, StorageError
from tuner_service.ledger.patience import patiently
from tuner_service.results import trials as reading
from tuner_service.results.evaluate import whoever
from tuner_service.results.export import record_fields
from tuner_service.results.model import write_model
from tuner_service.results.model_card import card_of_refit
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.training import isolated
from tuner_service.training.model_file import Needs, needs_of
from tuner_service.training.refit import Refit, refit_model
from tuner_service.worker.supervisor import find_study_file


@dataclass(frozen=True)
class Refitted:
    """A model trained on all data, and where it is."""

    study: StudyRecord
    trial: Trial
    path: Path  #: refit.keras
    why: str  #: where its number of epochs comes from
    refit: Refit
    needs: Needs  #: of its file, to be loaded
    looks: Sequence[Score]  #: at the test part, before this one


def refit(storage: LedgerStorage, name: str, folder: Path, *, studies: Path, number: int | None = None) -> Refitted:
    """Train the best configuration, or another trial's, on train and validation data; write ``refit.keras``.

    There is nothing left to judge epochs by, so it trains for as many as the runs of the trial had up to their best,
    on average. Beside it come ``refit.json`` and ``refit.md``, with what the test part says; that look is recorded.

    Raises:
        NotInStudyError: If there is no such trial, or it is not complete.
        StudyFileError: If the study's code failed, or the data cannot be joined.
        StorageError: If the look at the test part cannot be recorded; the model is written then, without what it says.
    """
    trial = reading.best(storage, name).trial if number is None else reading.trial(storage, name, number)
    study = storage.study(name)
    if study.kind == "objective":
        raise NotInStudyError(f"study {name!r} has an objective(trial), which trains by itself: train its best there")
    if trial.attempt.state is not State.COMPLETE:
        raise NotInStudyError(
            f"trial {trial.attempt.number} of {name!r} is {trial.attempt.state.lower()}; only a complete one can be "
            f"trained on all data, see `tuner trials {name} --state complete`"
        )
    epochs, why = epochs_of(trial, study.spec.max_epochs)
    path, _ = find_study_file(study, studies)
    looks = storage.scores(study.study_id)
    seed = hash_seed(study.spec.seed, trial.attempt.configuration, "training")
    with tempfile.TemporaryDirectory(prefix="tuner-refit-") as scratch:
        model = Path(scratch) / "refit.keras"
        trained = isolated.call(
            refit_model,
            path.resolve(),
            dict(trial.params),
            epochs,
            study.spec.max_epochs,
            seed,
            model,
            study.spec.computing.on_one_device,
            study.spec.engine,
            gpus=True,
            backend=study.spec.backend,
        )
        how = (path.resolve(), dict(trial.params), study.spec.computing.on_one_device)
        needs = isolated.call(needs_of, model, *how, backend=study.spec.backend)
        refitted = Refitted(study, trial, folder / "refit.keras", why, trained, needs, looks)
        if trained.test is not None:
            score = Score(trial.attempt.number, Scored.REFIT, trained.test, whoever())
            try:
                patiently(lambda: storage.record_score(study.study_id, score))
            except StorageError as error:
                # Hours of training are not thrown away, but a look that is not counted is none.
                _write(dataclasses.replace(refitted, refit=dataclasses.replace(trained, test=None)), model)
                raise StorageError(
                    f"{error}; {refitted.path} is there, without what the test part says, since a look at it is to be "
                    "recorded"
                ) from None
        _write(refitted, model)
    return refitted


def epochs_of(trial: Trial, max_epochs: int) -> tuple[int, str]:
    """Return for how many epochs a trial's configuration is trained on all data, and why."""
    bests = [run.best_epoch for run in trial.runs] or [trial.best_epoch]
    known = [one for one in bests if one is not None]
    if not known:
        return max_epochs, "the study's max_epochs, since its fit reported no epochs"
    if len(known) == 1:
        return known[0], "the epoch that counted"
    return max(round(statistics.fmean(known)), 1), f"the mean of the epochs that counted in {len(known)} runs"


def _write(refitted: Refitted, model: Path) -> None:
    study, trial = refitted.study, refitted.trial
    card = {
        "study": study.name,
        "trial": trial.attempt.number,
        "configuration": trial.attempt.configuration,
        "params": dict(trial.params),
        "values": dict(zip(study.spec.metrics, trial.attempt.values, strict=True)),
        "spread": None if trial.spread is None else dataclasses.asdict(trial.spread),
        "epochs_because": refitted.why,
        **dataclasses.asdict(refitted.refit),
        "loading": str(refitted.needs),
        "code": study.code.digest,
        "record": record_fields(study),
    }
    text = card_of_refit(study, trial, refitted.refit, refitted.why, refitted.needs, refitted.path, refitted.looks)
    write_model(model, card, text, refitted.path)
