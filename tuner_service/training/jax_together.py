"""An epoch of several networks of one graph as one JAX program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from tuner_service.training.data import Part
from tuner_service.training.engine import free_bytes
from tuner_service.training.jax_epoch import JaxEpoch, State, compiled, flops

#: Floating-point operations of a step: below, a processor takes longer to call its operations than to compute them.
_SMALL_STEP = 1e6


class JaxEpochs:
    """The epochs of networks that differ in their variables and in their rows of the data only.

    On an accelerator, and where steps are small, ``jax.vmap`` computes them at once. Otherwise one follows the other
    within the program: larger operations are no faster on a processor for being stacked.

    Args:
        first: The epoch of one of the networks, which is built; the others are not there yet.
        rows: How many rows each network has.
    """

    def __init__(self, first: JaxEpoch, rows: Sequence[int]) -> None:
        self._first = first
        self._rows = rows
        self._graph = first.trace()
        self._step_flops = flops(self._graph.lower())
        self._at_once = jax.default_backend() != "cpu" or self._step_flops < _SMALL_STEP
        self._program: Any = None

    def prepare(self) -> int:
        """Compile the program, and return the bytes that the networks and it need beside the data."""
        states = [self._first.values] * len(self._rows)
        orders = [np.arange(rows, dtype="int32") for rows in self._rows]
        active = np.ones(len(self._rows), dtype=bool)
        lowered = jax.jit(self._epoch).lower(states, self._first.part, orders, active)
        self._program = compiled(lowered, self._step_flops * sum(self._rows) / self._first.batch_size)
        needed = self._program.memory_analysis()
        # Variables are there before and after an epoch. Some devices do not say.
        return 0 if needed is None else 2 * int(needed.output_size_in_bytes) + int(needed.temp_size_in_bytes)

    def has_graph_of(self, other: JaxEpoch) -> bool:
        """Return whether another network's step is the same, with the same constants in it."""
        one, two = self._graph.jaxpr, other.trace().jaxpr
        if str(one) != str(two):
            return False
        return all(np.array_equal(*pair) for pair in zip(_constants(one), _constants(two), strict=True))

    def run(
        self, members: Sequence[JaxEpoch], orders: Sequence[np.ndarray[Any, Any]], active: Sequence[bool]
    ) -> list[Mapping[str, Any]]:
        """Compute an epoch of the active networks, and return what the last batch of each of them gave."""
        rows = [order.astype("int32") for order in orders]
        states = [member.values for member in members]
        lasts, states = self._program(states, self._first.part, rows, np.array(active))
        for member, state, is_active in zip(members, states, active, strict=True):
            if is_active:
                member.assign(state)
        return [last for last, is_active in zip(jax.device_get(lasts), active, strict=True) if is_active]

    def _epoch(
        self, states: list[State], part: Part, orders: list[jax.Array], active: jax.Array
    ) -> tuple[list[Any], list[State]]:
        lasts: list[Any] = [None] * len(orders)
        for members, begin, end in _stretches(self._rows, self._first.batch_size):
            chosen = [orders[one][begin:end] for one in members]
            given = [active[one] for one in members], [states[one] for one in members], chosen
            found = self._over(tuple(_stacked(one) for one in given), part)
            for place, one in enumerate(members):
                lasts[one], states[one] = jax.tree.map(lambda stack, place=place: stack[place], found)
        return lasts, states

    def _over(self, stacked: Any, part: Part) -> Any:  # noqa: ANN401 - whether active, states and orders; as epochs give
        epoch = jax.jit(self._first.epoch)

        def one(arguments: tuple[jax.Array, State, jax.Array]) -> Any:  # noqa: ANN401
            is_active, state, order = arguments
            nothing = jax.eval_shape(epoch, state, part, order)
            return jax.lax.cond(
                is_active,
                lambda: epoch(state, part, order),
                # What a network that has stopped would give is not looked at.
                lambda: jax.tree.map(lambda leaf: jax.numpy.zeros(leaf.shape, leaf.dtype), nothing),
            )

        return jax.vmap(one)(stacked) if self._at_once else jax.lax.map(one, stacked)


def free_device_bytes() -> int:
    """Return the memory that is free where this process computes."""
    statistics = jax.local_devices()[0].memory_stats()
    return int(statistics["bytes_limit"] - statistics["bytes_in_use"]) if statistics else free_bytes()


def _stretches(rows: Sequence[int], batch_size: int) -> Iterator[tuple[list[int], int, int]]:
    """Yield which members go through which stretch of their rows at once: such of equal length, cut between batches.

    >>> list(_stretches([70, 70], 32))
    [([0, 1], 0, 70)]
    >>> list(_stretches([70, 69, 70], 32))
    [([0, 1, 2], 0, 64), ([0, 2], 64, 70), ([1], 64, 69)]
    """
    begin = 0
    if len(set(rows)) > 1:
        begin = min(rows) // batch_size * batch_size
    if begin:
        yield list(range(len(rows))), 0, begin
    for end in sorted(set(rows), reverse=True):
        if end > begin:
            yield [one for one, its_end in enumerate(rows) if its_end == end], begin, end


def _stacked(trees: Sequence[Any]) -> Any:  # noqa: ANN401 - of their structure
    return jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *trees)


def _constants(jaxpr: Any) -> Iterator[Any]:  # noqa: ANN401 - JAX has no public name for it
    """Yield the arrays that are part of a graph, also within what it calls; text does not show their numbers."""
    yield from jaxpr.consts
    for equation in jaxpr.jaxpr.eqns:
        for leaf in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "consts")):
            if hasattr(leaf, "consts"):
                yield from _constants(leaf)
