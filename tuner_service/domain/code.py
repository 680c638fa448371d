"""The digest of a study's code: what has to be equal for two workers to train the same thing."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from tuner_service.errors import StudyFileError

#: Returns the source of a file that lies beside the study file, by its dotted name: that of a module ``a.b`` or of a
#: package, ``a.__init__``; ``None`` where there is none.
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
            where = f"{name.replace('.', '/')}.py" if name else file
            raise StudyFileError(f"{where} is not Python: {error.msg}, line {error.lineno}") from None
        tree.body = [node for node in tree.body if name or not assigns_spec(node)]
        digest.update(f"{name}\n{canonical(tree)}\n".encode())
        for module in sorted(_with_packages(_imported(tree, name))):
            if module in seen:
                continue
            seen.add(module)
            # As Python does: of a package and a module of one name, the package.
            for file in (f"{module}.__init__", module):
                found = find_source(file)
                if found is not None:
                    waiting.append((file, found))
                    break
    return digest.hexdigest()


def assigns_spec(node: ast.stmt) -> bool:
    """Return whether a statement is the assignment to ``spec``."""
    match node:
        case ast.Assign(targets=[ast.Name(id="spec")]) | ast.AnnAssign(target=ast.Name(id="spec")):
            return True
    return False


def _imported(tree: ast.AST, name: str) -> Iterator[str]:
    """Yield the modules that a file imports, or may: what is imported from a package may be a module of it."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                # Dots go up from the folder of the file, of which the last part of its name is none.
                above = name.split(".")[:-level] if level else []
                package = ".".join((*above, *([module] if module else [])))
                if package:
                    yield package
                    yield from (f"{package}.{alias.name}" for alias in names)


def _with_packages(modules: Iterable[str]) -> set[str]:
    """Return the modules with the packages that they lie in, which Python imports before them."""
    parts = (module.split(".") for module in modules)
    return {".".join(one[:end]) for one in parts for end in range(1, len(one) + 1)}


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
