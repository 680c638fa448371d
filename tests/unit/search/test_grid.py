"""The cells of a finite search space."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from tuner_service.domain.attempt import Param
from tuner_service.domain.sampler import BruteForce, Grid
from tuner_service.errors import SpecError, StudyFileError
from tuner_service.search import grid
from tuner_service.search.grid import MAX_CELLS, CellWalk, Suggest, candidates, estimate, in_order, product, unseen


def _visit(code: Callable[[Suggest], object], points: int | None = None) -> list[dict[str, Param]]:
    """Return the cells that a walk visits by running this code."""
    walk, cells = CellWalk(points), []
    while True:
        cell: dict[str, Param] = {}

        def suggest(name: str, distribution: BaseDistribution, cell: dict[str, Param] = cell) -> Param:
            cell[name] = walk.suggest(name, distribution)
            return cell[name]

        code(suggest)
        cells.append(cell)
        if not walk.go_on():
            return cells


@given(st.lists(st.integers(1, 4), max_size=4))
def test_a_plain_space_is_its_product(sizes: list[int]) -> None:
    """Each combination once, the last parameter fastest, as `itertools.product` has them."""

    def code(suggest: Suggest) -> None:
        for number, size in enumerate(sizes):
            suggest(f"p{number}", IntDistribution(0, size - 1))

    cells = _visit(code)
    assert [tuple(cell.values()) for cell in cells] == list(itertools.product(*(range(size) for size in sizes)))
    assert cells == product({f"p{number}": range(size) for number, size in enumerate(sizes)})


@given(st.dictionaries(st.integers(0, 3), st.integers(1, 4), max_size=4))
def test_branches_are_walked_to_their_ends(branches: Mapping[int, int]) -> None:
    """A choice that asks for more has as many cells as that has values, the others have one."""

    def code(suggest: Suggest) -> None:
        chosen: Any = suggest("branch", IntDistribution(0, 3))
        if chosen in branches:
            suggest(f"of branch {chosen}", IntDistribution(1, branches[chosen]))
        suggest("last", CategoricalDistribution(["a", None]))

    cells = _visit(code)
    assert len(cells) == 2 * sum(branches.get(branch, 1) for branch in range(4))
    assert len({tuple(cell.items()) for cell in cells}) == len(cells)


def test_the_depth_may_depend_on_a_parameter() -> None:
    """One, two and three layers of two widths each: 2 + 4 + 8 networks."""

    def code(suggest: Suggest) -> None:
        depth: Any = suggest("depth", IntDistribution(1, 3))
        for layer in range(depth):
            suggest(f"units_{layer}", CategoricalDistribution([32, 64]))

    assert len(_visit(code)) == 14


def test_code_that_depends_on_more_than_the_parameters_is_refused() -> None:
    """Its cells would not be the same in the next process."""
    counter = itertools.count()
    with pytest.raises(StudyFileError, match="asked for 'b' where it asked for 'a' before"):
        _visit(lambda suggest: suggest("ab"[next(counter) % 2], IntDistribution(0, 1)))


@pytest.mark.parametrize(
    ("distribution", "points", "values"),
    [
        pytest.param(CategoricalDistribution(["relu", None, 1]), None, ["relu", None, 1], id="choices as they are"),
        pytest.param(IntDistribution(32, 128, step=32), None, [32, 64, 96, 128], id="whole numbers"),
        pytest.param(IntDistribution(1, 4, log=True), None, [1, 2, 3, 4], id="whole numbers, log"),
        pytest.param(FloatDistribution(0.0, 0.5, step=0.1), None, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5], id="exact steps"),
        pytest.param(FloatDistribution(0.5, 0.5), None, [0.5], id="one value"),
        pytest.param(FloatDistribution(0.0, 1.0), 5, [0.0, 0.25, 0.5, 0.75, 1.0], id="a range, spread evenly"),
        pytest.param(FloatDistribution(1e-4, 1e-2, log=True), 3, [1e-4, 1e-3, 1e-2], id="a range, evenly in its log"),
        pytest.param(FloatDistribution(0.0, 1.0, step=0.5), 5, [0.0, 0.5, 1.0], id="steps before points"),
    ],
)
def test_a_parameter_has_these_values(distribution: BaseDistribution, points: int | None, values: list[Param]) -> None:
    """In their order, and of their type."""
    found = candidates("p", distribution, points)
    assert list(found) == values
    assert [type(one) for one in found] == [type(one) for one in values]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        pytest.param(
            lambda suggest: suggest("rate", FloatDistribution(1e-4, 1e-1, log=True)),
            r"parameter 'rate' is a range without steps, .*Give it step=\.\.\., choose .* or take Grid\(points=5\)",
            id="a range without steps",
        ),
        pytest.param(
            lambda suggest: suggest("seed", IntDistribution(0, MAX_CELLS)),
            "parameter 'seed' has 100001 values",
            id="too many values",
        ),
    ],
)
def test_a_space_without_end_is_refused(code: Callable[[Suggest], object], message: str) -> None:
    """By the parameter's name, with what to do."""
    with pytest.raises(SpecError, match=message):
        _visit(code)


def test_cells_are_counted_where_one_branch_is_large() -> None:
    """The first path alone would have it that there are a million."""

    def code(suggest: Suggest) -> None:
        if suggest("first", IntDistribution(0, 999)) == 0:
            suggest("second", IntDistribution(0, 999))

    assert len(_visit(code)) == 1999
    assert estimate(code) <= MAX_CELLS


@pytest.mark.parametrize(
    ("layers", "cells"),
    [
        pytest.param([1], 10, id="one parameter"),
        pytest.param([3], 1000, id="the same parameters in each cell"),
        pytest.param([1, 2, 3, 4], (10 + 100 + 1000 + 10_000), id="more of them in some"),
    ],
)
def test_cells_are_estimated_by_random_visits(layers: list[int], cells: int) -> None:
    """Before any is visited in its order: a space that is too large is refused after some networks, not after hours."""

    def code(suggest: Suggest) -> None:
        depth: Any = suggest("layers", CategoricalDistribution(layers))
        for layer in range(depth):
            suggest(f"units_{layer}", IntDistribution(1, 10))

    assert cells / 2 < estimate(code) < 2 * cells


def test_a_walk_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the random visits saw nothing of the cells that are too many."""
    monkeypatch.setattr(grid, "MAX_CELLS", 20)
    with pytest.raises(SpecError, match="the search space has more than 20 cells; a grid has at most 20"):
        _visit(lambda suggest: [suggest(name, IntDistribution(1, 5)) for name in "ab"])


def test_a_dictionary_with_too_many_cells_is_refused() -> None:
    """Before it is multiplied out."""
    with pytest.raises(SpecError, match="has 1000000000 cells"):
        product(dict.fromkeys("abc", range(1000)))


_CELLS = product({"units": [32, 64], "rate": [0.1, 0.01, 0.001]})


def test_a_grid_keeps_its_order_and_brute_force_its_seed() -> None:
    """A grid is tried as it is written; brute force in an order that the seed decides."""
    assert in_order(_CELLS, Grid(), seed=3) == _CELLS
    orders = [in_order(_CELLS, BruteForce(), seed=seed) for seed in (3, 3, 4)]
    assert orders[0] == orders[1] != orders[2]
    assert all(sorted(map(str, one)) == sorted(map(str, _CELLS)) for one in orders)


def test_known_points_go_first() -> None:
    """Also a point that names a part of the parameters, and no cell twice."""
    ordered = in_order(_CELLS, Grid(), seed=0, first=[{"units": 64, "rate": 0.1}, {"rate": 0.01}])
    assert [tuple(cell.values()) for cell in ordered[:3]] == [(64, 0.1), (32, 0.01), (64, 0.01)]
    assert len(ordered) == len(_CELLS)
    with pytest.raises(SpecError, match="is no cell of the grid"):
        in_order(_CELLS, Grid(), seed=0, first=[{"units": 65}])


@given(st.sets(st.integers(0, 11)), st.integers(0, 5))
def test_an_unseen_cell_is_found_as_long_as_there_is_one(numbers: set[int], seed: int) -> None:
    """One that is not among those seen, and nothing once all are."""
    space: dict[str, BaseDistribution] = {
        "units": IntDistribution(1, 3),
        "rate": FloatDistribution(0.0, 0.1, step=0.1),
        "kind": CategoricalDistribution(["a", None]),
    }
    cells = product({name: candidates(name, one) for name, one in space.items()})
    seen = [cells[number] for number in sorted(numbers)]
    cell = unseen(space, seen, seed=seed)
    assert (cell is None) == (len(numbers) == math.prod((3, 2, 2)))
    assert cell is None or (cell in cells and cell not in seen)


def test_a_range_without_steps_has_no_unseen_cell() -> None:
    """There is no list to look at."""
    assert unseen({"rate": FloatDistribution(0.0, 1.0)}, [], seed=0) is None
