"""What Keras computes with: chosen, checked, and set up by the environment."""

from __future__ import annotations

import importlib.util
import os
import socket
from pathlib import Path

import keras
import pytest

from tests.records import make_spec
from tuner_service.domain.engine import Backend
from tuner_service.errors import BackendError, OtherBackendError
from tuner_service.training import backend

_USED: Backend = keras.backend.backend()
_OTHER: Backend = "jax" if _USED == "tensorflow" else "tensorflow"


def test_a_backend_is_chosen_for_this_process_and_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """By Keras' own variable; where none is named, what the environment says stays."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    backend.choose(None)
    assert os.environ["KERAS_BACKEND"] == "torch"
    backend.choose("jax")
    assert os.environ["KERAS_BACKEND"] == "jax"


def test_a_backend_that_is_not_installed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how to install it, and the environment is as it was."""
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(BackendError, match=r"not installed here; `pip install '\.\[jax\]'`"):
        backend.choose("jax")
    assert os.environ["KERAS_BACKEND"] == "tensorflow"


def test_a_specification_takes_the_backend_that_its_file_was_loaded_with() -> None:
    """One that names it stays as it is."""
    assert backend.settled(make_spec()).backend == _USED
    said = make_spec(backend=_USED)
    assert backend.settled(said) is said


def test_a_specification_of_another_backend_is_to_be_loaded_again() -> None:
    """The error carries the one that it wants."""
    with pytest.raises(OtherBackendError) as caught:
        backend.settled(make_spec(backend=_OTHER))
    assert caught.value.args[0] == _OTHER


def test_a_backend_that_is_not_known_here_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to set."""
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(BackendError, match="Keras computes with torch here; set KERAS_BACKEND"):
        backend.settled(make_spec())


def test_on_a_processor_each_slot_has_one_thread() -> None:
    """And JAX looks for nothing else; on a GPU the processor's threads are free."""
    alone, with_gpu = (backend.settings({}, uses_gpus=gpus) for gpus in (False, True))
    assert (alone["TF_NUM_INTRAOP_THREADS"], alone["OMP_NUM_THREADS"], alone["JAX_PLATFORMS"]) == ("1", "1", "cpu")
    assert alone.keys() - with_gpu.keys() >= {"XLA_FLAGS", "TF_NUM_INTRAOP_THREADS", "JAX_PLATFORMS"}


def test_a_gpu_is_not_taken_whole() -> None:
    """Other slots train on it too."""
    given = backend.settings({}, uses_gpus=True)
    assert (given["TF_FORCE_GPU_ALLOW_GROWTH"], given["XLA_PYTHON_CLIENT_PREALLOCATE"]) == ("true", "false")


@pytest.mark.parametrize("name", ["XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR", "XLA_PYTHON_CLIENT_PREALLOCATE"])
def test_what_the_user_has_set_stays(name: str) -> None:
    """The user knows better."""
    assert name not in backend.settings({name: "mine"}, uses_gpus=False)


@pytest.mark.parametrize(
    ("environment", "caches"),
    [
        pytest.param({"XDG_CACHE_HOME": "/somewhere"}, Path("/somewhere"), id="where the user has them"),
        pytest.param({}, Path.home() / ".cache", id="in the home folder"),
    ],
)
def test_compiled_programs_are_shared_by_the_children_of_a_machine(environment: dict[str, str], caches: Path) -> None:
    """Small ones too, each machine's apart: home folders are shared by processors of different kinds."""
    given = backend.settings(environment, uses_gpus=False)
    assert given["JAX_COMPILATION_CACHE_DIR"] == str(caches / "tuner-service" / "jax" / socket.gethostname())
    assert given["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] == "0"


@pytest.mark.parametrize(
    ("variable", "file", "expected"),
    [
        pytest.param("jax", '{"backend": "tensorflow"}', "jax", id="the variable before the file"),
        pytest.param("", '{"backend": "jax"}', "jax", id="the file"),
        pytest.param("", "{", "tensorflow", id="a file that is no JSON"),
        pytest.param("", None, "tensorflow", id="neither"),
    ],
)
def test_what_keras_takes_by_itself_is_known_without_it(
    tmp_path: Path, variable: str, file: str | None, expected: str
) -> None:
    """Keras reads the same when it is imported."""
    if file is not None:
        (tmp_path / "keras.json").write_text(file)
    environment = {"KERAS_BACKEND": variable, "KERAS_HOME": str(tmp_path)}
    assert backend.default(environment) == expected
    assert backend.default(os.environ) == _USED
