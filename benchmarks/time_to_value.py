"""How long it takes to reach the value that KerasTuner's Hyperband ends with, on the task R7.

    python -m benchmarks.time_to_value [--rounds 3] [--max-epochs 8] [--idx FOLDER] [--quick]

KerasTuner's Hyperband (``max_epochs=8``, ``factor=3``) searches on studies/keras_tuner_mnist.py as it comes, on
TensorFlow. Its best value is then the target of the same study here, with TPE and Hyperband, which ends once a trial
has reached it. Each run is a whole process.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from benchmarks.mnist_like import write_mnist_like
from benchmarks.page import ratio, seconds, table, write
from benchmarks.processes import BACKENDS, Run, run_peer, run_tuner

STUDY = "keras_tuner_mnist"
BAR = 4
#: More than are needed.
TRIALS = 200


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-epochs", type=int, default=8)
    parser.add_argument("--idx", type=Path, help="a folder with MNIST's files, or others in their format")
    parser.add_argument("--quick", action="store_true", help="few rows, two epochs, one round; writes nothing")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.max_epochs = 1, 2
    rounds = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        idx = arguments.idx or Path(folder, "mnist")
        if arguments.idx is None:
            write_mnist_like(idx, share=0.02 if arguments.quick else 1.0)
        for seed in range(arguments.rounds):
            rounds.append(one_round(seed, arguments.max_epochs, idx))
    text = shown(rounds)
    if arguments.quick:
        print(text)
    else:
        write("time to value", text, rounds=arguments.rounds)


def one_round(seed: int, max_epochs: int, idx: Path) -> dict[str, Run]:
    """Let KerasTuner search, then this service until it has found as much, on both backends."""
    options = ["hyperband", STUDY, "val_accuracy", max_epochs, seed]
    theirs = run_peer("keras_tuner_search", options, backend="tensorflow", idx=idx)
    changes = {
        "trials": TRIALS,
        "max_epochs": max_epochs,
        "executions": 1,
        "sampler": "tpe",
        "pruner": {"kind": "hyperband", "min_epochs": 1, "reduction_factor": 3},
        "seed": seed,
        "stop": {"target": theirs.best, "running": "cancel"},
    }
    ours = {one: run_tuner(STUDY, changes, backend=one, idx=idx) for one in BACKENDS}
    return {"KerasTuner Hyperband, tensorflow": theirs, **{f"tuner-service, {one}": run for one, run in ours.items()}}


def shown(rounds: list[dict[str, Run]]) -> str:
    """Return the table: medians over the rounds, and the median of each round's ratio."""
    theirs = "KerasTuner Hyperband, tensorflow"
    rows = []
    for who in rounds[0]:
        times = statistics.median(one[theirs].seconds / one[who].seconds for one in rounds)
        rows.append(
            [
                who,
                seconds(statistics.median(one[who].seconds for one in rounds)),
                ratio(times, 1.0, None if who == theirs else BAR),
                f"{statistics.median(one[who].best for one in rounds):.4f}",
            ]
        )
    return table(["R7", "seconds, whole process", "KerasTuner's / its", "best val_accuracy"], rows)


if __name__ == "__main__":
    main()
