"""What the studies of the tests share: 300 images of digits, and a perceptron for them."""

import keras
import numpy as np
from sklearn.datasets import load_digits

from tuner_service import Data


def digits() -> Data:
    """Return 300 images as rows of 64, float32 in [0, 1], with their digits as labels: 180, 60 and 60 of them."""
    images, labels = load_digits(return_X_y=True)
    return Data.split(images[:300].astype(np.float32) / 16.0, labels[:300], validation=0.2, test=0.2, seed=0)


def perceptron(units: int, learning_rate: float) -> keras.Model:
    """Return a compiled network 64-units-10."""
    model = keras.Sequential(
        [
            keras.Input(shape=(64,)),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model
