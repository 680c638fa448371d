"""A training in a file, whole enough to go on as if it had never stopped."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import keras
import numpy as np

Arrays = Sequence[np.ndarray[Any, Any]]

#: Attributes of callbacks that are not saved: Keras' monitoring callbacks turn the sign of ``min_delta`` around at the
#: end of their first epoch, and do so again when a training goes on.
_SET_ANEW = {"min_delta"}


@dataclass(frozen=True)
class Checkpoint:
    """The state at the end of an epoch, or between two runs, where nothing of the next one is there yet.

    Weights alone are not enough: ``variables`` are the network's, with the seed states of its dropout and noise layers,
    which ``weights`` leaves out, then the optimizer's, with the step that a schedule counts. The order of the batches
    is not saved: ``ShuffledBatches`` derives it from the seed and the epoch.
    """

    epoch: int = 0  #: epochs trained in the run that goes on
    curve: Mapping[str, list[float]] = field(default_factory=dict)
    best_epoch: int | None = None
    best_weights: Arrays = ()
    variables: Arrays = ()
    #: plain attributes of the study's own callbacks, early stopping's patience
    callbacks: Sequence[Mapping[str, Any]] = ()
    finished: Sequence[Mapping[str, Any]] = ()  #: the runs before it, as plain data
    files: Mapping[str, bytes] = field(default_factory=dict)  #: what they left, by name: the best one's model
    members: Sequence[Checkpoint] = ()  #: of runs that are trained together, in their order; the rest is not theirs
    has_ended: bool = False  #: of a member: it trains no further epoch

    @property
    def epochs(self) -> int:
        """Epochs trained in the runs that go on."""
        return self.epoch + sum(one.epoch for one in self.members)

    def save(self, path: Path) -> None:
        """Write the file; its name appears when it is whole."""
        draft = path.with_name(path.name + ".draft")
        with draft.open("wb") as file:
            self._write(file)
        draft.replace(path)

    def _write(self, file: IO[bytes]) -> None:
        state = {
            "epoch": self.epoch,
            "curve": self.curve,
            "best_epoch": self.best_epoch,
            "callbacks": list(self.callbacks),
            "finished": list(self.finished),
            "arrays": [len(self.variables), len(self.best_weights)],
            "files": list(self.files),
            "members": len(self.members),
            "has_ended": self.has_ended,
        }
        arrays = {f"a{index}": _storable(array) for index, array in enumerate([*self.variables, *self.best_weights])}
        files = {f"f{index}": np.frombuffer(content, "uint8") for index, content in enumerate(self.files.values())}
        members = {f"m{index}": np.frombuffer(one._bytes(), "uint8") for index, one in enumerate(self.members)}
        np.savez(file, state=np.array(json.dumps(state)), **arrays, **files, **members)  # type: ignore[arg-type]  # names are ours

    def _bytes(self) -> bytes:
        buffer = io.BytesIO()
        self._write(buffer)
        return buffer.getvalue()

    @classmethod
    def load(cls, path: Path) -> Checkpoint | None:
        """Return what a file holds, or ``None`` where it is torn; nothing in it is executed."""
        try:
            with path.open("rb") as opened:
                return cls._read(opened)
        except Exception:
            # A file that was cut off or has a wrong byte raises whatever zipfile and NumPy trip over.
            return None

    @classmethod
    def _read(cls, opened: IO[bytes]) -> Checkpoint:
        with np.load(opened, allow_pickle=False) as file:
            state = json.loads(str(file["state"]))
            variables, best = state["arrays"]
            arrays = [file[f"a{index}"] for index in range(variables + best)]
            files = {name: file[f"f{index}"].tobytes() for index, name in enumerate(state["files"])}
            members = [cls._read(io.BytesIO(file[f"m{index}"].tobytes())) for index in range(state["members"])]
        return cls(
            epoch=state["epoch"],
            curve=state["curve"],
            best_epoch=state["best_epoch"],
            best_weights=arrays[variables:],
            variables=arrays[:variables],
            callbacks=state["callbacks"],
            finished=state["finished"],
            files=files,
            members=members,
            has_ended=state["has_ended"],
        )


def _storable(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    # NumPy's format has no bfloat16 and gives bytes back; float32 holds each of its values.
    return array.astype("float32") if array.dtype.kind == "V" else array


def variables_of(model: keras.Model) -> list[Any]:
    """Return all that training changes: the network's variables, seed states included, and the optimizer's."""
    return [*model.variables, *model.optimizer.variables]


def restore(model: keras.Model, variables: Arrays) -> bool:
    """Give a model the variables of a checkpoint, and return whether they were of its shape."""
    if not model.optimizer.built:
        # Not all of them mind being built twice: one for mixed precision would have its variables twice.
        model.optimizer.build(model.trainable_variables)
    mine = variables_of(model)
    if len(mine) != len(variables) or any(
        tuple(one.shape) != array.shape for one, array in zip(mine, variables, strict=True)
    ):
        return False
    for one, array in zip(mine, variables, strict=True):
        one.assign(array)
    return True


def plain_state(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Return the attributes of a callback that are plain values: counters, best values, flags."""
    state = {}
    for name, value in vars(callback).items():
        plain = value.item() if isinstance(value, np.generic) else value
        kept = not name.startswith("_") and name not in _SET_ANEW
        if kept and (plain is None or isinstance(plain, bool | int | float | str)):
            state[name] = plain
    return state


def restore_plain(callback: keras.callbacks.Callback, state: Mapping[str, Any]) -> None:
    """Give a callback back its plain attributes, those that it still has."""
    for name, value in state.items():
        if hasattr(callback, name):
            setattr(callback, name, value)
