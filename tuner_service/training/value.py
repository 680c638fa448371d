"""The value of an objective, as a number."""

from __future__ import annotations

import numpy as np

from tuner_service.errors import StudyFileError


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
