"""A trial for trying a study's code: it takes note of what is wrong with its parameters, and goes on."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from tuner_service.domain.finding import Finding, Level
from tuner_service.errors import StudyFileError
from tuner_service.training.hp_kinds import HyperParameter
from tuner_service.training.remote_trial import Pipe, RemoteTrial, own_choice, plain_choices, suggest


class _Drawing(Pipe):
    """Answers with given parameters, and with random draws for those that are not given."""

    def __init__(self, seed: int, given: Mapping[str, Any]) -> None:
        self._trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()
        self._given = given

    def ask(self, op: str, *arguments: Any) -> Any:  # noqa: ANN401 - as the method it stands for
        if op != "suggest":
            return False
        name, distribution = arguments
        return self._given[name] if name in self._given else suggest(self._trial, name, distribution)

    def tell(self, op: str, *arguments: object) -> None:
        """Take note of nothing."""


class RecordingTrial(RemoteTrial):
    """Random draws; a range that is wrong is put right for this once, so that the rest is tried too.

    Args:
        file: The study file, in which lines are looked for.
        seed: Of the draws.
        given: Parameters that are not drawn.
    """

    def __init__(self, file: str, seed: int, given: Mapping[str, Any] | None = None) -> None:
        super().__init__(_Drawing(seed, given or {}), 0, time.time())
        self._file = file
        self._defined_in: dict[str, int | None] = {}
        self.findings: list[Finding] = []
        self.line: int | None = None  #: of the call, where it is not to be looked for

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        low, high, log = self._put_right(name, low, high, log=log, least=0.0)
        made = self._made(name, lambda: FloatDistribution(low, high, log=log, step=step))
        return low if made is None else float(self._suggest(name, made))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        low, high, log = self._put_right(name, low, high, log=log, least=0)
        made = self._made(name, lambda: IntDistribution(low, high, log=log, step=step))
        return low if made is None else int(self._suggest(name, made))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:  # noqa: ANN401
        try:
            plain = plain_choices(name, choices)
        except StudyFileError as error:
            self.note(Level.ERROR, "unkept-choice", str(error))
            return choices[0]
        made = self._made(name, lambda: CategoricalDistribution(plain))
        return None if made is None else own_choice(self._suggest(name, made), plain, choices)

    def defined(self, parameter: HyperParameter, first: HyperParameter | None) -> None:
        """Look at a hyperparameter of KerasTuner's, which checks neither a default nor a second definition."""
        low, high = getattr(parameter, "min_value", None), getattr(parameter, "max_value", None)
        if first is not None and repr(first) != repr(parameter):
            self.note(
                Level.ERROR,
                "two-ranges",
                f"parameter {parameter.name!r} is defined before as {first} and here as {parameter}; within a trial "
                "the first holds. Give the second another name",
            )
        elif low is not None and high is not None and not low <= parameter.default <= high:
            self.note(
                Level.ERROR,
                "default-outside-range",
                f"parameter {parameter.name!r} has the default {parameter.default}, outside its range from {low} to "
                f"{high}; change the one or the other",
            )

    def note(self, level: Level, rule: str, message: str) -> None:
        """Take note of something that is wrong where the study's code is now."""
        self.findings.append(Finding(level, rule, message, self._line()))

    def _put_right(self, name: str, low: Any, high: Any, *, log: bool, least: float) -> tuple[Any, Any, bool]:  # noqa: ANN401
        if low > high:
            self.note(
                Level.ERROR, "range-reversed", f"parameter {name!r} has min {low} above max {high}; exchange the two"
            )
            low, high = high, low
        if log and low <= least:
            self.note(
                Level.ERROR,
                "log-through-zero",
                f"parameter {name!r} is logarithmic and begins at {low}, which has no logarithm; begin above zero, or "
                "leave log=True out",
            )
            log = False
        return low, high, log

    def _made(self, name: str, make: Callable[[], BaseDistribution]) -> BaseDistribution | None:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                made = make()
            except ValueError as error:
                self.note(Level.ERROR, "bad-range", f"parameter {name!r}: {error}")
                return None
        if warned and isinstance(made, IntDistribution | FloatDistribution):
            self.note(
                Level.HINT,
                "max-off-grid",
                f"the max of parameter {name!r} is not on its grid of steps, so that the largest value is {made.high}",
            )
        return made

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:  # noqa: ANN401 - any parameter
        first = self.distributions.get(name)
        if first is not None and first != distribution:
            where = "" if self._defined_in[name] is None else f" in line {self._defined_in[name]}"
            self.note(
                Level.ERROR,
                "two-ranges",
                f"parameter {name!r} is defined{where} as {first} and here as {distribution}; within a trial the first "
                "holds. Give the second another name",
            )
        self._defined_in.setdefault(name, self._line())
        return super()._suggest(name, distribution)

    def _line(self) -> int | None:
        if self.line is not None:
            return self.line
        frame = sys._getframe()
        while frame is not None:
            if frame.f_code.co_filename == self._file:
                return frame.f_lineno
            frame = frame.f_back  # type: ignore[assignment]
        return None
