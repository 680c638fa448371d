"""Trials an hour on one GPU: Keras on JAX with 1, 4 and 8 slots on it, against one slot of plain ``fit``.

    python -m benchmarks.gpu_slots [--slots 1 4 8] [--trials 32] [--rounds 3] [--idx FOLDER] [--cpu] [--quick]

The network of studies/keras_tuner_mnist.py, one execution of five epochs a trial. Each run is a whole ``tuner run``;
``--cpu`` tries the command where there is no GPU. The table is printed, with the name of the device.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.mnist_like import mnist_folder, parser_for
from benchmarks.page import alternating, medians, ratio, seconds, table
from benchmarks.processes import Run, run_tuner

STUDY = "keras_tuner_mnist"
PLAIN = "one slot, plain fit"


def main() -> None:
    """Measure, and print the table."""
    parser = parser_for(__doc__, "few rows, two trials of one epoch")
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--cpu", action="store_true", help="slots on the processor, to try the command")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.trials, arguments.epochs, arguments.rounds = 2, 1, 1
    with mnist_folder(arguments.idx, quick=arguments.quick) as idx:
        runs = runs_of(arguments.slots, arguments.trials, arguments.epochs, idx, gpu=not arguments.cpu)
        results = alternating(runs, arguments.rounds)
    taken = medians({who: [run.seconds for run in ones] for who, ones in results.items()})
    rows = [
        [who, seconds(took), f"{3600 * arguments.trials / took:.0f}", ratio(taken[PLAIN], took)]
        for who, took in taken.items()
    ]
    print(table([device(gpu=not arguments.cpu), "seconds", "trials an hour", f"times {PLAIN}"], rows))


def runs_of(slots: list[int], trials: int, epochs: int, idx: Path, *, gpu: bool) -> dict[str, Callable[[], Run]]:
    """Return what is to be run, by its name."""
    changes = {"trials": trials, "max_epochs": epochs, "executions": 1}
    common = partial(run_tuner, STUDY, backend="jax", idx=idx, gpu=gpu)
    runs: dict[str, Callable[[], Run]] = {
        PLAIN: partial(common, changes={**changes, "engine": "fit"}, options=["--slots", "1"])
    }
    for count in slots:
        runs[f"{count} slots, compiled epochs"] = partial(common, changes=changes, options=["--slots", str(count)])
    return runs


def device(*, gpu: bool) -> str:
    """Return the name of what is trained on."""
    if not gpu:
        return "the processor"
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    return subprocess.run(query, check=True, capture_output=True, text=True).stdout.splitlines()[0]


if __name__ == "__main__":
    main()
