"""What a study will take, before it starts: its trials simulated with its own pruner, in epochs and on slots."""

from __future__ import annotations

import heapq
import math
import random
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tuner_service.domain.pruner import Threshold
from tuner_service.domain.spec import StudySpec

#: Studies that are simulated, and configurations of one; of a larger study the rest goes on as the last half did.
SIMULATIONS = 20
_CONFIGURATIONS = 200


@dataclass(frozen=True)
class Rung:
    """A fidelity of one bracket, and how many configurations are expected to get there."""

    bracket: int
    epochs: int
    reached: float


@dataclass(frozen=True)
class Forecast:
    """What is expected of a study; epochs are those of its first attempts, failures left out."""

    configurations: int
    epochs_unpruned: int  #: if no trial were stopped
    epochs: float  #: expected
    epochs_range: tuple[float, float]  #: of nine in ten simulated studies
    longest: float  #: epochs, one after another, on the slot that works longest
    rungs: Sequence[Rung]  #: the last of each bracket is its end
    random: float | None  #: configurations drawn at random, before a model is there; None: the sampler has no model
    simulated: bool  #: whether the pruner could be simulated


def forecast(spec: StudySpec, configurations: int, *, slots: int, settled: int = 0) -> Forecast:
    """Return what a study is expected to take.

    Its pruner judges simulated curves that rise to a value of their own, at a pace of their own, with noise. Bounds of
    a threshold cannot be simulated, since nobody knows the metric's scale: then nothing is said to be stopped.

    Args:
        spec: The study's specification.
        configurations: How many of its configurations are ahead.
        slots: Trials at a time.
        settled: How many it has settled before.
    """
    if configurations == 0:
        return Forecast(0, 0, 0.0, (0.0, 0.0), 0.0, [], 0, simulated=True)
    judging = getattr(spec.pruner, "wrapped", None) or spec.pruner
    runs = [_simulate(spec, configurations, slots, random.Random(seed)) for seed in range(SIMULATIONS)]
    epochs = sorted(run.epochs for run in runs)
    reached: Counter[tuple[int, int]] = Counter()
    for run in runs:
        reached.update(run.reached)
    # Of a sampler in generations the first one is random.
    startup = getattr(spec.sampler, "startup_trials", getattr(spec.sampler, "population", None))
    return Forecast(
        configurations=configurations,
        epochs_unpruned=configurations * spec.attempt_epochs,
        epochs=statistics.fmean(epochs),
        epochs_range=(epochs[len(epochs) // 20], epochs[-1 - len(epochs) // 20]),
        longest=statistics.fmean(run.longest for run in runs),
        rungs=[Rung(bracket, epoch, number / len(runs)) for (bracket, epoch), number in sorted(reached.items())],
        random=None if startup is None else min(max(startup - settled, 0), configurations),
        simulated=not isinstance(judging, Threshold),
    )


@dataclass(frozen=True)
class _Run:
    epochs: float
    longest: float
    reached: Mapping[tuple[int, int], float]


def _simulate(spec: StudySpec, count: int, slots: int, dice: random.Random) -> _Run:
    """Return what one simulated study takes: slots that are free take the next configuration."""
    pruner, top = spec.pruner, spec.max_epochs
    # The pruner judges the first run; who gets through it is trained as often as the study says.
    rest = spec.attempt_epochs - top
    judged = not isinstance(getattr(pruner, "wrapped", None) or pruner, Threshold)
    simulated = min(count, _CONFIGURATIONS)
    values: dict[tuple[int, int], list[float]] = {}
    reached: Counter[tuple[int, int]] = Counter()
    trained: list[int] = []
    # The time is the epochs that a slot has trained: free slots, and trials with their slots and their next rungs.
    waiting: list[tuple[float, int]] = [(0.0, slot) for slot in range(slots)]
    running: list[tuple[float, int, int, int]] = []
    curves: dict[int, list[float]] = {}
    ladders: dict[int, tuple[int, ...]] = {}
    brackets: dict[int, int] = {}
    begun, longest = 0, 0.0
    while waiting or running:
        while waiting and begun < simulated:
            at, slot = heapq.heappop(waiting)
            brackets[begun] = pruner.bracket_of(begun, top, spec.seed)
            ladders[begun] = (*pruner.rungs(brackets[begun], top), top) if judged else (top,)
            curves[begun] = _curve(top, dice)
            heapq.heappush(running, (at + ladders[begun][0], slot, begun, 0))
            begun += 1
        if not running:
            break
        at, slot, one, place = heapq.heappop(running)
        epoch, bracket = ladders[one][place], brackets[one]
        reached[bracket, epoch] += 1
        curve = curves[one][:epoch]
        best = max(curve)
        others = values.setdefault((bracket, epoch), [])
        ended = epoch == top or pruner.should_prune(best, others, curve, "maximize")
        others.append(best)
        if not ended:
            heapq.heappush(running, (at + ladders[one][place + 1] - epoch, slot, one, place + 1))
            continue
        further = rest if epoch == top else 0
        at += further
        trained.append(epoch + further)
        del curves[one]
        longest = max(longest, at)
        heapq.heappush(waiting, (at, slot))
    # The pace of the second half: at first there is little to compare with, and less is stopped.
    late = trained[len(trained) // 2 :]
    beyond = (count - simulated) * statistics.fmean(late)
    scale = count / simulated
    return _Run(
        epochs=sum(trained) + beyond,
        longest=longest + beyond / slots,
        reached={key: number * scale for key, number in reached.items()},
    )


def _curve(epochs: int, dice: random.Random) -> list[float]:
    """Return a curve that rises to a value of its own: what differs between configurations is above the noise."""
    end, pace = dice.gauss(0.0, 1.0), math.exp(dice.gauss(math.log(0.2 * epochs + 1), 0.5))
    return [end - 3.0 * math.exp(-epoch / pace) + dice.gauss(0.0, 0.1) for epoch in range(1, epochs + 1)]
