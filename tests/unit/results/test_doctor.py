"""What `tuner doctor` says of the packages of a machine."""

from __future__ import annotations

import pytest

from tuner_service.errors import StorageError
from tuner_service.results import doctor
from tuner_service.storage.ledger_storage import LedgerStorage

_ALL = {"python": "3.12", "tuner-service": "0.1", "optuna": "5.0", "keras": "3.15", "tensorflow": "2.21", "jax": "0.10"}


def _away() -> LedgerStorage:
    raise StorageError("away")


@pytest.mark.parametrize(
    ("missing", "backend", "bad"),
    [
        pytest.param((), None, [], id="all there"),
        pytest.param(("jax",), None, [], id="JAX is not needed"),
        pytest.param(("tensorflow",), None, ["tensorflow"], id="TensorFlow is"),
        pytest.param(("tensorflow",), "jax", [], id="not on JAX"),
        pytest.param(("jax",), "jax", ["jax"], id="where JAX is needed"),
        pytest.param(("keras", "tensorflow", "jax"), None, [], id="a coordinator trains nothing"),
        pytest.param(("optuna",), None, ["optuna"], id="all need Optuna"),
    ],
)
def test_packages_are_missed_where_they_are_needed(
    missing: tuple[str, ...], backend: str | None, bad: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is, by what the machine is there for."""
    if backend is None:
        monkeypatch.delenv("KERAS_BACKEND", raising=False)
        monkeypatch.setenv("KERAS_HOME", "/nowhere")
    else:
        monkeypatch.setenv("KERAS_BACKEND", backend)
    found = {name: version for name, version in _ALL.items() if name not in missing}
    monkeypatch.setattr(doctor, "versions", lambda _: found)
    readings = {one.what: one for one in doctor.examine(_away)}
    assert [name for name in _ALL if readings[name].good is False] == bad
    for name in missing:
        assert "pip install" in readings[name].found
