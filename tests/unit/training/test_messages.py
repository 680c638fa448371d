"""What a process that runs a study's code may send to the one that knows the storage's password."""

from __future__ import annotations

import datetime
import enum
import io
import multiprocessing
import os
import pickle
import subprocess
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tests.records import make_spec
from tuner_service.domain.finding import Finding, Level
from tuner_service.domain.outcome import Failure, Reason
from tuner_service.domain.provenance import Provenance
from tuner_service.errors import OtherBackendError, StudyFileError, UserCodeError
from tuner_service.training.assignment import Result
from tuner_service.training.check import Checked
from tuner_service.training.evaluation import Evaluation
from tuner_service.training.inspection import Inspection
from tuner_service.training.messages import receive
from tuner_service.training.model_file import Needs
from tuner_service.training.remote_trial import Ask


def _received(content: bytes) -> Any:
    ours, theirs = multiprocessing.Pipe()
    theirs.send_bytes(content)
    return receive(ours)


@pytest.mark.parametrize(
    "message",
    [
        Ask("suggest", ("x", FloatDistribution(0.0, 1.0, log=False)), wants_answer=True),
        Ask("suggest", ("x", CategoricalDistribution(["a", None, 1])), wants_answer=True),
        Ask("progress", (3, float("inf"), 0, {"loss": 0.5}), wants_answer=False),
        Ask("done", (Result(Reason.ERROR, failure=Failure("E", "m"), attributes={"runs": [{}]}), True), False),
        (True, Inspection(make_spec(sampler="grid"), "build_model", [{"n": IntDistribution(1, 3)}], Provenance())),
        (True, Checked([Finding(Level.ERROR, "rule", "message", 3)], "tried")),
        (True, Evaluation({"loss": 0.5}, None, next(iter(Needs)))),
        {"when": datetime.datetime.now(datetime.UTC), "where": Path("a"), "which": {1, 2}, "c": 1j},
    ],
    ids=lambda message: type(message).__name__,
)
def test_data_arrives_as_it_was(message: object) -> None:
    """Questions, outcomes, and what a look at a study file returns."""
    assert _received(pickle.dumps(message)) == message


@pytest.mark.parametrize("error", [UserCodeError.with_details("no", "Traceback"), OtherBackendError("jax")])
def test_errors_arrive_with_their_details(error: Exception) -> None:
    """They are raised where the password is."""
    received = _received(pickle.dumps(error))
    assert (type(received), received.args, vars(received)) == (type(error), error.args, vars(error))


class _Calling:
    """Has whoever unpickles it call something."""

    def __init__(self, call: Any, *arguments: object) -> None:
        self._call, self._arguments = call, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self._call, self._arguments


@pytest.mark.parametrize(
    ("call", "arguments", "said"),
    [
        pytest.param(os.system, ("touch {0}",), "system", id="a command"),
        pytest.param(eval, ("open({0!r}, 'w')",), "builtins.eval", id="an expression"),
        pytest.param(exec, ("open({0!r}, 'w')",), "builtins.exec", id="statements"),
        pytest.param(getattr, (os, "system"), r"os\.path", id="an attribute"),
        pytest.param(subprocess.Popen, (["touch", "{0}"],), "subprocess.Popen", id="a program"),
        pytest.param(io.open, ("{0}", "w"), "open", id="a file"),
    ],
)
def test_nothing_is_called(tmp_path: Path, call: Any, arguments: tuple[Any, ...], said: str) -> None:
    """A study's code can find the pipe, and write there what it likes."""
    file = tmp_path / "called"
    given = [one.format(str(file)) if isinstance(one, str) else one for one in arguments]
    try:
        content = pickle.dumps(Ask("report", (_Calling(call, *given),), wants_answer=False))
    except TypeError:  # modules cannot be pickled, by name they can
        content = b"cbuiltins\ngetattr\n(cos\npath\nVsystem\ntR."
    with pytest.raises(StudyFileError, match=said):
        _received(content)
    assert not file.exists()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"ctuner_service.training.messages\nio.open\n.", id="what a module of ours imports"),
        pytest.param(b"ctuner_service.domain.outcome\nre\n.", id="a module that one of ours imports"),
        pytest.param(b"ctuner_service.domain.outcome\nmath.sqrt\n.", id="a function below one"),
        pytest.param(b"ctuner_service.training.inspection\nPath\n.", id="a class that one of ours imports"),
        pytest.param(b"ctuner_service.training.inspection\ninspect\n.", id="a function of ours"),
        pytest.param(b"ctuner_service.worker.supervisor\nSupervisor\n.", id="a module that sends nothing"),
        pytest.param(
            b"\x80\x04\x8c\x21tuner_service.training.assignment\x8c\x1fAssignment.__init__.__globals__\x93.",
            id="what is below a class of ours",
        ),
        pytest.param(b"cnosuch\nthing\n.", id="a module that is not there"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"no pickle at all", id="no pickle"),
    ],
)
def test_what_is_no_data_of_ours_is_refused(content: bytes) -> None:
    """Also where it lies in a module of this service."""
    with pytest.raises(StudyFileError, match="the study's code"):
        _received(content)


def test_members_of_enums_are_read_from_every_python() -> None:
    """Debian 12's Python 3.11.2 pickles them by `getattr`, with which nothing else can be reached."""
    content = b"cbuiltins\ngetattr\n(ctuner_service.domain.outcome\nReason\nV%s\ntR."
    assert _received(content % b"ERROR") is Reason.ERROR
    for nothing_else in (content % b"__class__", content.replace(b"Reason", b"Failure") % b"__init__"):
        with pytest.raises(StudyFileError, match="the study's code"):
            _received(nothing_else)


class _Kind(enum.IntEnum):
    SMALL = 1


def test_a_class_of_the_study_is_named() -> None:
    """An enum that a script defines is known to the script's process only."""
    content = pickle.dumps(Ask("set_user_attr", ("kind", _Kind.SMALL), wants_answer=False))
    with pytest.raises(StudyFileError, match=r"handed over a \S*test_messages\._Kind, which is not known outside"):
        _received(content)


def test_a_process_that_has_hung_up_is_no_error_of_the_study() -> None:
    """Why it did is found out elsewhere."""
    ours, theirs = multiprocessing.Pipe()
    theirs.close()
    with pytest.raises(EOFError):
        receive(ours)
