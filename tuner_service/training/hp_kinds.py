"""The hyperparameters of KerasTuner, one by one: checked as KerasTuner checks them, drawn from an Optuna trial.

Source: ``keras_tuner/src/engine/hyperparameters/hp_types`` and ``keras_tuner/src/engine/conditions.py`` of KerasTuner
1.4.8. Names of arguments, defaults, values and kinds of errors are KerasTuner's.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Self

from optuna.trial import BaseTrial

#: What a hyperparameter may be.
Value = str | int | float | bool


class SeenAsKerasTuners:
    """Passes ``isinstance`` for KerasTuner's class of the same name where the study has imported KerasTuner."""

    @property  # type: ignore[misc]  # as unittest.mock does it
    def __class__(self) -> type:
        package = sys.modules.get("keras_tuner.engine.hyperparameters")
        kind: type = getattr(package, type(self).__name__, type(self))
        return kind


class Parent:
    """The condition that another hyperparameter has one of some values."""

    def __init__(self, name: str, values: Any) -> None:  # a value, a list or a tuple
        given = list(values) if isinstance(values, list | tuple) else [values]
        match given[0]:
            case str():
                given = [str(value) for value in given]
            case bool() | float():
                pass
            case int():
                given = [int(value) for value in given]
            case _:
                raise TypeError(
                    f"the values of a condition must be text, numbers, True or False, got {values!r} for {name!r}"
                )
        self.name = name
        self.values = given

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parent) and (other.name, other.values) == (self.name, self.values)

    __hash__ = None  # type: ignore[assignment]  # a list of values has none

    def is_active(self, values: Mapping[str, Any]) -> bool:
        """Return whether these values fulfil it."""
        return self.name in values and values[self.name] in self.values

    def get_config(self) -> dict[str, Any]:
        """Return it as data, in KerasTuner's form."""
        return {"class_name": "Parent", "config": {"name": self.name, "values": list(self.values)}}


class HyperParameter(SeenAsKerasTuners):
    """One hyperparameter; its name and its conditions are what it is known by."""

    #: The arguments that are its own, as attributes and in its configuration.
    arguments: ClassVar[tuple[str, ...]]

    def __init__(self, name: str, conditions: Sequence[Parent]) -> None:
        self.name = name
        self.conditions = list(conditions)

    @property
    def default(self) -> Any:  # of the kind's type
        """What it is where nothing else is known."""
        raise NotImplementedError

    def draw(self, trial: BaseTrial) -> Value:
        """Return its value in a trial."""
        raise NotImplementedError

    @property
    def optuna_name(self) -> str:
        """Its name in Optuna's records, as in ``units@model:cnn`` or ``units_2@layers:2,3``.

        The conditions are in it because two hyperparameters of one name are two dimensions of the search.
        """
        return "@".join(
            [self.name, *(f"{one.name}:{','.join(str(value) for value in one.values)}" for one in self.conditions)]
        )

    @property
    def optuna_default(self) -> Any:  # of the kind's type
        """Its default as Optuna records it."""
        return self.default

    def get_config(self) -> dict[str, Any]:
        """Return it as data, in KerasTuner's form."""
        conditions = [condition.get_config() for condition in self.conditions]
        return {"name": self.name, "conditions": conditions} | {name: getattr(self, name) for name in self.arguments}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the hyperparameter that ``get_config`` described."""
        conditions = [Parent(**condition["config"]) for condition in config["conditions"]]
        return cls(**{**config, "conditions": conditions})

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.arguments)
        return f"{type(self).__name__}(name={self.name!r}, {given})"


class _Range(HyperParameter):
    """A range of numbers."""

    arguments = ("min_value", "max_value", "step", "sampling", "default")

    def __init__(
        self,
        name: str,
        low: Any,
        high: Any,
        step: Any,
        sampling: str | None,
        default: Any,
        conditions: Sequence[Parent],
    ) -> None:
        super().__init__(name, conditions)
        self.min_value, self.max_value, self.step = low, high, step
        self.sampling = ("linear" if sampling is None else sampling).lower()
        self._default = default
        where = f"{type(self).__name__}({name!r})"
        if low > high:
            raise ValueError(f"{where}: min_value {low} is above max_value {high}")
        if not math.isfinite(high - low):
            raise ValueError(f"{where}: min_value and max_value must be finite numbers, got {low} and {high}")
        if self.sampling not in ("linear", "log", "reverse_log"):
            raise ValueError(f"{where}: sampling must be 'linear', 'log' or 'reverse_log', got {sampling!r}")
        if self.sampling != "linear" and low <= 0:
            raise ValueError(f"{where}: sampling={self.sampling!r} needs a min_value above 0, got {low}")
        least = 0 if self.sampling == "linear" else 1
        if step is not None and step <= least:
            raise ValueError(f"{where}: with sampling={self.sampling!r} the step must be above {least}, got {step}")

    @property
    def default(self) -> Any:
        """What was given, as it is, or the lowest value."""
        return self.min_value if self._default is None else self._default

    @property
    def optuna_name(self) -> str:
        """Optuna has no reversed logarithm: its number is the value's distance from ``min_value + max_value``."""
        return f"{super().optuna_name}@reverse_log" if self._is_mirrored else super().optuna_name

    @property
    def optuna_default(self) -> Any:
        """Mirrored as the values are."""
        return self._mirrored(self.default) if self._is_mirrored else self.default

    @property
    def _is_mirrored(self) -> bool:
        return self.sampling == "reverse_log" and self.step is None

    def _ladder(self) -> list[float]:
        """Return the values of a range whose step multiplies."""
        # As KerasTuner computes them, rounding included.
        rungs = int(math.log(self.max_value / self.min_value, self.step) + 1e-8) + 1
        values = [self.min_value * math.pow(self.step, rung) for rung in range(rungs)]
        return values if self.sampling == "log" else [self._mirrored(value) for value in values]

    def _mirrored(self, value: float) -> Any:  # int of int
        return self.max_value + self.min_value - value

    def _record(self, trial: BaseTrial, value: Value) -> Value:
        """Have the trial show a value that is not Optuna's own, by its plain name."""
        trial.set_user_attr(self.name, value)
        return value


class Int(_Range):
    """A whole number; ``max_value`` is one of the values."""

    def __init__(
        self,
        name: str,
        min_value: Any,  # 2.0 will do
        max_value: Any,
        step: Any = None,
        sampling: str | None = "linear",
        default: Any = None,  # not checked, as in KerasTuner
        conditions: Sequence[Parent] = (),
    ) -> None:
        step = None if step is None else _whole("step", step)
        low, high = _whole("min_value", min_value), _whole("max_value", max_value)
        super().__init__(name, low, high, step, sampling, default, conditions)
        if self.sampling == "linear" and step is None:
            self.step = 1

    def draw(self, trial: BaseTrial) -> int:
        """Return its value in a trial."""
        if self.sampling == "linear":
            # Optuna would warn of a maximum between two steps, and lower it.
            high = self.min_value + (self.max_value - self.min_value) // self.step * self.step
            return trial.suggest_int(self.optuna_name, self.min_value, high, step=self.step)
        if self.step is not None:
            rungs = [int(value) for value in self._ladder()]
            return int(trial.suggest_categorical(self.optuna_name, rungs))
        drawn = trial.suggest_int(self.optuna_name, self.min_value, self.max_value, log=True)
        return drawn if self.sampling == "log" else int(self._record(trial, self._mirrored(drawn)))

    def get_config(self) -> dict[str, Any]:
        """Return it as data, in KerasTuner's form."""
        return super().get_config() | {"default": self._default}


class Float(_Range):
    """A number."""

    def __init__(
        self,
        name: str,
        min_value: Any,  # whatever float takes
        max_value: Any,
        step: Any = None,
        sampling: str | None = "linear",
        default: Any = None,  # not checked, as in KerasTuner
        conditions: Sequence[Parent] = (),
    ) -> None:
        if step is not None:
            float(step)
        super().__init__(name, float(min_value), float(max_value), step, sampling, default, conditions)

    def draw(self, trial: BaseTrial) -> float:
        """Return its value in a trial."""
        low, high = self.min_value, self.max_value
        if self.sampling == "linear" and self.step is None:
            return trial.suggest_float(self.optuna_name, low, high)
        if self.sampling == "linear":
            return trial.suggest_float(self.optuna_name, low, self._last_step(), step=float(self.step))
        if self.step is not None:
            return float(trial.suggest_categorical(self.optuna_name, self._ladder()))
        drawn = trial.suggest_float(self.optuna_name, low, high, log=True)
        # Rounding must not lead out of the range.
        return (
            drawn if self.sampling == "log" else float(self._record(trial, min(max(self._mirrored(drawn), low), high)))
        )

    def _last_step(self) -> float:
        # In decimals, as Optuna does: in binary, ten steps of 0.1 are not 1, and KerasTuner loses the maximum by it.
        low, high, step = (Decimal(str(float(one))) for one in (self.min_value, self.max_value, self.step))
        return float(low + (high - low) // step * step)


class Choice(HyperParameter):
    """One of some values of one type."""

    arguments = ("values", "ordered", "default")

    def __init__(
        self,
        name: str,
        values: Any,  # a list, a tuple or a range
        ordered: bool | None = None,
        default: Any = None,
        conditions: Sequence[Parent] = (),
    ) -> None:
        super().__init__(name, conditions)
        if not values:
            raise ValueError(f"Choice({name!r}): `values` must be given")
        kinds = {type(value) for value in values}
        if len(kinds) > 1:
            raise TypeError(f"Choice({name!r}): the values must be of one type, got {values!r}")
        kind = next((one for one in (str, bool, int, float) if isinstance(values[0], one)), None)
        if kind is None:
            raise TypeError(
                f"Choice({name!r}): the values must be text, whole numbers, numbers, True or False, got {values!r}"
            )
        self.values: list[Any] = [kind(value) for value in values]
        if default is not None:
            if kind is not float:
                default = str(default) if kind is str else int(default)
            if default not in self.values:
                raise ValueError(f"Choice({name!r}): the default {default!r} is not one of {self.values}")
        self._default = default
        if ordered and kind is str:
            raise ValueError(f"Choice({name!r}): text has no order; leave out ordered=True")
        self.ordered = kind is not str if ordered is None else ordered

    @property
    def default(self) -> Any:
        """What was given, or the first value."""
        return self.values[0] if self._default is None else self._default

    @property
    def optuna_default(self) -> Any:
        """The value that equals it: of KerasTuner's ``default=False`` there is a 0, and of ``default=0`` for 0.0."""
        return self.values[self.values.index(self.default)]

    def draw(self, trial: BaseTrial) -> Value:
        """Return its value in a trial."""
        drawn: Value = trial.suggest_categorical(self.optuna_name, list(dict.fromkeys(self.values)))
        return drawn


class Boolean(HyperParameter):
    """True or False."""

    arguments = ("default",)
    values = (True, False)

    def __init__(self, name: str, default: Any = False, conditions: Sequence[Parent] = ()) -> None:
        super().__init__(name, conditions)
        if default not in {True, False}:
            raise ValueError(f"Boolean({name!r}): the default must be True or False, got {default!r}")
        self._default = default

    @property
    def default(self) -> Any:  # 1 stays 1, as in KerasTuner
        """What was given, or False."""
        return self._default

    @property
    def optuna_default(self) -> bool:
        """True or False."""
        return bool(self._default)

    def draw(self, trial: BaseTrial) -> bool:
        """Return its value in a trial."""
        return bool(trial.suggest_categorical(self.optuna_name, [False, True]))


class Fixed(HyperParameter):
    """A value that is not tuned, and that Optuna does not see."""

    arguments = ("value",)

    def __init__(self, name: str, value: Any, conditions: Sequence[Parent] = ()) -> None:
        super().__init__(name, conditions)
        if not isinstance(value, str | int | float):
            raise ValueError(f"Fixed({name!r}): the value must be text, a number, True or False, got {value!r}")
        self.value = value
        self.values = (value,)

    @property
    def default(self) -> Value:
        """The value."""
        return self.value

    def draw(self, trial: BaseTrial) -> Value:  # noqa: ARG002 - as the other kinds
        """Return the value."""
        return self.value


KINDS: Mapping[str, type[HyperParameter]] = {kind.__name__: kind for kind in (Int, Float, Choice, Boolean, Fixed)}


def _whole(what: str, value: Any) -> int:  # whatever int takes
    whole = int(value)
    if whole != value:
        raise ValueError(f"{what} must be a whole number, got {value!r}")
    return whole
