"""What can be said against a study without running it: of its specification, and of its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tuner_service.domain.finding import Finding, Level
from tuner_service.domain.pruner import Patient
from tuner_service.domain.spec import StudySpec

#: Methods that define a parameter, by the object's role: a trial of Optuna's, and KerasTuner's ``hp``.
OPTUNA = ("suggest_float", "suggest_int", "suggest_categorical")
_KERAS_TUNER = ("Int", "Float", "Choice", "Boolean", "Fixed")
#: Blocks of KerasTuner's that make one name several parameters.
_SCOPES = ("name_scope", "conditional_scope")


def of_spec(spec: StudySpec) -> list[Finding]:
    """Return what is wrong with a specification that is valid field by field."""
    pruner = spec.pruner
    judging = pruner.wrapped if isinstance(pruner, Patient) else pruner
    startup = getattr(judging, "startup_trials", 0)
    # Wilcoxon judges whole runs, not epochs.
    judges_epochs = pruner.kind not in ("none", "wilcoxon")
    brackets = range(pruner.brackets_for(spec.max_epochs))
    if judges_epochs and not any(pruner.rungs(one, spec.max_epochs) for one in brackets):
        return [
            Finding(
                Level.WARNING,
                "pruner-never-judges",
                f"the pruner {pruner.kind!r} judges no trial: it has no rung below max_epochs, which is "
                f"{spec.max_epochs}, and at the end nobody is stopped. Lower its first rung, raise max_epochs, or say "
                'pruner="none"',
            )
        ]
    if judges_epochs and spec.trials is not None and startup >= spec.trials:
        return [
            Finding(
                Level.WARNING,
                "pruner-never-judges",
                f"the pruner {pruner.kind!r} judges no trial: it waits for startup_trials={startup} others, and the "
                f"study has {spec.trials} trials. Lower startup_trials",
            )
        ]
    return []


@dataclass(frozen=True)
class CallSite:
    """A call in a study's source that defines a parameter under a name that is written there."""

    name: str
    method: str
    line: int
    in_loop: bool  #: it is called again and again with this one name
    arguments: Sequence[Any] | None = None  #: those after the name, where all are written as values
    keywords: Mapping[str, Any] = field(default_factory=dict)


def call_sites(tree: ast.Module) -> list[CallSite]:
    """Return the calls that define parameters, in the order of their lines."""
    return sorted(_sites(tree, in_loop=False), key=lambda one: one.line)


def of_source(sites: Sequence[CallSite]) -> list[Finding]:
    """Return a hint for each parameter that is defined in a loop under one name."""
    return [
        Finding(
            Level.HINT,
            "name-in-loop",
            f"{one.name!r} is named in a loop, so that it is one parameter that all rounds share. If each round is to "
            f'have its own, number it: f"{one.name}_{{i}}"; if not, define it before the loop',
            one.line,
        )
        for one in sites
        if one.in_loop
    ]


def _sites(node: ast.AST, *, in_loop: bool) -> Iterator[CallSite]:
    """Yield the call sites below a node; what a loop evaluates only once is not in it."""
    once: list[ast.AST] = []
    match node:
        case ast.Call(func=ast.Attribute(attr=method)) if method in (*OPTUNA, *_KERAS_TUNER):
            name, arguments = _arguments(node)
            if name is not None:
                yield CallSite(name, method, node.lineno, in_loop, *arguments)
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda() | ast.ClassDef():
            in_loop = False
        case ast.With(items=items) if any(_is_varying_scope(item.context_expr) for item in items):
            # Each round has a scope of its own, and with it a parameter.
            in_loop = False
        case ast.For(iter=iterated) | ast.AsyncFor(iter=iterated):
            once = [iterated]
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            once = [node.generators[0].iter]
    loops = isinstance(
        node, ast.For | ast.AsyncFor | ast.While | ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
    )
    for one in once:
        yield from _sites(one, in_loop=in_loop)
    for child in ast.iter_child_nodes(node):
        # The generators of a comprehension hold what is evaluated once: it is visited above.
        inner = list(ast.iter_child_nodes(child)) if isinstance(child, ast.comprehension) else [child]
        for sub in inner:
            if sub not in once:
                yield from _sites(sub, in_loop=in_loop or loops)


def _is_varying_scope(node: ast.expr) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(attr=method), args=arguments) if method in _SCOPES:
            return not all(isinstance(one, ast.Constant) for one in arguments)
    return False


def _arguments(call: ast.Call) -> tuple[str | None, tuple[Sequence[Any] | None, Mapping[str, Any]]]:
    keywords = {one.arg: one.value for one in call.keywords if one.arg is not None}
    first = call.args[0] if call.args else keywords.pop("name", None)
    if not isinstance(first, ast.Constant) or not isinstance(first.value, str):
        return None, (None, {})
    try:
        arguments = [ast.literal_eval(one) for one in call.args[1:]]
        return first.value, (arguments, {name: ast.literal_eval(value) for name, value in keywords.items()})
    except ValueError:
        return first.value, (None, {})
