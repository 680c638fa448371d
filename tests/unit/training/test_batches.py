"""The order of batches: every row once an epoch, as the seed and the epoch say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tuner_service.training.batches import ShuffledBatches, is_arrays

_ROWS = 10
_X = np.arange(_ROWS) * 1.0
_Y = np.arange(_ROWS) * 10


def _epoch(batches: ShuffledBatches) -> list[Any]:
    """Return the batches of the next epoch; ``fit`` ends one before the first, too."""
    batches.on_epoch_end()
    return [batches[index] for index in range(len(batches))]


def _order(batches: ShuffledBatches) -> list[float]:
    return [float(row) for x, _ in _epoch(batches) for row in x]


@pytest.mark.parametrize(
    ("batch_size", "sizes"),
    [
        pytest.param(5, [5, 5], id="whole batches"),
        pytest.param(4, [4, 4, 2], id="a last one of what is left"),
        pytest.param(9, [9, 1], id="a last one of one row"),
        pytest.param(64, [10], id="one batch of all"),
    ],
)
def test_an_epoch_has_every_row_once(batch_size: int, sizes: list[int]) -> None:
    """None is left out and none comes twice, in any epoch; inputs and targets stay together."""
    batches = ShuffledBatches((_X, _Y), batch_size, seed=3)
    for _ in range(3):
        seen = _epoch(batches)
        assert [len(x) for x, _ in seen] == sizes
        assert sorted(row for x, _ in seen for row in x) == list(_X)
        assert all((y == x * 10).all() for x, y in seen)


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    """The same seed gives the same orders again; each epoch and each seed has its own."""
    first, again, other = (ShuffledBatches((_X, _Y), 4, seed=seed) for seed in (3, 3, 4))
    orders = [_order(first) for _ in range(3)]
    assert [_order(again) for _ in range(3)] == orders
    assert len({tuple(order) for order in (*orders, _order(other), list(_X))}) == 5


def test_a_training_that_goes_on_sees_what_it_would_have_seen() -> None:
    """Begun at epoch k, the batches are those of epoch k and after."""
    whole = ShuffledBatches((_X, _Y), 4, seed=3)
    orders = [_order(whole) for _ in range(6)]
    for k in range(6):
        resumed = ShuffledBatches((_X, _Y), 4, seed=3, epoch=k)
        assert [_order(resumed) for _ in range(6 - k)] == orders[k:]


def test_a_larger_seed_than_a_machine_word_will_do() -> None:
    """Seeds are hashes."""
    assert sorted(_order(ShuffledBatches((_X, _Y), 4, seed=2**64 - 1))) == list(_X)


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(({"a": _X, "b": _X + 100}, _Y), id="a dictionary of inputs"),
        pytest.param(([_X, _X + 100], _Y), id="a list of inputs"),
        pytest.param((_X, {"u": _Y, "v": _Y + 1}), id="a dictionary of targets"),
        pytest.param((_X, _Y, _X / 2), id="weights of the rows"),
        pytest.param((_X.reshape(_ROWS, 1, 1), _Y), id="more dimensions"),
    ],
)
def test_a_batch_is_made_as_the_part_is(part: tuple[Any, ...]) -> None:
    """Each array of the part gives the same rows, in the structure that the part has; a list is a tuple then."""
    (batch, *_) = _epoch(ShuffledBatches(part, 4, seed=3))
    assert len(batch) == len(part)
    rows = np.ravel(_leaves(batch[0])[0]).astype(int)
    assert len(rows) == 4
    for taken, whole in zip(batch, part, strict=True):
        # TensorFlow takes a list for one array.
        assert type(taken) is (tuple if isinstance(whole, list) else type(whole))
        for one, its_whole in zip(_leaves(taken), _leaves(whole), strict=True):
            np.testing.assert_array_equal(one, its_whole[rows])


def _leaves(structure: Any) -> list[Any]:
    if isinstance(structure, dict):
        return list(structure.values())
    return list(structure) if isinstance(structure, list | tuple) else [structure]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        pytest.param((_X, _Y), True, id="arrays"),
        pytest.param(([_X, _X], {"u": _Y}), True, id="lists and dictionaries of them"),
        pytest.param((_X, _Y[:5]), False, id="of different lengths"),
        pytest.param((list(_X), _Y), False, id="a list of numbers"),
        pytest.param((np.array(1.0), np.array(1.0)), False, id="without rows"),
        pytest.param("a dataset", False, id="something else"),
    ],
)
def test_only_arrays_can_be_taken_in_any_order(part: Any, expected: bool) -> None:
    """Everything else is left to Keras."""
    assert is_arrays(part) is expected
