"""A surface over two parameters, smoothed from scattered trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Points of the grid along an axis, and the kernel's width and the reach of a trial as shares of an axis.
_POINTS, _WIDTH, _REACH = 36, 0.09, 0.18


@dataclass(frozen=True)
class Surface:
    """Smoothed values on a grid; NaN where no trial is near."""

    x: NDArray[np.float64]  #: (columns,)
    y: NDArray[np.float64]  #: (rows,)
    z: NDArray[np.float64]  #: (rows, columns)


def smoothed(
    x: Sequence[float], y: Sequence[float], z: Sequence[float], *, places: tuple[int | None, int | None] = (None, None)
) -> Surface:
    """Return the mean of the values around each point of a grid, weighted by a Gaussian kernel (Nadaraya-Watson).

    Args:
        x: Where the trials stand along the first axis, on a scale on which equal steps look equal.
        y: Likewise along the second.
        z: Their values.
        places: How many categories an axis has, in the places 0, 1, ...; ``None`` of numbers.
    """
    values = np.asarray(z, float)
    (grid_x, distance_x), (grid_y, distance_y) = (
        _along(np.asarray(points, float), count) for points, count in zip((x, y), places, strict=True)
    )
    square = distance_y[:, None, :] ** 2 + distance_x[None, :, :] ** 2
    weights = np.exp(-square / (2 * _WIDTH**2))
    total = weights.sum(axis=2)
    surface = (weights @ values) / np.maximum(total, 1e-300)
    surface[square.min(axis=2) > _REACH**2] = np.nan
    return Surface(grid_x, grid_y, surface)


def _along(points: NDArray[np.float64], count: int | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the grid of an axis, and how far each trial is from its points, as a share of the axis: (grid, trials)."""
    if count is not None:
        grid = np.arange(count, dtype=float)
        # Categories are not smoothed into each other.
        return grid, np.where(grid[:, None] == points[None, :], 0.0, 10.0)
    low, high = float(points.min()), float(points.max())
    grid = np.linspace(low, high, _POINTS) if high > low else np.array([low])
    return grid, (grid[:, None] - points[None, :]) / ((high - low) or 1.0)
