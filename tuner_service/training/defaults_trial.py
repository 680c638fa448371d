"""A trial with the defaults of KerasTuner's hyperparameters: where a user who tunes nothing would start."""

from __future__ import annotations

import time
from typing import Any, NoReturn

from tuner_service.search.space import contains
from tuner_service.training.hp_kinds import HyperParameter
from tuner_service.training.remote_trial import Pipe, RemoteTrial


class NoDefaultError(Exception):
    """A parameter has no default, or one that is none of its values."""


class _Defaults(Pipe):
    """Answers with the defaults that it was told of."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}
        self.lacking: str | None = None

    def ask(self, op: str, *arguments: Any) -> Any:  # noqa: ANN401 - as the method it stands for
        if op != "suggest":
            return False
        name, distribution = arguments
        if name not in self.known:
            self._lack(f"parameter {name!r} has none; only KerasTuner's hp gives any")
        if not contains(distribution, self.known[name]):
            self._lack(f"parameter {name!r} has {self.known[name]!r}, which is not in {distribution}")
        return self.known[name]

    def _lack(self, what: str) -> NoReturn:
        # The study's code may catch what is raised here.
        self.lacking = what
        raise NoDefaultError(what)

    def tell(self, op: str, *arguments: object) -> None:
        """Take note of nothing."""


class DefaultsTrial(RemoteTrial):
    """Each of its parameters is the default that KerasTuner's ``hp`` defines."""

    def __init__(self) -> None:
        self._defaults = _Defaults()
        super().__init__(self._defaults, 0, time.time())

    def defined(self, parameter: HyperParameter, first: HyperParameter | None) -> None:
        """Take note of a hyperparameter before it is drawn; its first definition in a trial holds."""
        if first is None:
            self._defaults.known[parameter.optuna_name] = parameter.optuna_default

    @property
    def defaults(self) -> dict[str, Any] | None:
        """The defaults of all that was asked for; ``None`` where one has none, or nothing was asked for."""
        return self.params or None if self._defaults.lacking is None else None

    @property
    def lacking(self) -> str | None:
        """Which parameter has no default, in words, if one was asked for."""
        return self._defaults.lacking
