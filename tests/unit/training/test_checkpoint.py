"""Checkpoints as files, and as what a network is given back."""

from __future__ import annotations

import math
import pickle
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tuner_service.training.checkpoint import Checkpoint, plain_state, restore, restore_plain, variables_of

_CHECKPOINT = Checkpoint(
    epoch=3,
    curve={"loss": [0.3, 0.2, 0.1], "val_loss": [0.1 + 0.2, math.inf, 5e-324]},
    best_epoch=1,
    best_weights=[np.array([1.0, -0.0, math.nan], "float32")],
    variables=[np.arange(6, dtype="float32").reshape(2, 3), np.array(7, "int64"), np.array([1, 2], "uint32")],
    callbacks=[{"wait": 2, "best": math.inf, "monitor": "val_loss"}, {}],
    finished=[{"record": {"value": 0.1 + 0.2}, "curve": {"val_loss": [0.5]}}],
    files={"model.keras": b"PK\x00\xff", "evaluation.json": b"{}", "empty": b""},
)


def _as_saved(path: Path) -> bytes:
    _CHECKPOINT.save(path)
    return path.read_bytes()


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    """To the last bit, with the types of the arrays; no draft stays."""
    path = tmp_path / "checkpoint-000003.npz"
    _CHECKPOINT.save(path)
    loaded = Checkpoint.load(path)
    assert loaded is not None
    for name in ("epoch", "curve", "best_epoch", "callbacks", "finished", "files"):
        assert getattr(loaded, name) == getattr(_CHECKPOINT, name)
    for name in ("variables", "best_weights"):
        saved, found = getattr(_CHECKPOINT, name), getattr(loaded, name)
        assert [(one.dtype, one.shape, one.tobytes()) for one in found] == [
            (one.dtype, one.shape, one.tobytes()) for one in saved
        ]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "tear",
    [
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda whole: whole[: len(whole) // 2], id="half of it"),
        pytest.param(lambda whole: whole[:-1], id="without its last byte"),
        pytest.param(lambda whole: bytes(len(whole)), id="zeros"),
        pytest.param(lambda _: b"word" * 100, id="something else"),
        pytest.param(lambda whole: whole.replace(b"a1.npy", b"b1.npy"), id="an array of another name"),
    ],
)
def test_a_torn_file_is_no_checkpoint(tmp_path: Path, tear: Callable[[bytes], bytes]) -> None:
    """A disk that was full or a machine that went down costs the checkpoint, not the trial."""
    path = tmp_path / "c.npz"
    path.write_bytes(tear(_as_saved(path)))
    assert Checkpoint.load(path) is None


def test_a_file_that_is_not_there_is_no_checkpoint(tmp_path: Path) -> None:
    """It may have been removed in the meantime."""
    assert Checkpoint.load(tmp_path / "none.npz") is None


def test_a_file_with_a_wrong_byte_is_loaded_as_it_was_or_not_at_all(tmp_path: Path) -> None:
    """Wherever a byte differs, nothing else is raised, and no number is another."""
    path = tmp_path / "c.npz"
    whole, dice = _as_saved(path), random.Random(0)
    for _ in range(300):
        position, bit = dice.randrange(len(whole)), 1 << dice.randrange(8)
        path.write_bytes(whole[:position] + bytes([whole[position] ^ bit]) + whole[position + 1 :])
        loaded = Checkpoint.load(path)
        if loaded is not None:
            assert (loaded.epoch, loaded.curve) == (_CHECKPOINT.epoch, _CHECKPOINT.curve)
            assert loaded.variables[0].tobytes() == _CHECKPOINT.variables[0].tobytes()


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    """A pickle in the place of an array makes it no checkpoint."""
    made = tmp_path / "made"

    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (made,)

    path = tmp_path / "c.npz"
    np.savez(path, state=np.array([Evil()], dtype=object), a0=np.zeros(1))
    assert Checkpoint.load(path) is None
    path.write_bytes(pickle.dumps(Evil()))
    assert Checkpoint.load(path) is None
    assert not made.exists()


def _network(units: int, optimizer: str = "adam") -> keras.Model:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units), keras.layers.Dropout(0.5)])
    model.compile(optimizer=optimizer, loss="mse")
    return model


def _arrays(model: keras.Model) -> list[Any]:
    model.optimizer.build(model.trainable_variables)
    return [one.numpy().copy() for one in variables_of(model)]


def test_a_network_gets_its_variables_back() -> None:
    """Weights, the seed state of dropout, and the optimizer's moments and step."""
    source, target = _network(3), _network(3)
    given = [array + 1 for array in _arrays(source)]
    assert len(given) > 4
    assert restore(target, given)
    for one, array in zip(variables_of(target), given, strict=True):
        np.testing.assert_array_equal(one.numpy(), array)


def test_half_precision_comes_back_exactly(tmp_path: Path) -> None:
    """NumPy's files know no bfloat16."""
    source, target = (keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, dtype="bfloat16")]) for _ in range(2))
    for model in (source, target):
        model.compile(optimizer="adam", loss="mse")
        model.optimizer.build(model.trainable_variables)
    variables = [keras.ops.convert_to_numpy(one) for one in variables_of(source)]
    assert "bfloat16" in {str(one.dtype) for one in variables}
    replace(_CHECKPOINT, variables=variables, best_weights=source.get_weights()).save(tmp_path / "c.npz")
    loaded = Checkpoint.load(tmp_path / "c.npz")
    assert loaded is not None
    assert restore(target, loaded.variables)
    assert [one.tobytes() for one in target.get_weights()] == [one.tobytes() for one in source.get_weights()]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda: _network(4), id="wider"),
        pytest.param(lambda: _network(3, "sgd"), id="with another optimizer"),
    ],
)
def test_a_network_of_another_shape_keeps_what_it_has(other: Callable[[], keras.Model]) -> None:
    """Nothing of it is changed, not even what would fit."""
    target = other()
    before = _arrays(target)
    assert not restore(target, [array + 1 for array in _arrays(_network(3))])
    for one, array in zip(variables_of(target), before, strict=True):
        np.testing.assert_array_equal(one.numpy(), array)


def test_plain_state_of_callbacks_comes_back() -> None:
    """Counters and best values do; what Keras keeps for itself and arrays do not."""
    callback = keras.callbacks.EarlyStopping(monitor="loss", patience=2)
    callback.wait, callback.best, callback.best_weights = 1, np.float32(0.25), [np.zeros(2)]
    state = plain_state(callback)
    assert (state["wait"], state["best"], type(state["best"])) == (1, 0.25, float)
    assert "best_weights" not in state
    assert not [name for name in state if name.startswith("_")]
    fresh = keras.callbacks.EarlyStopping(monitor="loss", patience=2)
    restore_plain(fresh, {**state, "of_an_older_version": 1})
    assert (fresh.wait, fresh.best) == (1, 0.25)
    assert not hasattr(fresh, "of_an_older_version")
