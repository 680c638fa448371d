"""KerasTuner's ``hp``, its values drawn from an Optuna trial.

Source: ``keras_tuner/src/engine/hyperparameters/hyperparameters.py`` of KerasTuner 1.4.8, which is not needed here.
Where this deviates, ``docs/how-to/kerastuner.md`` says so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

from optuna.trial import BaseTrial

from tuner_service.training.defaults_trial import DefaultsTrial
from tuner_service.training.hp_kinds import (
    KINDS,
    Boolean,
    Choice,
    Fixed,
    Float,
    HyperParameter,
    Int,
    Parent,
    SeenAsKerasTuners,
)
from tuner_service.training.recording_trial import RecordingTrial


def make_hp(trial: BaseTrial | None = None) -> HyperParameters:
    """Return KerasTuner's ``hp`` for a trial, to be given to ``build(hp)``.

    Args:
        trial: A trial that is running, whose parameters are drawn as they are asked for; a finished one, or
            ``optuna.trial.FixedTrial(params)``, whose parameters are taken; or ``None``, for the defaults.

    Raises:
        TypeError: If it is no trial.

    >>> make_hp().Int("units", 32, 256, step=32, default=64)
    64
    """
    if trial is not None and not isinstance(trial, BaseTrial):
        raise TypeError(
            f"make_hp wants an Optuna trial or None, got {type(trial).__name__}; "
            "for a dictionary of parameters it is make_hp(optuna.trial.FixedTrial(params))"
        )
    hp = HyperParameters()
    if trial is not None:
        hp.draw = lambda parameter: parameter.draw(trial)
    if isinstance(trial, RecordingTrial | DefaultsTrial):
        hp.defined = trial.defined
    return hp


class HyperParameters(SeenAsKerasTuners):
    """A search space that is being found out, and the values of its active hyperparameters."""

    def __init__(self) -> None:
        self.space: list[HyperParameter] = []  #: in the order of their definition
        self.values: dict[str, Any] = {}  #: of the active ones; what is put in before the definition holds
        self.draw: Callable[[HyperParameter], Any] = lambda parameter: parameter.default
        #: told of each definition, and of the one before it that holds, if there is one
        self.defined: Callable[[HyperParameter, HyperParameter | None], None] = lambda *_: None
        self._scopes: list[str] = []
        self._conditions: list[Parent] = []

    def Int(
        self,
        name: str,
        min_value: Any,
        max_value: Any,
        step: Any = None,
        sampling: str | None = "linear",
        default: Any = None,
        parent_name: str | None = None,
        parent_values: Any = None,
    ) -> Any:
        """Return a whole number, or ``None`` where it is not active.

        Args:
            name: Its name within the current scopes.
            min_value: The lowest value.
            max_value: The highest value, one of the possible ones.
            step: Difference of two values; with a logarithm their ratio, above 1.
            sampling: "linear", "log" (dense near ``min_value``) or "reverse_log" (dense near ``max_value``).
            default: The value without a trial; the lowest one unless given.
            parent_name: Another hyperparameter, on which this one depends.
            parent_values: The values of the other one with which this one is active.

        Raises:
            ValueError: If an argument is outside its range.
        """
        with self._under(parent_name, parent_values) as conditions:
            return self._value(Int(self._full(name), min_value, max_value, step, sampling, default, conditions))

    def Float(
        self,
        name: str,
        min_value: Any,
        max_value: Any,
        step: Any = None,
        sampling: str | None = "linear",
        default: Any = None,
        parent_name: str | None = None,
        parent_values: Any = None,
    ) -> Any:
        """Return a number, or ``None`` where it is not active; the arguments are those of ``Int``."""
        with self._under(parent_name, parent_values) as conditions:
            return self._value(Float(self._full(name), min_value, max_value, step, sampling, default, conditions))

    def Choice(
        self,
        name: str,
        values: Any,
        ordered: bool | None = None,
        default: Any = None,
        parent_name: str | None = None,
        parent_values: Any = None,
    ) -> Any:
        """Return one of some values of one type (text, numbers or truth values), or ``None`` where it is not active."""
        with self._under(parent_name, parent_values) as conditions:
            return self._value(Choice(self._full(name), values, ordered, default, conditions))

    def Boolean(
        self, name: str, default: Any = False, parent_name: str | None = None, parent_values: Any = None
    ) -> Any:
        """Return True or False, or ``None`` where it is not active."""
        with self._under(parent_name, parent_values) as conditions:
            return self._value(Boolean(self._full(name), default, conditions))

    def Fixed(self, name: str, value: Any, parent_name: str | None = None, parent_values: Any = None) -> Any:
        """Return the value, or ``None`` where it is not active."""
        with self._under(parent_name, parent_values) as conditions:
            return self._value(Fixed(self._full(name), value, conditions))

    @contextlib.contextmanager
    def name_scope(self, name: str) -> Iterator[None]:
        """Put a name and a slash before the names that are used in the block."""
        self._scopes.append(name)
        try:
            yield
        finally:
            self._scopes.pop()

    @contextlib.contextmanager
    def conditional_scope(self, parent_name: str, parent_values: Any) -> Iterator[None]:
        """Make what is defined in the block depend on another hyperparameter's value; the block runs in any case.

        Raises:
            ValueError: If the other one is not defined, under the conditions that hold here.
        """
        name = self._full(parent_name)
        if self._known(name, self._conditions) is None:
            raise ValueError(f"the hyperparameter {name!r}, on which others are to depend, is not defined here")
        self._conditions.append(Parent(name, parent_values))
        try:
            yield
        finally:
            self._conditions.pop()

    def is_active(self, hyperparameter: HyperParameter | str) -> bool:
        """Return whether the conditions of a hyperparameter hold, or those of any of this name."""
        if isinstance(hyperparameter, HyperParameter):
            return all(condition.is_active(self.values) for condition in hyperparameter.conditions)
        return any(self.is_active(one) for one in self.space if one.name == str(hyperparameter))

    def get(self, name: str) -> Any:
        """Return the value of an active hyperparameter.

        Raises:
            ValueError: If it is not active.
            KeyError: If there is none of this name.
        """
        name = self._full(name)
        if name in self.values:
            return self.values[name]
        if any(one.name == name for one in self.space):
            raise ValueError(f"the hyperparameter {name!r} is currently inactive")
        raise KeyError(f"the hyperparameter {name!r} does not exist")

    __getitem__ = get

    def __contains__(self, name: str) -> bool:
        try:
            self.get(name)
        except (KeyError, ValueError):
            return False
        return True

    def merge(self, hps: Any, overwrite: bool = True) -> None:
        """Take over the hyperparameters of another ``hp``, or some in a list; KerasTuner's own will do.

        Args:
            hps: Where they come from.
            overwrite: Whether they replace those that are here with the same name and conditions, and their values.
        """
        for given in list(getattr(hps, "space", hps)):
            config = {"class_name": type(given).__name__, "config": given.get_config()}
            parameter = _from_config(config)
            known = self._known(parameter.name, parameter.conditions)
            if overwrite and known is not None:
                self.space.remove(known)
            if overwrite and self.is_active(parameter):
                self.values.pop(parameter.name, None)
            self._value(parameter)

    def get_config(self) -> dict[str, Any]:
        """Return space and values as data, in KerasTuner's form."""
        space = [{"class_name": type(one).__name__, "config": one.get_config()} for one in self.space]
        return {"space": space, "values": dict(self.values)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return what ``get_config`` described, here or in KerasTuner; what is new in it takes its default."""
        hp = cls()
        hp.space = [_from_config(one) for one in config["space"]]
        hp.values = dict(config["values"])
        return hp

    def copy(self) -> HyperParameters:
        """Return the same space and values without the trial: what is new in the copy takes its default."""
        return HyperParameters.from_config(self.get_config())

    def __reduce__(self) -> tuple[Any, ...]:
        # A trial that is running cannot be copied or pickled.
        return HyperParameters.from_config, (self.get_config(),)

    def _value(self, parameter: HyperParameter) -> Any:
        """Return the value of a hyperparameter, defined now or before, or ``None`` where it is not active."""
        # The first definition holds: a name in a loop is one hyperparameter.
        known = self._known(parameter.name, parameter.conditions)
        self.defined(parameter, known)
        if known is None:
            if any(condition.name == parameter.name for condition in self._conditions):
                raise ValueError(f"the hyperparameter {parameter.name!r} cannot depend on itself")
            self.space.append(parameter)
            known = parameter
        if not self.is_active(known):
            return None
        if known.name not in self.values:
            self.values[known.name] = self.draw(known)
        return self.values[known.name]

    def _known(self, name: str, conditions: Sequence[Parent]) -> HyperParameter | None:
        return next((one for one in self.space if one.name == name and one.conditions == list(conditions)), None)

    def _full(self, name: object) -> str:
        return "/".join([*self._scopes, str(name)])

    @contextlib.contextmanager
    def _under(self, parent_name: str | None, parent_values: Any) -> Iterator[list[Parent]]:
        with self.conditional_scope(parent_name, parent_values) if parent_name else contextlib.nullcontext():
            yield self._conditions


def _from_config(config: Mapping[str, Any]) -> HyperParameter:
    return KINDS[config["class_name"]].from_config(config["config"])
