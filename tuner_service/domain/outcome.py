"""How an attempt can end, and what each way of ending means for its row and for the budget."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """The state of a trial's row, by Optuna's names; the last three are final."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAIL = "FAIL"

    @property
    def final(self) -> bool:
        """Whether a row in this state never changes again."""
        return self not in (State.WAITING, State.RUNNING)


class Reason(StrEnum):
    """Why an attempt ended as it did."""

    FINISHED = "finished"
    PRUNED = "pruned"
    DIVERGED = "diverged"
    OOM = "oom"
    INFEASIBLE = "infeasible"
    INTERRUPTED = "interrupted"
    LOST = "lost"
    TIMEOUT = "timeout"
    STALLED = "stalled"
    CRASHED = "crashed"
    ERROR = "error"
    CANCELLED = "cancelled"
    WITHDRAWN = "withdrawn"
    EXHAUSTED = "exhausted"


class Counts(StrEnum):
    """Whether an attempt that ended settles its configuration."""

    ALWAYS = "always"  # the configuration is settled
    CHARGED = "charged"  # it is, once max_attempts attempts were charged
    NEVER = "never"  # it is not: another attempt follows, free of charge


@dataclass(frozen=True)
class Rule:
    """What a reason means: the state of the row, whether it counts, and what to say about it to people."""

    state: State
    counts: Counts
    meaning: str


RULES: Mapping[Reason, Rule] = {
    Reason.FINISHED: Rule(State.COMPLETE, Counts.ALWAYS, "trained to its end"),
    Reason.PRUNED: Rule(State.PRUNED, Counts.ALWAYS, "stopped early by the pruner"),
    Reason.DIVERGED: Rule(State.PRUNED, Counts.ALWAYS, "the metric became NaN or infinite"),
    Reason.OOM: Rule(State.FAIL, Counts.NEVER, "ran out of memory; tried once more"),
    Reason.INFEASIBLE: Rule(State.PRUNED, Counts.ALWAYS, "ran out of memory again"),
    Reason.INTERRUPTED: Rule(State.FAIL, Counts.NEVER, "its worker was lost or stopped; another attempt follows"),
    Reason.LOST: Rule(State.FAIL, Counts.ALWAYS, "was interrupted again and again; given up"),
    Reason.TIMEOUT: Rule(State.FAIL, Counts.CHARGED, "exceeded its time limit"),
    Reason.STALLED: Rule(State.FAIL, Counts.CHARGED, "made no progress"),
    Reason.CRASHED: Rule(State.FAIL, Counts.CHARGED, "its process died"),
    Reason.ERROR: Rule(State.FAIL, Counts.CHARGED, "the study's code raised an error"),
    Reason.CANCELLED: Rule(State.FAIL, Counts.NEVER, "was cancelled"),
    Reason.WITHDRAWN: Rule(State.FAIL, Counts.NEVER, "was taken back before anyone claimed it"),
    Reason.EXHAUSTED: Rule(State.FAIL, Counts.NEVER, "found no parameters that were not tried before"),
}


@dataclass(frozen=True)
class Failure:
    """What is kept of an attempt that failed, for people to act on."""

    type: str  #: name of the exception, or what happened to the process
    message: str  #: its message, shortened
    traceback: str = ""  #: the traceback of the user's code, shortened from the front
    host: str = ""  #: where it happened

    #: Longest message and traceback that are kept, in characters: a tensor's repr can be endless.
    MAX_MESSAGE = 2_000
    MAX_TRACEBACK = 16_000

    @classmethod
    def of_lost_worker(cls, worker_id: str | None) -> Failure:
        """Return what is kept of an attempt whose worker was not heard of for the length of its lease."""
        return cls("WorkerLost", f"worker {worker_id} gave no sign of life before its lease ran out")

    def shortened(self) -> Failure:
        """Return the failure as it is kept: the start of the message, the end of the traceback, no NUL."""
        traceback = self.traceback
        if len(traceback) > self.MAX_TRACEBACK:
            traceback = "...\n" + traceback[-self.MAX_TRACEBACK :]
        return Failure(*map(_storable, (self.type, self.message[: self.MAX_MESSAGE], traceback, self.host)))

    @property
    def fingerprint(self) -> str:
        """What two failures of one cause share: the type and the first line of the message."""
        return f"{self.type}: {self.message.strip().splitlines()[0] if self.message.strip() else ''}"


def _storable(text: str) -> str:
    # PostgreSQL refuses a NUL, and nobody can encode half of a surrogate pair; file names bring both into messages.
    return re.sub("[\x00\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended, ready to be recorded."""

    reason: Reason
    value: float | None = None  #: the first objective's value; of a single one, for a pruned trial the last reported
    epochs: int = 0  #: epochs trained, over all runs
    best_epoch: int | None = None  #: the epoch, from 1, that the value of a single run was reached at
    failure: Failure | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)  #: what to record beside it, JSON values
    resumed_from: int = 0  #: epochs of ``epochs`` that an earlier attempt had trained
    checkpoint: int = 0  #: epochs after which it was last saved
    others: tuple[float, ...] = ()  #: the values of further objectives
    environment: Mapping[str, str] = field(default_factory=dict)  #: what trained it: host, device, digest of the data

    @property
    def values(self) -> tuple[float, ...]:
        """The values of all objectives, if all are finite; else none, since no storage holds another."""
        values = () if self.value is None else (self.value, *self.others)
        return values if all(math.isfinite(value) for value in values) else ()

    @property
    def state(self) -> State:
        """The final state of the row."""
        return RULES[self.reason].state

    @property
    def constraints(self) -> Mapping[str, float]:
        """What it says to the samplers of what is possible at all: violated above zero, as ``Trial.set_constraint``.

        Trials without one count as feasible, so only this one needs to be told.
        """
        return {"memory": 1.0} if self.reason is Reason.INFEASIBLE else {}
