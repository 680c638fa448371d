"""MNIST's images and labels, or data in its file format: what several studies here load."""

import gzip
import os
from pathlib import Path

import keras
import numpy as np

Arrays = tuple[np.ndarray, np.ndarray]


def load_mnist() -> tuple[Arrays, Arrays]:
    """Return the training and the test part: images, float32 (n, 28, 28) in [0, 1], with their classes 0..9.

    They are read from the folder that TUNER_IDX_DIR names, else downloaded once by Keras. Debian's package
    dataset-fashion-mnist, say, puts Fashion-MNIST into /usr/share/datasets/fashion-mnist.
    """
    if folder := os.environ.get("TUNER_IDX_DIR"):
        parts = [
            (read_idx(folder, f"{part}-images-idx3-ubyte"), read_idx(folder, f"{part}-labels-idx1-ubyte"))
            for part in ("train", "t10k")
        ]
    else:
        parts = keras.datasets.mnist.load_data()
    train, test = ((images.astype("float32") / 255.0, labels) for images, labels in parts)
    return train, test


def read_idx(folder: str, name: str) -> np.ndarray:
    """Return the uint8 array of an IDX file, plain or gzipped: 3 bytes of type, the rank, big-endian sizes, values."""
    plain, gzipped = Path(folder, name), Path(folder, f"{name}.gz")
    if plain.exists():
        content = plain.read_bytes()
    elif gzipped.exists():
        content = gzip.decompress(gzipped.read_bytes())
    else:
        raise FileNotFoundError(
            f"There is neither {name} nor {name}.gz in {folder}: put the four IDX files there, "
            "point TUNER_IDX_DIR to the folder that has them, or unset it to let Keras download MNIST."
        )
    rank = content[3]
    shape = np.frombuffer(content, ">u4", count=rank, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
