"""What the ledger asks of a backend: few operations, each one transaction, each safe to repeat."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tuner_service.domain.attempt import Attempt, NewAttempt, Param
from tuner_service.domain.outcome import Outcome, Reason
from tuner_service.domain.score import Score
from tuner_service.domain.spec import StudySpec
from tuner_service.domain.study import CodeRecord, Control, Ending, NewStudy, StudyRecord
from tuner_service.domain.trial import Trial
from tuner_service.domain.worker import Progress, WorkerInfo

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Claim:
    """A trial that a worker has just made its own."""

    trial_id: int
    number: int
    configuration: int
    attempt: int
    claimed_at: float  #: by the backend's clock
    params: Mapping[str, Param]  #: parameters that are given, by name; the others are sampled


@dataclass(frozen=True)
class Draw:
    """Parameters of an attempt, as Optuna's tables hold them, and what the sampler noted of it."""

    params: Mapping[
        str, tuple[float, str]
    ]  #: name to the number that stands for the value, and the distribution's JSON
    notes: Mapping[str, Any]  #: the sampler's attributes of the trial, JSON values
    attributes: Mapping[str, Any]  #: those of the study's code, JSON values
    digest: str | None = None  #: of all its parameters; the same for the same configuration


@dataclass(frozen=True)
class Rows:
    """A study's rows at one moment."""

    study: StudyRecord
    attempts: Sequence[Attempt]  #: in the order of their trial numbers
    workers: Sequence[WorkerInfo]  #: all that ever announced themselves, the oldest first
    now: float  #: by the backend's clock


@dataclass(frozen=True)
class Heard:
    """What a worker learns in return for a beat."""

    held: frozenset[int]  #: trial ids that are still its own
    control: Control
    ended: bool  #: the study has ended


class LedgerStorage(Protocol):
    """A backend of the ledger. Every method raises ``StorageUnavailableError`` where the backend does not answer."""

    def create_tables(self) -> None:
        """Make the tables, Optuna's included, where they are missing. The coordinator's side alone calls it."""

    def migrate_tables(self) -> int | None:
        """Bring tables of an older version to this one, Optuna's included, or make them where they are missing.

        Returns:
            The version that they had; ``None`` where they were missing.
        """

    def check_tables(self) -> None:
        """Raise ``SchemaError`` unless the tables are there, ``SchemaVersionError`` unless they are of this version."""

    def create_roles(self, prefix: str) -> None:
        """Make the database's roles with their rights, or raise ``StorageError`` where the backend knows none."""

    def close(self) -> None:
        """Let go of all connections."""

    def now(self) -> float:
        """Return the time by the backend's clock, in seconds since 1970."""

    def optuna_storage(self) -> optuna.storages.BaseStorage:
        """Return Optuna's storage over the same connections, for samplers to read and parameters to be written."""

    def create_study(self, new: NewStudy) -> StudyRecord:
        """Record a study, or raise ``StudyExistsError`` where the name is taken."""

    def study(self, name: str) -> StudyRecord:
        """Return a study, or raise ``StudyNotFoundError``."""

    def studies(self) -> list[StudyRecord]:
        """Return all studies of this service, the oldest first."""

    def look(self, name: str) -> Rows:
        """Return all that tells where a study stands, in one transaction, or raise ``StudyNotFoundError``."""

    def extend_study(self, study_id: int, budget: int) -> None:
        """Raise the budget to this many configurations, never lower it; a finished study goes on."""

    def accept_code(self, study_id: int, code: CodeRecord) -> None:
        """Record that the study's code is another one from now on."""

    def revise_study(self, study_id: int, spec: StudySpec) -> None:
        """Replace the recorded specification by one that means the same; a finished study goes on."""

    def set_control(
        self, study_id: int, control: Control, message: str = "", *, seen: StudyRecord | None = None
    ) -> None:
        """Record what the users want; with ``Control.RUN`` a study that has ended goes on, if something is left.

        A ``message`` says which rule wants it, where that is no user; until the study ends it is its ending's message.
        Nothing is recorded where the study's budget, control or specification is not what was ``seen``.
        """

    def end_study(self, study_id: int, ending: Ending, message: str = "", *, seen: StudyRecord | None = None) -> bool:
        """Record that the study has ended, and return whether it was for this call to do.

        It is not where the study had ended before, or where its budget, control or specification is not what was
        ``seen``: a user has extended or resumed it in the meantime.
        """

    def delete_study(self, study_id: int) -> None:
        """Remove a study with all its rows."""

    def attempts(self, study_id: int, *, after: int = -1, among: Collection[int] = ()) -> list[Attempt]:
        """Return attempts of a study by trial number: all, or those after a trial id and those among some.

        An attempt that is inserted later has a larger trial id.
        """

    def insert_attempts(self, study_id: int, new: Sequence[NewAttempt]) -> int:
        """Insert waiting rows and return how many; one whose configuration and attempt are there is left out.

        None is inserted into a study that was deleted.

        The first attempt of a configuration that has a point gets its parameters. A retry gets those of the attempt
        that it repeats, with what the sampler noted of it.
        """

    def claim(self, study_id: int, worker_id: str, *, lease_s: float, code: str) -> Claim | None:
        """Make a waiting row this worker's, retries first; ``None`` where none waits or none may be claimed.

        Raises ``SchemaVersionError`` where the tables were migrated since, and ``CodeChangedError`` where the study's
        code is another one than this digest by now.

        The stopping rules are looked at in the same transaction: however many claim at once, the epochs of those that
        run, at their longest, and of those that have ended are never more than ``stop.epochs``.
        """

    def record_draw(self, trial_id: int, worker_id: str, draw: Draw, *, unless_repeated: bool = False) -> bool:
        """Write the parameters of a running attempt, and return whether they were written.

        With ``unless_repeated`` they are not where another configuration of the study has the same. Said again after a
        lost reply it changes nothing. Raises ``TrialLostError`` where the attempt is not this worker's any more, and
        ``StudyFileError`` where a parameter came with other choices before, which Optuna cannot hold.
        """

    def record_reports(self, trial_id: int, worker_id: str, values: Mapping[int, float]) -> None:
        """Record the values that a running attempt has reported, by step, for Optuna's pages and samplers.

        Raises ``TrialLostError`` where the attempt is not this worker's any more.
        """

    def record_rung(
        self, study_id: int, *, bracket: int, epoch: int, configuration: int, value: float
    ) -> Mapping[int, float]:
        """Record a configuration's value at a rung, once, and return the values there by configuration."""

    def settle(self, trial_id: int, worker_id: str, outcome: Outcome) -> None:
        """Record how an attempt ended, or raise ``TrialLostError`` where it is not this worker's any more."""

    def expire(self, trial_id: int, reason: Reason) -> bool:
        """Fail a running attempt whose lease has run out by the backend's clock, and return whether it was failed.

        It is not where leases may not be judged, as ``see`` would say now: the backend may have been away since.
        """

    def withdraw(self, trial_ids: Collection[int]) -> int:
        """Fail rows that still wait, and return how many did."""

    def beat(self, worker: WorkerInfo, progress: Sequence[Progress]) -> Heard:
        """Announce a worker, renew the leases of the trials that it makes progress on, and record where they stand."""

    def release(self, worker_id: str) -> None:
        """Let the leases of a worker that is known to be dead run out now."""

    def see(self, study_id: int) -> float:
        """Note that the storage answers, and return the time from which on leases may be judged.

        Where nobody has seen it answer for two beats, or for as long as a lease, it was away, and with it the beats of
        workers that live: they are given two beats' time to renew before anybody is called dead. Of those workers that
        lived when it was last seen, the slowest beat counts, and the shortest lease.
        """

    def take_turn(self, study_id: int, period_s: float) -> bool:
        """Take a turn unless somebody took one within this time, and return whether it was taken."""

    def note_told(self, study_id: int, notice: str) -> bool:
        """Note that users are told of something, and return whether nobody had noted it before."""

    def workers(self, study_id: int) -> list[WorkerInfo]:
        """Return the workers that ever announced themselves for a study, the oldest first."""

    def record_score(self, study_id: int, score: Score) -> None:
        """Record that somebody has looked at the study's test part, at the backend's time."""

    def scores(self, study_id: int) -> list[Score]:
        """Return the looks at the study's test part, the first one first."""

    def trials(self, study_id: int, *, numbers: Collection[int] | None = None, curves: bool = False) -> list[Trial]:
        """Return trials by number, all of them or some; the reported values only where ``curves`` is asked for."""
