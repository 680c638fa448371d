"""Looking at the test part: once, by rights, and so each look is recorded."""

from __future__ import annotations

import getpass
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tuner_service.domain.score import Score, Scored
from tuner_service.results.model import measure
from tuner_service.results.trials import Best, best
from tuner_service.storage.ledger_storage import LedgerStorage


@dataclass(frozen=True)
class Evaluated:
    """A look at the test part, and those before it."""

    best: Best
    score: Score
    before: Sequence[Score]


def evaluate(storage: LedgerStorage, name: str, *, studies: Path, number: int | None = None) -> Evaluated:
    """Measure the best model, or another trial's, on the data that tuning never saw, and record that it was done.

    Args:
        storage: Where the study is.
        name: Its name.
        studies: Folder with the study file, which loads the data.
        number: The trial whose model it is; of one objective, the best without it.

    Raises:
        NotInStudyError: If there is no such trial, or it has to be chosen from a front.
        ModelError: If no model was kept, it does not do what was recorded, or there is no test part.
    """
    found = best(storage, name, number)
    with tempfile.TemporaryDirectory(prefix="tuner-evaluate-") as scratch:
        _, _, measured = measure(found, studies, Path(scratch), looks_at_test=True)
    before = storage.scores(found.study.study_id)
    storage.record_score(
        found.study.study_id, Score(found.trial.attempt.number, Scored.TRIAL, measured.test or {}, whoever())
    )
    return Evaluated(found, storage.scores(found.study.study_id)[-1], before)


def whoever() -> str:
    """Return the user and host of this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user often has no name
        user = "somebody"
    return f"{user}@{socket.gethostname()}"
