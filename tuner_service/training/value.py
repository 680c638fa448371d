"""The value of an objective, as a number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuner_service.errors import StudyFileError


def numbers(value: object, count: int) -> tuple[float, ...]:
    """Return what an objective returned as so many numbers, or raise ``StudyFileError``."""
    if count == 1:
        return (number(value),)
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str) or np.ndim(value) != 1:
        raise StudyFileError(f"the objective must return {count} values, one for each metric, got {repr(value)[:60]}")
    if len(value) != count:
        raise StudyFileError(f"the objective returned {len(value)} values, and the study has {count} metrics")
    return tuple(number(one) for one in value)


def number(value: object) -> float:
    """Return what an objective returned as a number, or raise ``StudyFileError``.

    One number in an array will do, as from NumPy; text will not, even where it looks like a number.
    """
    # NumPy takes an array for a number only if it has no dimensions.
    given = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
    try:
        if given is None or isinstance(given, str | bytes | bool):
            raise TypeError
        return float(given)  # type: ignore[arg-type]  # that is what is tried
    except (TypeError, ValueError, OverflowError):
        shown = repr(value)[:60]
        raise StudyFileError(f"the objective's value must be a number, got {shown}, a {type(value).__name__}") from None
