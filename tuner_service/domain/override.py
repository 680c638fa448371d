"""Overrides of a specification: from a YAML file, and from ``--set field=value``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from tuner_service.domain.attempt import Param
from tuner_service.errors import SpecError

#: Longest YAML text that is read, in characters: a specification has a dozen fields.
_MAX_YAML = 256 * 1024


class _Loader(yaml.SafeLoader):
    """Safe YAML in which 1e-3 is a number, a key stands once, and nothing is an alias of something else."""

    def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401 - as in PyYAML
        if self.check_event(yaml.AliasEvent):
            raise SpecError("YAML aliases (*name) are not read in a specification; write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        repeated = sorted({str(key) for key in keys if keys.count(key) > 1})
        if repeated:
            raise SpecError(f"YAML: {', '.join(repeated)} stands there more than once; keep one")
        return super().construct_mapping(node, deep)


# YAML 1.1 reads 1e-3 as a string, because it wants a dot; people do not.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def parse_yaml(text: str, source: str) -> dict[str, object]:
    """Return the fields that a YAML text gives.

    Raises:
        SpecError: If the text is not YAML, not a mapping, too long, or names a key twice.
    """
    if len(text) > _MAX_YAML:
        raise SpecError(f"{source}: has {len(text)} characters; a specification has at most {_MAX_YAML}")
    try:
        fields = yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of the safe loader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # ValueError: a date or a number that is none, such as 2020-13-45. RecursionError: thousands of brackets.
        raise SpecError(f"{source}: is not YAML: {' '.join(str(error).split())}") from None
    if fields is None:
        return {}
    if not isinstance(fields, dict) or not all(isinstance(key, str) for key in fields):
        raise SpecError(f"{source}: must be `field: value` lines, got {type(fields).__name__}")
    return fields


def parse_assignments(assignments: Iterable[str]) -> dict[str, object]:
    """Return the fields that ``field=value`` texts give; a dot reaches into the sampler or the pruner.

    >>> parse_assignments(["trials=100", "sampler.seed=3"])
    {'trials': 100, 'sampler': {'seed': 3}}
    """
    fields: dict[str, object] = {}
    for assignment in assignments:
        path, value = _assigned(assignment, "--set wants field=value, such as trials=100 or sampler.seed=3")
        *parents, last = path.split(".")
        merge_into = fields
        for parent in parents:
            below = merge_into.setdefault(parent, {})
            if not isinstance(below, dict):
                raise SpecError(f"--set {path}: {parent!r} was already set to {below!r}")
            merge_into = below
        merge_into[last] = value
    return fields


def parse_point(assignments: Iterable[str]) -> dict[str, Param]:
    """Return the parameters that ``name=value`` texts give.

    >>> parse_point(["units=64", "rate=1e-3", "activation=relu"])
    {'units': 64, 'rate': 0.001, 'activation': 'relu'}
    """
    point: dict[str, Param] = {}
    for assignment in assignments:
        name, value = _assigned(assignment, "a point is name=value for each parameter, such as units=64")
        if value is not None and not isinstance(value, str | int | float | bool):
            raise SpecError(f"{name} must be text, a number, true, false or null, got {value!r}")
        point[name] = value
    return point


def _assigned(assignment: str, wanted: str) -> tuple[str, object]:
    path, separator, text = assignment.partition("=")
    if not separator or not path.strip():
        raise SpecError(f"{wanted}, got {assignment!r}")
    return path.strip(), parse_yaml(f"value: {text}", path).get("value")


def override(fields: Mapping[str, object], *changes: Mapping[str, object]) -> dict[str, object]:
    """Return the fields with the changes laid over them, later ones last; nothing given is changed.

    A sampler or pruner of another kind starts from its own defaults, not from the fields of the kind it replaces, and
    another metric from the direction of its own name. A grid's ``space`` is replaced as a whole.
    """
    result = dict(fields)
    for change in changes:
        result = _laid_over(result, change)
    is_said = any("direction" in change for change in changes)
    if not is_said and _names(result.get("metric")) != _names(fields.get("metric")):
        result["direction"] = None
    return result


def _names(metric: object) -> list[str]:
    """Return the names of the metrics of a specification, which may be KerasTuner's objectives."""
    return [str(getattr(one, "name", one)) for one in (metric if isinstance(metric, list | tuple) else [metric])]


def _laid_over(fields: Mapping[str, object], change: Mapping[str, object]) -> dict[str, object]:
    result = dict(fields)
    for key, value in change.items():
        old = result.get(key)
        if isinstance(value, dict):
            # The short forms: sampler="tpe", folds=5.
            old = {"kind": old} if isinstance(old, str) else {"n": old} if isinstance(old, int) else old
        # A sampler by its name is of the kind that its path says.
        of_one_kind = (
            isinstance(value, dict)
            and isinstance(old, dict)
            and all(value.get(name, old.get(name)) == old.get(name) for name in ("kind", "path"))
        )
        result[key] = _laid_over(old, value) if of_one_kind and key != "space" else value  # type: ignore[arg-type]
    return result
