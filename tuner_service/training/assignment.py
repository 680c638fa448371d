"""What a child is told to train, and what it says of it in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tuner_service.domain.direction import Direction
from tuner_service.domain.engine import Computing, Engine
from tuner_service.domain.folds import Folds
from tuner_service.domain.objective_value import BestEpoch, ObjectiveValue
from tuner_service.domain.outcome import Failure, Reason
from tuner_service.domain.run import Run, runs_of

#: Names of the files that a child leaves in a trial's folder.
CURVE_FILE = "curve.json"
MODEL_FILE = "model.keras"
EVALUATION_FILE = "evaluation.json"
LOG_FILE = "log.txt"
CHECKPOINT_PREFIX = "checkpoint-"


def checkpoint_file(epoch: int, run: int = 0) -> str:
    """Return the name of the checkpoint after an epoch of a run; names sort as trainings go on."""
    return f"{CHECKPOINT_PREFIX}{run:04d}-{epoch:06d}.npz"


@dataclass(frozen=True)
class Assignment:
    """One attempt, as data."""

    number: int
    started_at: float  #: seconds since 1970
    seed: int  #: of the first run
    metrics: Sequence[str]  #: of all objectives, in the order of their values
    metric: str  #: the one that is watched at each epoch's end
    direction: Direction  #: of the watched one
    judged: str  #: the metric that the pruner judges
    judged_direction: Direction
    max_epochs: int  #: of a run
    rungs: frozenset[int]  #: epochs after which the trial is judged
    reported: frozenset[int]  #: epochs whose metric is reported to Optuna
    folder: str  #: for the files of the attempt
    devices: str  #: the GPUs it may use, as CUDA_VISIBLE_DEVICES has them; "-1" is none
    checkpoints: Sequence[str] = ()  #: files of earlier attempts in the folder, the one to go on from first
    engine: Engine = "auto"  #: how epochs are trained
    computing: Computing = field(default_factory=Computing)  #: how networks are computed
    checkpoint_s: float = 10.0  #: seconds from one checkpoint to the next; 0 is one each epoch
    value: ObjectiveValue = field(default_factory=BestEpoch)  #: which epochs of a run count
    executions: int = 1
    folds: Folds | None = None  #: with the seed of their shuffle
    judges_runs: bool = False  #: after each run it is asked whether to go on
    trials_per_process: int = 1  #: after so many the child ends

    @property
    def runs(self) -> list[Run]:
        """The trainings that the attempt consists of."""
        return runs_of(self.executions, None if self.folds is None else self.folds.n, self.seed)


@dataclass(frozen=True)
class Result:
    """How the child's training ended."""

    reason: Reason
    value: float | None = None  #: of the first objective
    others: tuple[float, ...] = ()  #: of further objectives
    epochs: int = 0  #: epochs trained, over all runs
    best_epoch: int | None = None
    failure: Failure | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)  #: what trained it: device, digest of the data
