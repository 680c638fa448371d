"""How epochs are trained, and on which of Keras' backends."""

from __future__ import annotations

from typing import Literal

#: ``compiled``: whole epochs in one program; ``fit``: Keras' own loop; ``auto``: the former wherever it means the same.
Engine = Literal["auto", "compiled", "fit"]

#: What Keras computes with.
Backend = Literal["tensorflow", "jax"]
