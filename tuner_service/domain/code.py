"""The digest of a study's code: what has to be equal for two workers to train the same thing."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tuner_service.errors import StudyFileError

#: Returns the source of a module that lies beside the study file, or ``None`` where there is none of that name.
FindSource = Callable[[str], str | None]


@dataclass(frozen=True)
class Code:
    """A study file with the modules beside it that it imports, as text."""

    file: str  #: name of the study file
    digest: str
    sources: Mapping[str, str]  #: text by path below the study file's folder, the study file's first


def code_digest(source: str, find_source: FindSource, *, file: str = "the study file") -> str:
    """Return 16 hexadecimal digits that change with the code, and not with comments, layout or the specification.

    The modules that the file imports from its own folder belong to its code. The assignment to ``spec`` does not: the
    specification is recorded and compared by itself.

    Raises:
        StudyFileError: If a source is not Python.
    """
    digest = hashlib.blake2b(digest_size=8)
    seen: set[str] = set()
    waiting = [("", source)]
    while waiting:
        name, text = waiting.pop()
        try:
            tree = ast.parse(text)
        except SyntaxError as error:
            where = f"{name}.py" if name else file
            raise StudyFileError(f"{where} is not Python: {error.msg}, line {error.lineno}") from None
        tree.body = [node for node in tree.body if name or not assigns_spec(node)]
        digest.update(f"{name}\n{canonical(tree)}\n".encode())
        for module in sorted(_imported(tree)):
            found = None if module in seen else find_source(module)
            seen.add(module)
            if found is not None:
                waiting.append((module, found))
    return digest.hexdigest()


def assigns_spec(node: ast.stmt) -> bool:
    """Return whether a statement is the assignment to ``spec``."""
    match node:
        case ast.Assign(targets=[ast.Name(id="spec")]) | ast.AnnAssign(target=ast.Name(id="spec")):
            return True
    return False


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names) if module:
                yield module
                # What is named may be a module of that package.
                yield from (f"{module}.{alias.name}" for alias in names)


def canonical(node: object) -> str:
    """Return the syntax tree as text; fields that are empty are left out, since newer Pythons add such fields."""
    match node:
        case ast.AST():
            fields = ((name, value) for name, value in ast.iter_fields(node) if value not in (None, []))
            inner = ",".join(f"{name}={canonical(value)}" for name, value in fields if name != "type_comment")
            return f"{type(node).__name__}({inner})"
        case list():
            return f"[{','.join(map(canonical, node))}]"
    return repr(node)
