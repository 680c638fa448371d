"""A study's specification: everything that decides what its trials mean, as data."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from tuner_service.domain.attempt import Param
from tuner_service.domain.direction import Direction, known_direction
from tuner_service.domain.engine import Backend, Computing, Engine, Precision
from tuner_service.domain.folds import Folds
from tuner_service.domain.limits import Limits
from tuner_service.domain.measured import MEASURED
from tuner_service.domain.numbers import NonNegativeInt, PositiveInt
from tuner_service.domain.objective_value import BestEpoch, LastEpoch, MeanOfLast, ObjectiveValue
from tuner_service.domain.plural import count
from tuner_service.domain.pruner import (
    Hyperband,
    Median,
    NoPruning,
    Patient,
    Percentile,
    Pruner,
    SuccessiveHalving,
    Threshold,
    Wilcoxon,
)
from tuner_service.domain.sampler import SAMPLERS, CmaEs, Sampler, Tpe, is_exhaustive
from tuner_service.domain.seeds import hash_seed
from tuner_service.domain.stopping import Stopping
from tuner_service.errors import SpecError, did_you_mean

StudyName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]

#: Short forms for what comes in kinds, with its defaults: ``--set sampler=random``.
_KINDS: Mapping[str, Mapping[str, type[BaseModel]]] = {
    "pruner": {
        "hyperband": Hyperband,
        "successive-halving": SuccessiveHalving,
        "median": Median,
        "percentile": Percentile,
        "threshold": Threshold,
        "patient": Patient,
        "wilcoxon": Wilcoxon,
        "none": NoPruning,
    },
    "sampler": SAMPLERS,
    "value": {"best": BestEpoch, "last": LastEpoch, "mean-of-last": MeanOfLast},
}

#: The parts of a specification by what leads to them: a kind, or a field.
_PARTS: Mapping[str, type[BaseModel]] = {
    **{kind: part for kinds in _KINDS.values() for kind, part in kinds.items()},
    "limits": Limits,
    "stop": Stopping,
    "folds": Folds,
}


def _metric(given: object) -> str | tuple[str, ...]:
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, list | tuple) or not names or not all(isinstance(one, str) and one for one in names):
        raise ValueError(f"metric: must be a metric's name, or a list of several, got {_short(given)}")
    if max(map(len, names)) > 200:
        raise ValueError(f"metric: a name has at most 200 characters, got {_short(given)}")
    if len(set(names)) < len(names):
        raise ValueError(f"metric: each name stands once, got {_short(given)}")
    return str(names[0]) if len(names) == 1 else tuple(names)


def _direction(given: object) -> Direction | tuple[Direction | None, ...] | None:
    known: Mapping[object, Direction | None] = {None: None, "minimize": "minimize", "maximize": "maximize"}
    if isinstance(given, list | tuple):
        if wrong := [one for one in given if not isinstance(one, str | None) or one not in known]:
            raise ValueError(f"direction: must be 'minimize' or 'maximize', got {_short(wrong[0])}")
        directions = tuple(known[one] for one in given)
        return directions[0] if len(directions) == 1 else directions
    if not isinstance(given, str | None) or given not in known:
        raise ValueError(f"direction: must be 'minimize' or 'maximize', got {_short(given)}")
    return known[given]


class StudySpec(BaseModel):
    """What to tune, for how long, and how to search."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: StudyName  #: letters, digits, dot, underscore and hyphen; at most 100 characters
    #: name of the metric that Keras reports, such as val_accuracy, or of what is measured: parameters, model_bytes,
    #: latency_s; several names for several objectives
    metric: Annotated[str | tuple[str, ...], BeforeValidator(_metric)]
    #: which way is better; known for the metrics that Keras names, and of several in their order
    direction: Annotated[Direction | tuple[Direction | None, ...] | None, BeforeValidator(_direction)] = None
    prune_on: str | None = None  #: the metric that the pruner judges; by default the first one that Keras reports
    trials: PositiveInt | None = None  #: the budget: how many configurations are settled in the end; all, of a grid
    max_epochs: PositiveInt  #: epochs of a run that is not stopped early; a trial is one run, or executions x folds
    value: ObjectiveValue = BestEpoch()  #: which epochs make a run's value: "best", "last", or MeanOfLast(epochs=...)
    executions: int = Field(1, ge=1, le=100)  #: trainings of each configuration with other seeds; their mean counts
    folds: Folds | None = None  #: cross-validation; a number is that many plain folds
    sampler: Sampler = Tpe()  #: how configurations are proposed
    defaults_first: bool = False  #: the first configuration has the defaults of KerasTuner's hyperparameters
    points: tuple[dict[str, Param], ...] = ()  #: known points to try next; what one does not name is drawn
    warm_start: tuple[StudyName, ...] = ()  #: earlier studies of this storage whose best configurations come next
    warm_start_points: PositiveInt = 5  #: how many of them altogether
    pruner: Pruner = NoPruning()  #: when a trial is stopped early
    seed: NonNegativeInt = 0  #: of sampling, initial weights, shuffling and dropout; each configuration gets its own
    max_attempts: PositiveInt = 2  #: failures after which a configuration counts as failed
    limits: Limits = Limits()  #: how long an attempt may take and be silent, and how often it is saved
    stop: Stopping = Stopping()  #: what else ends the study: epochs, time, a target, no improvement
    keep_models: PositiveInt = 1  #: of how many of the best trials the models are kept; the others' are removed
    backend: Backend | None = None  #: what Keras computes with; by default the environment says, and that is kept
    engine: Engine = "auto"  #: whole epochs in one compiled program wherever that means the same, or as it is said here
    #: Keras' policy for layers that name none; "mixed_float16" is faster for large networks on a GPU
    precision: Precision | None = None
    #: batches in one call of the backend where ``fit`` trains; callbacks that act at batches act after as many
    steps_per_execution: PositiveInt | None = None
    devices_per_trial: PositiveInt = 1  #: GPUs that share each batch of a trial
    max_repeated_errors: PositiveInt = 5  #: the same error of its code this many times in a row stops the study

    @model_validator(mode="before")
    @classmethod
    def _expand_short_forms(cls, given: Any) -> Any:  # noqa: ANN401 - pydantic hands over whatever the user wrote
        if not isinstance(given, dict):
            return given
        expanded = {
            key: {"kind": value} if key in _KINDS and isinstance(value, str) else value
            for key, value in _with_objective(given).items()
        }
        pruner = expanded.get("pruner")
        if isinstance(pruner, dict) and isinstance(pruner.get("wrapped"), str):
            expanded["pruner"] = {**pruner, "wrapped": {"kind": pruner["wrapped"]}}
        folds = expanded.get("folds")
        if isinstance(folds, int) and not isinstance(folds, bool):
            expanded["folds"] = {"n": folds}
        return expanded

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        self._check_directions()
        judging = self.pruner.wrapped if isinstance(self.pruner, Patient) else self.pruner
        min_epochs = getattr(judging, "min_epochs", None)
        if min_epochs is not None and self.max_epochs < min_epochs:
            raise ValueError(
                f"max_epochs: {self.max_epochs} is below the pruner's min_epochs, {min_epochs}; "
                "raise the one or lower the other"
            )
        if self.stop.epochs is not None and self.stop.epochs < self.attempt_epochs:
            raise ValueError(
                f"stop.epochs: {self.stop.epochs} are less than the {self.attempt_epochs} that one trial may train, so "
                "that none could start; raise it, or lower max_epochs"
            )
        if isinstance(self.pruner, Wilcoxon) and self.runs < 2:
            raise ValueError(
                "pruner: wilcoxon compares trials run by run, and a trial has only one here; set folds or executions, "
                "or choose a pruner that judges by epochs, such as hyperband"
            )
        return self

    @model_validator(mode="after")
    def _check_budget(self) -> Self:
        finite = is_exhaustive(self.sampler)
        if self.trials is None and not finite:
            raise ValueError("trials: is missing; add it to the specification")
        if self.trials is not None and len(self.points) + self.defaults_first > self.trials:
            points = count(len(self.points), "point") + (" and the defaults" if self.defaults_first else "")
            raise ValueError(f"points: {points} do not fit in trials={self.trials}; raise it")
        if self.warm_start and finite:
            raise ValueError("warm_start: a grid tries every cell anyway; leave it out, or use another sampler")
        return self

    def _check_directions(self) -> None:
        if isinstance(self.direction, str) and len(self.metrics) > 1:
            raise ValueError(
                f"direction: {len(self.metrics)} metrics need as many directions, null where the name tells, such as "
                f"[{self.direction}, null]"
            )
        if isinstance(self.direction, tuple) and len(self.direction) != len(self.metrics):
            raise ValueError(f"direction: got {len(self.direction)} for {len(self.metrics)} metrics; give one for each")
        for metric, said in zip(self.metrics, self._said_directions, strict=True):
            if (said or known_direction(metric)) is None:
                example = '"maximize" or direction="minimize" (--set direction=maximize)'
                if len(self.metrics) > 1:
                    example = f"{['maximize' if one == metric else None for one in self.metrics]}"
                raise ValueError(
                    f"direction: it is not known whether a larger {metric!r} is better; say direction={example}"
                )
            if metric in MEASURED and said == "maximize":
                raise ValueError(
                    f"direction: {metric} is measured, and always minimized; name your own metric otherwise"
                )
        if self.prune_on in MEASURED:
            raise ValueError(f"prune_on: {self.prune_on} is measured after the training; name a metric of each epoch")
        if self.prune_on is not None and self.prune_on not in self.metrics and known_direction(self.prune_on) is None:
            raise ValueError(
                f"prune_on: it is not known whether a larger {self.prune_on!r} is better; name another one"
            )
        if self.prune_on is None and not self._reported and not isinstance(self.pruner, NoPruning):
            raise ValueError(
                f"pruner: {', '.join(self.metrics)} is measured after the training, so that it cannot judge an epoch; "
                'name a metric of each epoch, such as prune_on="val_loss", or leave the pruner out'
            )
        if isinstance(self.sampler, CmaEs) and len(self.metrics) > 1:
            raise ValueError(
                "sampler: cma-es searches for one objective; with several use tpe, gp, nsga2, nsga3 or random"
            )
        if isinstance(self.pruner, Wilcoxon) and len(self.metrics) > 1:
            raise ValueError(
                "pruner: wilcoxon compares runs by one metric; with several choose one that judges by epochs"
            )
        if isinstance(self.pruner, Wilcoxon) and self.prune_on not in (None, *self._reported):
            raise ValueError(
                f"prune_on: wilcoxon compares runs by the objective, {self.metrics[0]}, and not by {self.prune_on}; "
                "leave prune_on out, or choose a pruner that judges by epochs, such as hyperband"
            )
        if self.stop.target is not None and len(self.metrics) > 1:
            raise ValueError("stop.target: is for one metric; with several, patience ends a study whose front stays")

    @property
    def _said_directions(self) -> tuple[Direction | None, ...]:
        return self.direction if isinstance(self.direction, tuple) else (self.direction,) * len(self.metrics)

    @property
    def _reported(self) -> tuple[str, ...]:
        return tuple(metric for metric in self.metrics if metric not in MEASURED)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of all objectives, in the order of their values."""
        return (self.metric,) if isinstance(self.metric, str) else self.metric

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Which way each objective is better, said or known."""
        return tuple(self.direction_of(metric) for metric in self.metrics)

    @property
    def better(self) -> Direction:
        """Which way the first objective is better."""
        return self.directions[0]

    @property
    def watched(self) -> str:
        """The metric that decides which epoch counts: the first objective that Keras reports.

        Where all are measured it is the one that the pruner judges, or the loss.
        """
        return next(iter(self._reported), self.prune_on or "loss")

    @property
    def judged(self) -> str:
        """The metric that the pruner judges."""
        return self.prune_on or self.watched

    def direction_of(self, metric: str) -> Direction:
        """Return which way a metric of this specification is better."""
        said = dict(zip(self.metrics, self._said_directions, strict=True)).get(metric)
        direction = said or known_direction(metric)
        assert direction is not None  # checked on construction  # noqa: S101
        return direction

    @property
    def computing(self) -> Computing:
        """How its networks are computed."""
        return Computing(self.precision, self.steps_per_execution, self.devices_per_trial)

    @property
    def runs(self) -> int:
        """How many trainings a configuration is: executions times folds."""
        return self.executions * (1 if self.folds is None else self.folds.n)

    @property
    def attempt_epochs(self) -> int:
        """The most epochs that one attempt trains."""
        return self.max_epochs * self.runs

    @property
    def seeded_folds(self) -> Folds | None:
        """The folds with the seed of their shuffle, their own or one that follows from the study's."""
        if self.folds is None or self.folds.seed is not None:
            return self.folds
        return self.folds.model_copy(update={"seed": hash_seed(self.seed, 0, "folds")})

    @property
    def sampler_seed(self) -> int:
        """The seed of the draws: the sampler's own, or the study's."""
        return self.seed if self.sampler.seed is None else self.sampler.seed


def _with_objective(given: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with KerasTuner's ``Objective(name, direction)``, as metric or in its list, taken apart."""
    metric = given.get("metric")
    metrics: list[Any] = list(metric) if isinstance(metric, list | tuple) else [metric]
    words = {"min": "minimize", "max": "maximize"}
    said = [words.get(one.direction, one.direction) if _is_objective(one) else None for one in metrics]
    if not any(said):
        return given
    direction = given.get("direction")
    others = list(direction) if isinstance(direction, list | tuple) else [direction] * len(metrics)
    if len(others) != len(metrics) or any(
        one and other and one != other for one, other in zip(said, others, strict=True)
    ):
        raise ValueError(
            f"direction: {direction!r} is not what the metric says, {said if len(said) > 1 else said[0]!r}; say it once"
        )
    names = [one.name if _is_objective(one) else one for one in metrics]
    return {**given, "metric": names, "direction": [one or other for one, other in zip(said, others, strict=True)]}


def _is_objective(given: Any) -> bool:  # noqa: ANN401 - whatever the user wrote
    return hasattr(given, "name") and hasattr(given, "direction")


def parse_spec(fields: Mapping[str, object]) -> StudySpec:
    """Return the specification with these fields.

    Raises:
        SpecError: If a field is unknown, missing or out of its range; every one is named, with what was received.
    """
    try:
        return StudySpec.model_validate(dict(fields))
    except ValidationError as error:
        raise SpecError(explain(error)) from None


def explain(error: ValidationError) -> str:
    """Return what is wrong with a specification: a line for each field, with the value received and what to do."""
    return "; ".join(dict.fromkeys(_explain_one(dict(one)) for one in error.errors()))


def is_of_specification(error: ValidationError) -> bool:
    """Return whether an error is about a part of a specification, not about a model of the user's own."""
    return error.title == StudySpec.__name__ or error.title in {part.__name__ for part in _PARTS.values()}


def _explain_one(one: Mapping[str, Any]) -> str:
    loc = [str(part) for part in one["loc"]] or [""]
    # pydantic puts the kind of a union's member into the path: sampler.tpe.seed.
    path = [
        part
        for before, part in zip(("", *loc), loc, strict=False)
        if not (before in (*_KINDS, "wrapped") and part in _PARTS)
    ]
    where = ".".join(path)
    received = one.get("input")
    match one["type"]:
        case "extra_forbidden":
            known = (_PARTS.get(loc[-2], StudySpec) if len(loc) > 1 else StudySpec).model_fields.keys()
            owner = f"{'.'.join(path[:-1])} " if path[:-1] else ""
            hint = did_you_mean(path[-1], known) or f" Known: {', '.join(sorted(known))}."
            return f"unknown field {path[-1]!r} in the {owner}specification.{hint}"
        case "missing":
            return f"{where}: is missing; add it to the specification"
        case "value_error":
            return str(one["ctx"]["error"])
        case "union_tag_invalid" | "union_tag_not_found" | "model_attributes_type":
            tags = re.findall(r"[\w-]+", one.get("ctx", {}).get("expected_tags", "")) or _KINDS.get(loc[0], {})
            return f"{where}: {_short(received)} is not one of the kinds known here: {', '.join(sorted(tags))}"
        case "string_pattern_mismatch" if loc[-1] == "path":
            return f"{where}: {_short(received)} is not the dotted name of a class, such as optuna.samplers.TPESampler"
        case "string_pattern_mismatch":
            return (
                f"{where}: {_short(received)} is not a valid name; use letters, digits, dot, underscore and hyphen, "
                "at most 100 characters"
            )
        case "string_type" | "int_type" | "float_type" | "bool_type" if loc[-1] in ("str", "int", "float", "bool"):
            # It says so of each type that a parameter may have.
            parameter = ".".join(path[:-1])
            return f"{parameter}: must be text, a number, true, false or null, got {_short(received)}"
    message = re.sub(r"^Input should be", "must be", one["msg"])
    message = re.sub(r"a valid dictionary or instance of (\w+)", r"\1(...), or a dictionary of its fields", message)
    return f"{where}: {message.replace('a valid tuple', 'a list')}, got {_short(received)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


@functools.lru_cache(maxsize=64)
def parsed_spec(text: str) -> StudySpec:
    """Return the specification that a storage keeps as this text; it is read with every claim, and parsed once."""
    return parse_spec(json.loads(text))


def to_json(spec: StudySpec) -> str:
    """Return the specification as the storage keeps it."""
    return json.dumps(spec.model_dump(mode="json"))
