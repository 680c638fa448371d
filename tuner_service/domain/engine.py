"""How networks are computed: which way epochs are trained, on which of Keras' backends, in which precision."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

#: ``compiled``: whole epochs in one program; ``fit``: Keras' own loop; ``auto``: the former wherever it means the same.
Engine = Literal["auto", "compiled", "fit"]

#: What Keras computes with.
Backend = Literal["tensorflow", "jax"]

#: Keras' policy for the layers of a network that name none of their own.
Precision = Literal["float32", "float64", "bfloat16", "mixed_bfloat16", "mixed_float16"]


@dataclass(frozen=True)
class Computing:
    """How a network is computed, beside what the study's code says of it."""

    precision: Precision | None = None  #: without one, what the study file sets
    steps_per_execution: int | None = None  #: batches in one call of the backend where ``fit`` trains
    devices: int = 1  #: of this machine, each with an equal part of every batch

    @property
    def on_one_device(self) -> Computing:
        """The same where nothing is to be won by several."""
        return replace(self, devices=1)
