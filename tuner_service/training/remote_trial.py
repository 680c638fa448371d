"""The trial that a study's code sees: it knows a pipe to the supervisor and nothing of a storage."""

from __future__ import annotations

import datetime
import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalChoiceType,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import BaseTrial

from tuner_service.errors import StudyFileError

#: Longest name of a parameter or attribute, as Optuna's columns hold it, in characters; that of a constraint lies there
#: behind a word that marks it.
MAX_NAME = 512
MAX_CONSTRAINT = 480
#: Largest step of a report: databases hold it, and the epoch that ends with it, in 32 bits.
MAX_STEP = 2**31 - 2
#: Largest attribute, and largest list of choices, as JSON text, in characters.
MAX_ATTRIBUTE = 64 * 1024
MAX_CHOICES = 64 * 1024


@dataclass(frozen=True)
class Ask:
    """A question or a note of the child to its supervisor; ``op`` is a method of ``ledger.running.RunningAttempt``."""

    op: str
    arguments: tuple[Any, ...]
    wants_answer: bool


@dataclass(frozen=True)
class Answer:
    """What the supervisor says: a value, or the error that the question raised."""

    value: Any = None
    error: Exception | None = None


class Pipe:
    """The child's end of the connection to its supervisor."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection

    def ask(self, op: str, *arguments: Any) -> Any:  # noqa: ANN401 - whatever the operation returns
        """Send a question and wait for the answer; its error is raised here."""
        self._connection.send(Ask(op, arguments, wants_answer=True))
        answer: Answer = self._connection.recv()
        if answer.error is not None:
            raise answer.error
        return answer.value

    def receive(self) -> Any:  # noqa: ANN401 - an Assignment, which this module need not know
        """Return what the supervisor sends unasked, or raise ``EOFError`` where it has hung up."""
        return self._connection.recv()

    def tell(self, op: str, *arguments: object) -> None:
        """Send a note and go on: training does not wait for a database that is away."""
        self._connection.send(Ask(op, arguments, wants_answer=False))


class RemoteTrial(BaseTrial):
    """An Optuna trial whose suggestions and decisions come from the supervisor.

    Source: the behaviour of each method is that of ``optuna/trial/_trial.py``.
    """

    def __init__(self, pipe: Pipe, number: int, started_at: float) -> None:
        self._pipe = pipe
        self._number = number
        self._datetime_start = datetime.datetime.fromtimestamp(started_at)
        self._params: dict[str, Any] = {}
        self._distributions: dict[str, BaseDistribution] = {}
        self._user_attrs: dict[str, Any] = {}
        self._constraints: dict[str, float] = {}
        self._reported: dict[int, float] = {}

    def redraw(self) -> None:
        """Forget all that was suggested and said: what the study's code asks for is drawn anew."""
        for kept in (self._params, self._distributions, self._user_attrs, self._constraints, self._reported):
            kept.clear()

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return float(self._suggest(name, FloatDistribution(low, high, log=bool(log), step=step)))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return int(self._suggest(name, IntDistribution(low, high, log=bool(log), step=step)))

    def suggest_categorical(self, name: str, choices: Sequence[CategoricalChoiceType]) -> Any:  # noqa: ANN401
        plain = plain_choices(name, choices)
        return own_choice(self._suggest(name, CategoricalDistribution(plain)), plain, choices)

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        return self.suggest_float(name, low, high, step=q)

    def report(self, value: float, step: int) -> None:
        try:
            value = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"report wants a number as value, got {type(value).__name__}") from None
        try:
            step = int(step)
        except (TypeError, ValueError):
            raise TypeError(f"report wants a whole number as step, got {type(step).__name__}") from None
        if not 0 <= step <= MAX_STEP:
            raise ValueError(f"report wants a step of 0 to {MAX_STEP}, got {step}")
        if step in self._reported:
            warnings.warn(f"step {step} was reported before; the first value is kept", stacklevel=2)
            # It trains, all the same.
            self._pipe.tell("alive")
            return
        self._reported[step] = value
        # Steps count from 0, as Optuna's documentation and its Keras callback have it: step s is the end of epoch s+1.
        self._pipe.tell("report", step, step + 1, value)

    def should_prune(self) -> bool:
        if not self._reported:
            return False
        step = max(self._reported)
        value = self._reported[step]
        curve = tuple(self._reported[one] for one in sorted(self._reported))
        return math.isnan(value) or bool(self._pipe.ask("should_prune", step + 1, value, curve))

    def set_user_attr(self, key: str, value: Any) -> None:  # noqa: ANN401 - as in Optuna
        key = _name("attribute", key)
        # As the database gives it back: an attribute may hold members of an enum, which only this process knows.
        self._pipe.tell("set_user_attr", key, json.loads(check_attribute(key, value)))
        self._user_attrs[key] = value

    def set_constraint(self, key: str, value: float) -> None:
        key = _name("constraint", key, MAX_CONSTRAINT)
        number = float(value)
        if math.isnan(number):
            raise ValueError(f"constraint {key!r} must be a number, got NaN")
        if key in self._constraints:
            warnings.warn(f"constraint {key!r} was set before; the first value is kept", stacklevel=2)
            return
        self._pipe.tell("set_constraint", key, number)
        self._constraints[key] = number

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:  # noqa: ANN401
        name = _name("parameter", name)
        if name in self._distributions:
            # The first call decides, as in Optuna: a name in a loop is one parameter.
            return self._params[name]
        value = self._pipe.ask("suggest", name, distribution)
        self._params[name], self._distributions[name] = value, distribution
        return value

    @property
    def params(self) -> dict[str, Any]:
        return dict(self._params)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        return dict(self._distributions)

    @property
    def user_attrs(self) -> dict[str, Any]:
        return dict(self._user_attrs)

    @property
    def constraints(self) -> dict[str, float]:
        return dict(self._constraints)

    @property
    def reported(self) -> dict[int, float]:
        """Values by step, as the study's code reported them."""
        return dict(self._reported)

    @property
    def datetime_start(self) -> datetime.datetime | None:
        return self._datetime_start

    @property
    def number(self) -> int:
        return self._number


def suggest(trial: BaseTrial, name: str, distribution: BaseDistribution) -> Any:  # noqa: ANN401 - any parameter
    """Have a trial suggest a parameter of a distribution: what ``RemoteTrial`` asks its supervisor for."""
    match distribution:
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(name, low, high, step=step, log=log)
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(name, low, high, step=step, log=log)
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
    raise TypeError(f"parameter {name!r} has a distribution of an unknown kind, {distribution!r}")


def plain_choices(name: str, choices: Sequence[Any]) -> list[CategoricalChoiceType]:
    """Return choices as a database gives them back: NumPy's scalars and members of enums become what they hold.

    Raises:
        StudyFileError: If a choice would come back as another one, or cannot be kept.
    """
    plain = [_plain(name, choice) for choice in choices]
    size = len(json.dumps(plain))
    if size > MAX_CHOICES:
        # They are written with each trial, and read with it again and again.
        raise StudyFileError(
            f"the choices of parameter {name!r} have {size} characters as JSON; at most {MAX_CHOICES} are kept with "
            "each trial. Suggest a place in the list, as by suggest_int, and look the choice up in the study file"
        )
    seen: dict[Any, Any] = {}
    for choice in plain:
        equal = seen.setdefault(choice, choice)
        if type(equal) is not type(choice):
            # Optuna keeps a choice by its place in the list, and takes the first equal one for it.
            raise StudyFileError(
                f"parameter {name!r} has the choices {equal!r} and {choice!r}, which are equal, so that the database "
                "has the first for both; leave one out, or name them by text and look the value up in a dictionary"
            )
    return plain


def _plain(name: str, choice: Any) -> CategoricalChoiceType:  # noqa: ANN401 - whatever the study's code has
    match choice.item() if isinstance(choice, np.generic) else choice:
        case None | bool() as same:
            return same
        # Not str(), which an enum may have of its own; these return a copy of the plain type.
        case str() as text:
            return str.__str__(text)
        case int() as whole:
            return int.__int__(whole)
        case float() as number:
            return float.__float__(number)
    raise StudyFileError(
        f"parameter {name!r} has the choice {choice!r}, a {type(choice).__name__}, which a database cannot "
        "keep; choose among text, numbers, True, False and None, and look the object up in a dictionary"
    )


def own_choice(value: Any, plain: Sequence[Any], choices: Sequence[Any]) -> Any:  # noqa: ANN401 - any choice
    """Return the study's own object for a plain value; what an earlier call with other choices drew stays as it is."""
    return tuple(choices)[plain.index(value)] if value in plain else value


def check_attribute(key: str, value: object) -> str:
    """Return an attribute as JSON, or raise ``ValueError`` for one that cannot be recorded."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        raise ValueError(
            f"attribute {key!r} must be JSON (text, numbers, lists, dictionaries), got {value!r}"
        ) from None
    if len(text) > MAX_ATTRIBUTE:
        raise ValueError(f"attribute {key!r} has {len(text)} characters as JSON; at most {MAX_ATTRIBUTE} are kept")
    return text


def _name(what: str, name: str, longest: int = MAX_NAME) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= longest or "\0" in name:
        raise ValueError(f"the name of a {what} must be text of 1 to {longest} characters, got {str(name)[:60]!r}")
    return str.__str__(name)
