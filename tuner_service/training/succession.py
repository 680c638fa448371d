"""Several short trials in one child: whether it may train another one."""

from __future__ import annotations

from dataclasses import dataclass

from tuner_service.domain.outcome import Reason
from tuner_service.training.data import Data
from tuner_service.training.study_file import StudyFile

#: A trial up to so many seconds is short: beside a longer one a new child, half a second, costs nothing.
_SHORT_S = 30.0
#: So many bytes more than after its first trial are a reason for a new child. TensorFlow keeps 7-9 MB a trial.
_GROWTH_BYTES = 256 * 2**20


def trains_alike(study: StudyFile, data: Data | None, *, cold: bool) -> bool:
    """Return whether a trial comes to the same in whichever child: it is this service that trains, from arrays.

    A ``fit`` of the study's own may change the data, a script anything; a dataset, or what has started the backend
    while it was made, may have a state that lives from trial to trial.
    """
    if data is None or study.fit is not None or cold:
        return False
    from tuner_service.training.batches import is_arrays

    return all(part is None or is_arrays(part) for part in (data.train, data.validation))


@dataclass
class Tenure:
    """What a child has trained so far."""

    trials: int = 0
    first_bytes: int = 0  #: of memory, after the first trial

    def goes_on(self, reason: Reason, *, seconds: float, used_bytes: int, most_trials: int) -> bool:
        """Return whether another trial may follow one that ended so, took so long, and left so much memory in use."""
        self.trials += 1
        self.first_bytes = self.first_bytes or used_bytes
        return (
            # After anything else nobody knows in which state the process is.
            reason in (Reason.FINISHED, Reason.PRUNED)
            and seconds <= _SHORT_S
            and self.trials < most_trials
            and used_bytes - self.first_bytes <= _GROWTH_BYTES
        )
