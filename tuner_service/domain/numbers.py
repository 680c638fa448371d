"""Numbers of a specification: ``true`` is none, nor is ``"3"``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, Strict

PositiveInt = Annotated[int, Strict(), Field(gt=0)]
NonNegativeInt = Annotated[int, Strict(), Field(ge=0)]
PositiveFloat = Annotated[float, Strict(), Field(gt=0)]
NonNegativeFloat = Annotated[float, Strict(), Field(ge=0)]
FiniteFloat = Annotated[float, Strict(), Field(allow_inf_nan=False)]
