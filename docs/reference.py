"""The reference part of the documentation, worked out of the code: nothing of it is written by hand."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from starlette.testclient import TestClient
from typer.cli import get_docs_for_click

import tuner_service
from tuner_service import (
    BestEpoch,
    Folds,
    Hyperband,
    LastEpoch,
    MeanOfLast,
    Median,
    NoPruning,
    Patient,
    Percentile,
    Stopping,
    StudySpec,
    SuccessiveHalving,
    Threshold,
    Wilcoxon,
)
from tuner_service.cli.app import app
from tuner_service.domain.exit_code import ExitCode
from tuner_service.domain.limits import Limits
from tuner_service.domain.sampler import SAMPLERS
from tuner_service.serve import models
from tuner_service.serve.app import make_app
from tuner_service.serve.metrics import all_metrics

#: The parts of a specification, under the headings that they have in the reference.
PARTS: dict[str, tuple[type[BaseModel], ...]] = {
    "The study": (StudySpec,),
    "Samplers": tuple(SAMPLERS.values()),
    "Pruners": (Hyperband, SuccessiveHalving, Median, Percentile, Threshold, Patient, Wilcoxon, NoPruning),
    "Values": (BestEpoch, LastEpoch, MeanOfLast),
    "Folds, limits, stopping": (Folds, Limits, Stopping),
}
#: Fields that come in kinds, and the headings of these.
KINDS = {"sampler": "samplers", "pruner": "pruners", "value": "values"}

#: What the library has for each command; a name with a dot is a method of what `open_storage` returns.
IN_PYTHON: dict[str, tuple[str, ...]] = {
    "check": ("check",),
    "plan": ("plan_file", "plan_study"),
    "run": ("run", "baseline_of"),
    "create": ("create", "baseline_of"),
    "worker": ("run_worker",),
    "coordinator": ("coordinate",),
    "list": ("open_storage().studies", "summarize"),
    "status": ("summarize",),
    "watch": ("summarize",),
    "trials": ("trials",),
    "show": ("trial", "curves"),
    "serve": ("run_server",),
    "best": ("front", "best"),
    "report": ("write_report",),
    "export": ("export", "export_model", "export_tensorboard", "follow_tensorboard", "export_parquet", "export_mlflow"),
    "refit": ("refit",),
    "evaluate": ("evaluate",),
    "rerun": ("rerun",),
    "compare": ("compare",),
    "submit": ("Cluster", "WorkerPool", "pack_code", "submit"),
    "render": ("WorkerPool", "pack_code", "render"),
    "scale": ("Cluster", "scale"),
    "pods": ("Cluster", "pods"),
    "logs": ("Cluster", "logs"),
    "pause": ("pause",),
    "resume": ("resume",),
    "stop": ("stop",),
    "cancel": ("cancel",),
    "extend": ("extend",),
    "retry": ("retry",),
    "enqueue": ("enqueue",),
    "delete": ("delete",),
    "gc": ("collect",),
    "doctor": ("examine",),
    "db migrate": ("open_storage().migrate_tables",),
    "db roles": ("roles_sql", "open_storage().create_roles"),
}


def pages() -> dict[str, str]:
    """Return the text of each page in Markdown, by its file's name."""
    makers: tuple[Callable[[], str], ...] = (commands, specification, library, exit_codes, metrics, http_api)
    return {maker.__name__.replace("_", "-") + ".md": maker() for maker in makers}


def commands() -> str:
    """Return every command with its options and their defaults, as its own help says them."""
    group = typer.main.get_command(app)
    context = typer.Context(group, info_name="tuner", obj={"TYPER_RICH_MARKUP_MODE": "rich"})
    panels: dict[str, str] = {}
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            command.commands = {inner: one for inner, one in command.commands.items() if not one.hidden}
        text = get_docs_for_click(obj=command, ctx=context, indent=2, name=f"tuner {name}")
        panels[command.rich_help_panel] = panels.get(command.rich_help_panel, "") + text
    general = get_docs_for_click(obj=group, ctx=context, name="tuner", title="Commands").partition("**Commands**")[0]
    return general + "".join(f"## {panel}\n\n{text}" for panel, text in panels.items())


def specification() -> str:
    """Return the fields of a specification and of all its parts."""
    text = """# Specification

The fields of `spec` in a study file, of `--set FIELD=VALUE` and of `--config FILE`. What comes in kinds is an object in
Python, such as `sampler=Random(seed=1)`. As data it is its kind alone, `random`, or a dictionary, `{kind: random, seed:
1}`; `--set sampler.seed=1` replaces one of its fields.
"""
    for title, parts in PARTS.items():
        text += f"\n## {title}\n"
        for part in parts:
            kind = part.model_fields.get("kind")
            short = "" if kind is None else f"\n\nAs data: `{kind.default}`."
            text += f"\n### `{part.__name__}`\n\n{markdown(inspect.getdoc(part))}{short}\n\n"
            text += table(("field", "type", "default", "meaning"), spec_fields(part))
    return text


def spec_fields(part: type[BaseModel]) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, type, default and meaning of each field of a part of the specification."""
    schema, said = part.model_json_schema(), comments(part)
    for name, field in part.model_fields.items():
        if name == "kind":
            continue
        given = field.get_default(call_default_factory=True)
        default = "required" if given is PydanticUndefined else f"`{shown(given)}`"
        kinds = KINDS.get(name)
        words = type_words(schema["properties"][name], schema.get("$defs", {}))
        yield f"`{name}`", words if kinds is None else f"one of the [{kinds}](#{kinds})", default, said[name]


def shown(value: object) -> str:
    """Return a default as a study file would have it: a part that has defaults only is its name."""
    return f"{type(value).__name__}()" if isinstance(value, BaseModel) else repr(value)


def comments(part: type) -> dict[str, str]:
    """Return what the comments that begin with ``#:`` say of the fields of a class, inherited ones included."""
    found: dict[str, str] = {}
    for one in reversed(part.__mro__[:-1]):
        if one.__module__.split(".")[0] != tuner_service.__name__:
            continue
        source = textwrap.dedent(inspect.getsource(one))
        (definition,) = ast.parse(source).body
        lines = source.splitlines()
        for node in getattr(definition, "body", []):
            target = node.target if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [None])[0]
            if isinstance(target, ast.Name) and isinstance(node, ast.AnnAssign | ast.Assign):
                first = node.lineno - 1
                while lines[first - 1].lstrip().startswith("#:"):
                    first -= 1
                said = [line.partition("#:")[2].strip() for line in lines[first : node.end_lineno]]
                found[target.id] = markdown(" ".join(filter(None, said)))
    return found


def type_words(schema: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    """Return a type as JSON Schema has it, in words: ``number > 0``."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return type_words(parts[name], parts) if "enum" in parts[name] else f"[`{name}`](#{name.lower()})"
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return " or ".join(dict.fromkeys(type_words(one, parts) for one in choices))
    if "const" in schema or "enum" in schema:
        return " or ".join(f"`{one!r}`" for one in schema.get("enum", [schema.get("const")]))
    match schema.get("type"):
        case "array":
            inner = type_words(schema.get("items", {}), parts)
            return f"list of ({inner})" if " or " in inner else f"list of {inner.replace('dictionary', 'dictionaries')}"
        case "object":
            return "dictionary"
        case "null":
            return "`None`"
        case "string":
            return "text"
        case "boolean":
            return "`True` or `False`"
        case "integer" | "number" as kind:
            signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
            return (
                f"{kind} {', '.join(f'{sign} {schema[key]}' for key, sign in signs.items() if key in schema)}".strip()
            )
    return "any"


def exit_codes() -> str:
    """Return how commands end."""
    said = comments(ExitCode)
    rows = ((f"`{code.value}`", said[code.name]) for code in ExitCode)
    return "# Exit codes\n\nOf `tuner`, for what starts it.\n\n" + table(("code", "means"), rows)


def metrics() -> str:
    """Return what ``/metrics`` tells."""
    text = "# Metrics\n\nWhat `tuner serve` tells Prometheus at `/metrics`.\n\n"
    rows = (
        (
            f"`{one.name}_total`" if one.type == "counter" else f"`{one.name}`",
            one.type,
            ", ".join(f"`{label}`" for label in getattr(one, "_labelnames", ())),
            one.documentation,
        )
        for one in all_metrics()
    )
    return text + table(("metric", "type", "labels", "meaning"), rows)


def http_api() -> str:
    """Return the read API, from its own description."""
    with TemporaryDirectory() as folder:
        storage = tuner_service.open_storage(f"sqlite:///{Path(folder) / 'none.db'}")
        with TestClient(make_app(storage, None), base_url="http://127.0.0.1") as client:
            described = client.get("/v1/openapi.json").json()
        storage.close()
    parts = described["components"]["schemas"]
    text = f"# HTTP API\n\n{described['info']['description']} `tuner serve` answers, and describes itself at "
    text += "`/v1/openapi.json`.\n\n## Paths\n"
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            text += f"\n### `{method.upper()} {path}`\n\n{markdown(operation['description'])}\n\n"
            text += operation_tables(operation, parts)
    text += "\n## Answers\n"
    for name, schema in parts.items():
        model = getattr(models, name, None)
        if model is not None and "properties" in schema:
            said = comments(model)
            fields = ((f"`{key}`", type_words(one, parts), said[key]) for key, one in schema["properties"].items())
            text += f"\n### `{name}`\n\n{markdown(schema['description'])}\n\n"
            text += table(("field", "type", "meaning"), fields)
    return text


def operation_tables(operation: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    """Return the parameters of an operation, where it has any, and its answers."""
    given = [
        (f"`{one['name']}`", one["in"], type_words(one["schema"], parts), one.get("description", ""))
        for one in operation.get("parameters", [])
    ]
    answers = [(f"`{code}`", content_words(one), one["description"]) for code, one in operation["responses"].items()]
    asked = table(("parameter", "in", "type", "meaning"), given) + "\n" if given else ""
    return asked + table(("status", "answer", "when"), answers)


def content_words(response: Mapping[str, Any]) -> str:
    """Return what a response of an OpenAPI description holds."""
    schemas = [one.get("schema", {}) for one in response.get("content", {}).values()]
    names = [one["$ref"].rpartition("/")[2] for one in schemas if "$ref" in one]
    return ", ".join(f"[`{name}`](#{name.lower()})" if hasattr(models, name) else f"`{name}`" for name in names)


def library() -> str:
    """Return what `import tuner_service` offers; mkdocstrings reads signatures and docstrings where it says so."""
    rows = ((f"`{command}`", ", ".join(_link(name) for name in names)) for command, names in IN_PYTHON.items())
    text = (
        "# Library\n\nWhat a command does a script can do, by `import tuner_service`. The classes of a specification "
    )
    text += "have [a page of their own](specification.md).\n\n" + table(("command", "in Python"), rows)
    described = {part.__name__ for parts in PARTS.values() for part in parts}
    others = [name for name in tuner_service.__all__ if name not in described]
    return text + "".join(f"\n::: tuner_service.{name}\n" for name in sorted(others, key=str.lower))


def _link(name: str) -> str:
    return f"[`{name}`](#tuner_service.{name})" if name in tuner_service.__all__ else f"`{name}`"


def markdown(text: str | None) -> str:
    """Return a docstring's text with Markdown's backticks."""
    return (text or "").replace("``", "`")


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(one.replace('|', '&#124;') for one in line)} |\n" for line in lines)
