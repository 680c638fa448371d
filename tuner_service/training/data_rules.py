"""What can be said against the data of a study that is in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tuner_service.domain.finding import Finding, Level
from tuner_service.training.data import Data, Part

#: Share of one part's rows in another from which it is the same data, and from which it is worth a word.
_SAME, _LEAK = 0.99, 0.01


def of_data(data: Data, line: int | None) -> list[Finding]:
    """Return what is wrong with data in arrays; datasets that are read as they are needed are not looked at."""
    parts = {name: arrays(getattr(data, name)) for name in ("train", "validation", "test")}
    found = [
        Finding(Level.ERROR, "not-finite", message, line)
        for part, named in parts.items()
        for message in _not_finite(part, named)
    ]
    rows = {name: _row_hashes(named) for name, named in parts.items()}
    for one, other in (("test", "validation"), ("test", "train"), ("validation", "train")):
        found += _shared(one, rows[one], other, rows[other], line)
    return found


def arrays(part: Part) -> dict[str, Any]:
    """Return the arrays of a part by their names, such as x, y, or x[image]; none where it is not of arrays."""
    if not isinstance(part, tuple):
        return {}
    named: dict[str, Any] = {}
    for name, one in zip(("x", "y", "sample_weight"), part, strict=False):
        if isinstance(one, Mapping):
            named |= {f"{name}[{key}]": value for key, value in one.items()}
        elif isinstance(one, list | tuple) and one and all(hasattr(item, "shape") for item in one):
            named |= {f"{name}[{index}]": value for index, value in enumerate(one)}
        elif one is not None:
            named[name] = one
    return {name: np.asarray(one) for name, one in named.items() if hasattr(one, "__len__")}


def _not_finite(part: str, named: Mapping[str, Any]) -> list[str]:
    found = []
    for name, array in named.items():
        if array.dtype.kind not in "fc":
            continue
        bad = ~np.isfinite(array)
        count = int(bad.sum())
        if count:
            row = int(np.flatnonzero(bad.reshape(len(array), -1).any(axis=1))[0])
            found.append(
                f"{name} of the {part} data has {count} values that are NaN or infinite, the first in row {row}, and "
                "every trial would diverge. Fill or drop them in load_data"
            )
    return found


def _row_hashes(named: Mapping[str, Any]) -> list[int]:
    """Return a hash for each row, inputs and targets together."""
    wanted = [array for name, array in named.items() if name != "sample_weight" and array.dtype.kind != "O"]
    if not wanted or len({len(array) for array in wanted}) != 1:
        return []
    bytes_of = [np.ascontiguousarray(array) for array in wanted]
    return [hash(tuple(array[row].tobytes() for array in bytes_of)) for row in range(len(wanted[0]))]


def _shared(one: str, rows: list[int], other: str, others: list[int], line: int | None) -> list[Finding]:
    if not rows or not others:
        return []
    known = set(others)
    share = sum(row in known for row in rows) / len(rows)
    # Where rows repeat within a part, as in tables of few categories, some in both parts say nothing.
    repeated = 1 - len(known) / len(others)
    if one == "test" and share >= _SAME and share > 2 * repeated:
        purpose = "used for validation, so that it says nothing new of" if other == "validation" else "trained on by"
        return [
            Finding(
                Level.ERROR,
                f"test-in-{other}",
                f"the test data is {purpose} the model that tuning finds: {share:.0%} of its rows are in the {other} "
                "data. Split three ways, as Data.split(x, y) does, or leave the test part out",
                line,
            )
        ]
    if share > max(_LEAK, 2 * repeated):
        return [
            Finding(
                Level.WARNING,
                f"{one}-in-{other}",
                f"{share:.1%} of the {one} rows are in the {other} data too, targets included, so that "
                "values look better than they are. Remove duplicates before splitting",
                line,
            )
        ]
    return []
