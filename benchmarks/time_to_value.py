"""How long it takes to reach the value that KerasTuner's Hyperband ends with, on the task R7.

    python -m benchmarks.time_to_value [--rounds 3] [--max-epochs 8] [--idx FOLDER] [--quick]

KerasTuner's Hyperband (``max_epochs=8``, ``factor=3``) searches on studies/keras_tuner_mnist.py as it comes, on
TensorFlow. Its best value is then the target of the same study here, with TPE and Hyperband, which ends once a trial
has reached it. Each run is a whole process.
"""

from __future__ import annotations

import statistics
from pathlib import Path

from benchmarks.mnist_like import mnist_folder, parser_for
from benchmarks.page import ratio, seconds, table, write
from benchmarks.processes import BACKENDS, Run, run_peer, run_tuner

STUDY = "keras_tuner_mnist"
BAR = 4
#: More than are needed.
TRIALS = 200


def main() -> None:
    """Measure, and write the table."""
    parser = parser_for(__doc__, "few rows, two epochs")
    parser.add_argument("--max-epochs", type=int, default=8)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.max_epochs = 1, 2
    rounds = []
    with mnist_folder(arguments.idx, quick=arguments.quick) as idx:
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
