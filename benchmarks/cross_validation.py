"""Five folds of the task R4: this service, and scikit-learn's GridSearchCV over a Keras classifier.

    python -m benchmarks.cross_validation [--rounds 3] [--epochs 10] [--idx FOLDER] [--quick]

Two cells of studies/grid_search_mnist.py on 60 000 images, of 10 epochs in batches of 32. Each run is a whole process;
neither trains the best cell again on all data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from benchmarks.mnist_like import mnist_folder, parser_for
from benchmarks.page import alternating, medians, ratio, seconds, table, write
from benchmarks.processes import BACKENDS, Run, run_peer, run_tuner

STUDY = "folds_mnist"
BARS = {"tensorflow": 5, "jax": 15}
THEIRS = "GridSearchCV, tensorflow"


def main() -> None:
    """Measure, and write the table."""
    parser = parser_for(__doc__, "few rows, one epoch")
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.epochs = 1, 1
    with mnist_folder(arguments.idx, quick=arguments.quick) as idx:
        results = alternating(runs_of(arguments.epochs, idx), arguments.rounds)
    taken = medians({who: [run.seconds for run in ones] for who, ones in results.items()})
    best = medians({who: [run.best for run in ones] for who, ones in results.items()})
    text = shown(taken, best, f"two cells, {arguments.epochs} epochs")
    if arguments.quick:
        print(text)
    else:
        write("cross-validation", text, rounds=arguments.rounds)


def runs_of(epochs: int, idx: Path) -> dict[str, Callable[[], Run]]:
    """Return what is to be run, by the tool's name and the backend."""
    changes = {"max_epochs": epochs}
    theirs = partial(run_peer, "grid_search_cv", [STUDY, epochs], backend="tensorflow", idx=idx)
    ours = {f"tuner-service, {one}": partial(run_tuner, STUDY, changes, backend=one, idx=idx) for one in BACKENDS}
    return {THEIRS: theirs, **ours}


def shown(taken: Mapping[str, float], best: Mapping[str, float], size: str) -> str:
    """Return the table, from medians by tool and backend."""
    rows = []
    for who, took in taken.items():
        bar = None if who == THEIRS else BARS[who.partition(", ")[2]]
        rows.append([f"{size}: {who}", seconds(took), ratio(taken[THEIRS], took, bar), f"{best[who]:.4f}"])
    head = ["R4, five folds", "seconds, whole process", "GridSearchCV's / its", "best mean val_accuracy"]
    return table(head, rows)


if __name__ == "__main__":
    main()
