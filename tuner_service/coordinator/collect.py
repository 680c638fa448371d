"""Collecting what nobody needs any more: models that were beaten, checkpoints of trials that are settled, drafts."""

from __future__ import annotations

from dataclasses import dataclass

from tuner_service.domain.attempt import settlements
from tuner_service.domain.front import kept
from tuner_service.storage.artifacts import Artifacts, trial_folder
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.training.assignment import CHECKPOINT_PREFIX, EVALUATION_FILE, MODEL_FILE


@dataclass(frozen=True)
class Collected:
    """What was removed of a study's artifacts."""

    models: int
    checkpoints: int
    drafts: int = 0  #: files that were never written to their end


def collect(storage: LedgerStorage, name: str) -> Collected:
    """Remove the models that ``keep_models`` does not keep, drafts, and checkpoints that no trial can go on from.

    Curves and logs stay. It may run while workers train: a trial that is running keeps what it has.
    """
    study = storage.study(name)
    attempts = storage.attempts(study.study_id)
    artifacts = Artifacts(study.artifacts, study.name)
    best = kept(attempts, study.spec.directions, study.spec.keep_models)
    settled = settlements(attempts, study.spec.max_attempts)
    models = checkpoints = drafts = 0
    for one in attempts:
        if not one.state.final:
            continue
        for file in artifacts.drafts(trial_folder(one.number)):
            # Its writer has died, or lost the trial.
            artifacts.remove(f"{trial_folder(one.number)}/{file}")
            drafts += 1
        for file in artifacts.names(trial_folder(one.number)):
            beaten = file in (MODEL_FILE, EVALUATION_FILE) and one not in best
            over = file.startswith(CHECKPOINT_PREFIX) and one.configuration in settled
            if beaten or over:
                artifacts.remove(f"{trial_folder(one.number)}/{file}")
                models += file == MODEL_FILE
                checkpoints += over
    return Collected(models, checkpoints, drafts)
