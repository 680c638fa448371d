"""What changed in a study's code, function by function and line by line."""

from __future__ import annotations

import ast
import difflib
import io
import itertools
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tuner_service.domain.code import assigns_spec, canonical

#: Lines of a change that are shown of each side.
_SHOWN = 3


@dataclass(frozen=True)
class CodeChange:
    """Lines of one function, class or module that are others now."""

    file: str
    name: str  #: of the function or class; empty for what stands outside of them
    line: int | None  #: the first one, in the present file; None where nothing is left of it
    before: tuple[str, ...]
    after: tuple[str, ...]

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line is not None else self.file
        return f"{where}, {self.name or 'outside of functions'}: {_quoted(self.before)} -> {_quoted(self.after)}"


def code_changes(recorded: Mapping[str, str], present: Mapping[str, str]) -> list[CodeChange]:
    r"""Return what changed from one code to another, each given as text by file, the study file first.

    What the digest leaves out, comments, layout and the specification, is left out here.

    >>> [str(one) for one in code_changes({"a.py": "def f():\n    return 1"}, {"a.py": "def f():\n    return 2"})]
    ["a.py:2, f: 'return 1' -> 'return 2'"]
    """
    study_file = next(iter(recorded), None)
    found: list[CodeChange] = []
    for file in dict.fromkeys((*recorded, *present)):
        old, new = (_definitions(sources.get(file, ""), file == study_file) for sources in (recorded, present))
        for name in dict.fromkeys((*old, *new)):
            before, after = old.get(name, _NOTHING), new.get(name, _NOTHING)
            if before.meaning != after.meaning:
                found += _changed_lines(file, name, before.lines, after.lines)
    return found


@dataclass(frozen=True)
class _Definition:
    meaning: tuple[str, ...]  #: its syntax tree as text
    lines: tuple[tuple[int, str], ...]  #: with their numbers, without comments


_NOTHING = _Definition((), ())


def _definitions(source: str, is_study_file: bool) -> dict[str, _Definition]:
    lines = _without_comments(source)
    nodes: dict[str, list[ast.stmt]] = {}
    for name, node in _named(ast.parse(source).body, is_study_file):
        nodes.setdefault(name, []).append(node)
    return {
        name: _Definition(
            tuple(canonical(node) for node in mine),
            tuple((line, lines[line - 1]) for node in mine for line in _range(node) if lines[line - 1].strip()),
        )
        for name, mine in nodes.items()
    }


def _named(body: list[ast.stmt], is_study_file: bool, inside: str = "") -> Iterator[tuple[str, ast.stmt]]:
    for node in body:
        match node:
            case ast.ClassDef(name=name) if not inside:
                # What it is made of first, then each method by itself.
                header = ast.copy_location(ast.ClassDef(name, node.bases, node.keywords, [], node.decorator_list), node)
                header.end_lineno = max(node.lineno, node.body[0].lineno - 1)
                yield name, header
                yield from _named(node.body, is_study_file, name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield (f"{inside}.{name}" if inside else name), node
            case _ if is_study_file and not inside and assigns_spec(node):
                continue
            case _:
                yield inside, node


def _range(node: ast.stmt) -> range:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(one.lineno for one in decorators)])
    return range(first, (node.end_lineno or node.lineno) + 1)


def _without_comments(source: str) -> list[str]:
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    return [line.rstrip() for line in lines]


def _changed_lines(
    file: str, name: str, old: tuple[tuple[int, str], ...], new: tuple[tuple[int, str], ...]
) -> Iterator[CodeChange]:
    before, after = [text for _, text in old], [text for _, text in new]
    for kind, a, b, c, d in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind != "equal":
            # Where lines went, the one that stands there now.
            line = next((number for number, _ in itertools.chain(new[c:], new[-1:])), None)
            yield CodeChange(file, name, line, tuple(before[a:b]), tuple(after[c:d]))


def _quoted(lines: tuple[str, ...]) -> str:
    shown = [repr(line.strip()) for line in lines[:_SHOWN]]
    more = [f"{len(lines) - _SHOWN} lines more"] if len(lines) > _SHOWN else []
    return ", ".join([*shown, *more]) or "nothing"
