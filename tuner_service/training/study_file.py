"""A study file as a module: loaded, checked for what it must define, its errors told in one line."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from pydantic import ValidationError

from tuner_service.domain.code import Code, code_digest
from tuner_service.domain.spec import StudySpec, explain, is_of_specification
from tuner_service.errors import StudyFileError, TunerServiceError
from tuner_service.training.hypermodel import of_trial
from tuner_service.training.param_dictionary import ParamDictionary, with_dictionary

#: The functions that a study file may define, with what they are called with.
_FORMS: Mapping[str, tuple[str, ...]] = {
    "build_model": ("trial",),
    "objective": ("trial",),
    "fit_options": ("trial",),
    "load_data": (),
    "fit": ("trial", "model", "data", "callbacks"),
}


@dataclass(frozen=True)
class StudyFile:
    """The functions of a study file, those of KerasTuner's ``hp`` made functions of a trial.

    Either ``objective`` is there, or ``build_model`` and ``load_data`` are.
    """

    path: Path
    spec: StudySpec | None
    objective: Callable[..., Any] | None
    build_model: Callable[..., Any] | None
    load_data: Callable[[], Any] | None
    fit_options: Callable[..., Any] | None
    fit: Callable[..., Any] | None

    @property
    def kind(self) -> str:
        """How it defines a trial."""
        return "build_model" if self.build_model is not None else "objective"


def load(path: Path) -> StudyFile:
    """Import a study file. This runs the user's code: only child processes without credentials may call it.

    Raises:
        StudyFileError: If it does not import, or lacks what it must define; ``details`` has the traceback.
    """
    name = f"study_{path.stem}"
    module_spec = importlib.util.spec_from_file_location(name, path)
    assert module_spec is not None  # noqa: S101 - a .py file has both
    assert module_spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(module_spec)
    # Before it is executed: dataclasses and pickle look for the module there.
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        module_spec.loader.exec_module(module)
    except ValidationError as error:
        if not is_of_specification(error):
            raise _does_not_import(path, error) from None
        # The message says all; the traceback would show pydantic.
        raise StudyFileError(f"{path.name}: {explain(error)}") from None
    except (Exception, SystemExit) as error:
        raise _does_not_import(path, error) from None
    return _checked(path, module)


def _does_not_import(path: Path, error: BaseException) -> StudyFileError:
    return StudyFileError.with_details(f"{path.name} does not import: {last_line(error)}", user_traceback(error, path))


def _checked(path: Path, module: ModuleType) -> StudyFile:
    def function(name: str) -> Callable[..., Any] | None:
        if is_script and name != "objective":
            return None
        found = getattr(module, name, None)
        if found is not None and not callable(found):
            raise StudyFileError(f"{path.name}: {name} must be a function, got {type(found).__name__}")
        return found

    spec = getattr(module, "spec", None)
    # In an Optuna script the other names are the script's own.
    is_script = spec is None and getattr(module, "objective", None) is not None
    if spec is not None and not isinstance(spec, StudySpec):
        raise StudyFileError(f"{path.name}: spec must be a StudySpec(...), got {type(spec).__name__}")
    given = {name: function(name) for name in _FORMS}
    hypermodel = None if is_script else getattr(module, "hypermodel", None)
    named = () if given["objective"] is not None else ("param_grid", "param_distributions")
    dictionaries = [name for name in named if getattr(module, name, None) is not None]
    for name, defined in given.items():
        # With a dictionary, it says what build_model takes.
        if defined is not None and not (name == "build_model" and dictionaries):
            _check_parameters(path, name, defined)
    if len(dictionaries) > 1:
        raise StudyFileError(f"{path.name} has both {' and '.join(dictionaries)}; keep one of them")
    try:
        functions = of_trial(given, hypermodel)
        for name in dictionaries:
            functions = with_dictionary(functions, ParamDictionary(name, getattr(module, name)))
    except StudyFileError as error:
        raise StudyFileError(f"{path.name}: {error}") from None
    study = StudyFile(path=path, spec=spec, **functions)
    if study.build_model is None and study.objective is None:
        raise StudyFileError(
            f"{path.name} defines none of build_model(trial), build_model(hp), hypermodel and objective(trial); define "
            "build_model(trial) that returns a compiled Keras model, and load_data()"
        )
    if study.build_model is not None and study.load_data is None:
        raise StudyFileError(f"{path.name} defines build_model but no load_data(); define it to return Data(...)")
    return study


def _check_parameters(path: Path, name: str, function: Callable[..., Any]) -> None:
    form = _FORMS[name]
    try:
        inspect.signature(function).bind(*form)
    except (TypeError, ValueError):
        raise StudyFileError(f"{path.name}: {name} must be callable as {name}({', '.join(form)})") from None


def digest(path: Path) -> str:
    """Return the digest of a study file's code, with the modules beside it that it imports; nothing is run.

    Raises:
        StudyFileError: If there is no such file, or it is not Python.
    """
    return read_code(path).digest


def read_code(path: Path) -> Code:
    """Return the code of a study file; nothing is run.

    Raises:
        StudyFileError: If there is no such file, or it is not Python.
    """
    sources: dict[str, str] = {}

    def find_source(name: str) -> str | None:
        beside = path.parent.joinpath(*name.split(".")).with_suffix(".py")
        if not beside.is_file():
            return None
        text = sources[str(beside.relative_to(path.parent))] = beside.read_text(encoding="utf-8")
        return text

    try:
        source = sources[path.name] = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StudyFileError(f"the study file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise StudyFileError(f"the study file {path} is not Python: it is not text") from None
    return Code(path.name, code_digest(source, find_source, file=path.name), sources)


def last_line(error: BaseException) -> str:
    """Return an error as the last line of its traceback would show it, without the arguments that Keras adds below."""
    if isinstance(error, TunerServiceError):
        return str(error)
    told = "".join(traceback.format_exception_only(error)).split("Arguments received by")[0]
    lines = re.sub(r"\x1b\[[0-9;]*m", "", told).strip().splitlines()
    kind, last = type(error).__name__, lines[-1].strip()
    return last if len(lines) == 1 or last.startswith(kind) else f"{kind}: {last}"


def user_traceback(error: BaseException, path: Path) -> str:
    """Return the traceback from the first frame in the study's folder on: what comes before is this service."""
    frame: TracebackType | None = error.__traceback__
    folder = str(path.parent.resolve())
    while frame is not None and not str(Path(frame.tb_frame.f_code.co_filename).resolve()).startswith(folder):
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame or error.__traceback__))
