"""Activation, four widths, dropout and learning rate of a perceptron on MNIST, or on data in its file format."""

import gzip
import os
from pathlib import Path

import keras
import numpy as np
import optuna

from tuner_service import Data, Hyperband, StudySpec, Tpe

spec = StudySpec(
    name="mnist-mlp",
    metric="val_accuracy",
    trials=10,
    max_epochs=8,
    sampler=Tpe(),
    pruner=Hyperband(min_epochs=1, reduction_factor=3),
)


def load_data() -> Data:
    """Return 50 000, 10 000 and 10 000 images, float32 (n, 28, 28) in [0, 1], with their classes 0..9 as labels.

    They are read from the folder that TUNER_IDX_DIR names, else downloaded once by Keras. Debian's package
    dataset-fashion-mnist, say, puts Fashion-MNIST into /usr/share/datasets/fashion-mnist.
    """
    if folder := os.environ.get("TUNER_IDX_DIR"):
        images, labels = read_idx(folder, "train-images-idx3-ubyte"), read_idx(folder, "train-labels-idx1-ubyte")
        test_images, test_labels = (
            read_idx(folder, "t10k-images-idx3-ubyte"),
            read_idx(folder, "t10k-labels-idx1-ubyte"),
        )
    else:
        (images, labels), (test_images, test_labels) = keras.datasets.mnist.load_data()
    images, test_images = (pixels.astype("float32") / 255.0 for pixels in (images, test_images))
    return Data(
        train=(images[:50_000], labels[:50_000]),
        validation=(images[50_000:], labels[50_000:]),
        test=(test_images, test_labels),
    )


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


def build_model(trial: optuna.Trial) -> keras.Model:
    activation = trial.suggest_categorical("activation", ["relu", "tanh", "sigmoid"])
    widths = [trial.suggest_int("units", 32, 512, step=32)]
    widths += [trial.suggest_int(f"units_{i}", 8, 64, step=8) for i in (1, 2, 3)]
    dropout = trial.suggest_float("dropout", 0.0, 0.1, step=0.01)
    learning_rate = trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)

    model = keras.Sequential([keras.Input(shape=(28, 28)), keras.layers.Flatten()])
    for width in widths:
        model.add(keras.layers.Dense(width, activation=activation))
    model.add(keras.layers.Dropout(dropout))
    model.add(keras.layers.Dense(10, activation="softmax"))
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model
