"""The cells of a finite search space, each once: found by trying the study's code, or given as a dictionary."""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from tuner_service.domain.attempt import Param
from tuner_service.domain.sampler import Grid
from tuner_service.errors import SpecError, StudyFileError

Cell = Mapping[str, Param]
#: What answers a question for a parameter, as ``CellWalk.suggest`` does.
Suggest = Callable[[str, BaseDistribution], Param]

#: Most cells of a grid.
MAX_CELLS = 100_000
#: Random visits by which the cells of a space are estimated.
_VISITS = 20


@dataclass
class _Node:
    name: str
    choices: Sequence[Param]
    chosen: int = 0


class CellWalk:
    """Visits the cells of a define-by-run space, depth first: the last parameter changes first.

    The study's code runs once for each cell, and ``suggest`` answers it. What it asks next may depend on what it got.

    Args:
        points: Values, evenly spread, of a range without steps; without it such a range is refused.
    """

    def __init__(self, points: int | None = None) -> None:
        self._points = points
        self._path: list[_Node] = []
        self._asked = 0
        self._visited = 0
        self.about = 1  #: how many cells there are, if every branch were as large as the largest so far

    def suggest(self, name: str, distribution: BaseDistribution) -> Param:
        """Return the value of a parameter in the cell that is visited now.

        Raises:
            SpecError: If it has no end of values, or the space too many cells.
            StudyFileError: If the code asks otherwise than it did for the same values before.
        """
        choices = candidates(name, distribution, self._points)
        if self._asked == len(self._path):
            self._path.append(_Node(name, choices))
        node = self._path[self._asked]
        if node.name != name or node.choices != choices:
            raise StudyFileError(
                f"build_model asked for {name!r} where it asked for {node.name!r} before, after the same values: it "
                "depends on more than the parameters, so that the cells of its space cannot be counted"
            )
        self._asked += 1
        return node.choices[node.chosen]

    def go_on(self) -> bool:
        """Go to the next cell, and return whether there is one.

        Raises:
            SpecError: If the space has too many cells.
        """
        self._visited += 1
        self.about = max(self.about, math.prod(len(one.choices) for one in self._path))
        if self._visited > MAX_CELLS:
            raise too_many(f"more than {MAX_CELLS}")
        del self._path[self._asked :]
        while self._path and self._path[-1].chosen + 1 == len(self._path[-1].choices):
            self._path.pop()
        if self._path:
            self._path[-1].chosen += 1
        self._asked = 0
        return bool(self._path)


def estimate(visit: Callable[[Suggest], object], points: int | None = None) -> int:
    """Return about how many cells a space has, as random visits of it tell.

    Each tells how many there were if every branch were as large as its own; the mean of them is not biased.

    Source: Knuth, Estimating the efficiency of backtrack programs, Mathematics of Computation 29 (1975).

    Args:
        visit: Runs the study's code with what answers its questions.
        points: As for ``CellWalk``.
    """
    dice, sizes = random.Random(0), []
    for _ in range(_VISITS):
        path: dict[str, int] = {}

        def suggest(name: str, distribution: BaseDistribution, path: dict[str, int] = path) -> Param:
            choices = candidates(name, distribution, points)
            path[name] = len(choices)
            return dice.choice(choices)

        visit(suggest)
        sizes.append(math.prod(path.values()))
    return round(statistics.fmean(sizes))


def candidates(name: str, distribution: BaseDistribution, points: int | None = None) -> Sequence[Param]:
    """Return the values that a parameter can have, in their order.

    Raises:
        SpecError: If there is no end of them, or there are more than a grid may have cells.

    >>> candidates("rate", FloatDistribution(1e-4, 1e-2, log=True), points=3)
    [0.0001, 0.001, 0.01]
    """
    match distribution:
        case CategoricalDistribution(choices=choices):
            return list(choices)
        case IntDistribution(low=low, high=high, step=step):
            _check_count(name, (high - low) // step + 1)
            return list(range(low, high + 1, step))
        case FloatDistribution(low=low, high=high, step=None, log=log) if low < high:
            if points is None:
                raise SpecError(
                    f"parameter {name!r} is a range without steps, {distribution}, which has no end of cells. Give it "
                    f"step=..., choose among values with suggest_categorical, or take Grid(points=5) values of it"
                )
            return [_spread(low, high, one / (points - 1), log=log) for one in range(points)]
        case FloatDistribution(low=low, high=high, step=step):
            if step is None:
                return [low]
            # Decimals: 0.1 + 2 * 0.1 is not 0.3 in binary.
            first, width = Decimal(str(low)), Decimal(str(step))
            count = int((Decimal(str(high)) - first) // width) + 1
            _check_count(name, count)
            return [float(first + one * width) for one in range(count)]
    raise SpecError(f"parameter {name!r} has a distribution of an unknown kind, {distribution!r}")


def _spread(low: float, high: float, share: float, *, log: bool) -> float:
    if share in (0.0, 1.0):
        return high if share else low
    # Fifteen digits: a grid is read by people, who expect 0.001 and not 0.0010000000000000002.
    return float(f"{low * (high / low) ** share if log else low + share * (high - low):.15g}")


def product(space: Mapping[str, Sequence[Param]]) -> list[Cell]:
    """Return the cells of a dictionary of choices, in the order of ``itertools.product``.

    >>> product({"units": [32, 64], "rate": [0.1]})
    [{'units': 32, 'rate': 0.1}, {'units': 64, 'rate': 0.1}]
    """
    count = math.prod(len(choices) for choices in space.values())
    if count > MAX_CELLS:
        raise too_many(str(count))
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]


def in_order(cells: Sequence[Cell], sampler: object, *, seed: int, first: Iterable[Cell] = ()) -> list[Cell]:
    """Return the cells in the order in which a sampler tries them, those of the points that the user knows first.

    Raises:
        SpecError: If a point is in no cell.
    """
    ordered = list(cells)
    if not isinstance(sampler, Grid):
        random.Random(seed).shuffle(ordered)
    known: dict[int, None] = {}
    for point in first:
        inside = [index for index, cell in enumerate(ordered) if point.items() <= cell.items()]
        if not inside:
            raise SpecError(
                f"{dict(point)!r}, which is to be tried first, is no cell of the grid; leave it out, or use another "
                "sampler"
            )
        known |= dict.fromkeys(inside)
    rest = [cell for index, cell in enumerate(ordered) if index not in known]
    return [*(ordered[index] for index in known), *rest]


def unseen(space: Mapping[str, BaseDistribution], seen: Iterable[Cell], *, seed: int) -> Cell | None:
    """Return a cell of a finite space that was not seen; ``None`` where there is none, or the space has no end.

    Raises:
        SpecError: If the space has too many values of one parameter to look at.
    """
    if any(isinstance(one, FloatDistribution) and one.step is None and one.low < one.high for one in space.values()):
        return None
    choices = {name: candidates(name, distribution) for name, distribution in space.items()}
    count = math.prod(len(one) for one in choices.values())
    taken = {tuple(cell[name] for name in space) for cell in seen if cell.keys() == space.keys()}
    start = random.Random(seed).randrange(count)
    # Among one more cell than were seen there is one that was not.
    for index in range(min(count, len(taken) + 1)):
        rest, cell = (start + index) % count, {}
        for name in reversed(choices):
            rest, chosen = divmod(rest, len(choices[name]))
            cell[name] = choices[name][chosen]
        if tuple(cell[name] for name in space) not in taken:
            return {name: cell[name] for name in space}
    return None


def too_many(count: str) -> SpecError:
    """Return the error for a grid of so many cells."""
    return SpecError(
        f"the search space has {count} cells; a grid has at most {MAX_CELLS}. Give larger steps or fewer choices, or "
        "use another sampler, such as sampler=Random()"
    )


def _check_count(name: str, count: int) -> None:
    if count > MAX_CELLS:
        raise SpecError(
            f"parameter {name!r} has {count} values; a grid has at most {MAX_CELLS} cells. Give it a larger step="
        )
