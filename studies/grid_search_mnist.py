"""scikit-learn's `GridSearchCV` over a classifier of MNIST: 18 cells, 5 folds each; then `tuner refit` on all data."""

import keras
from mnist_data import load_mnist

from tuner_service import Data, Folds, Grid, StudySpec

spec = StudySpec(
    name="grid-search-mnist",
    metric="val_accuracy",
    max_epochs=20,
    sampler=Grid(),
    folds=Folds(n=5),
    value="last",
)

param_grid = {"batch_size": [32, 64, 512], "epochs": [10, 20], "units": [8, 16, 32]}


def load_data() -> Data:
    """Return MNIST's training part, which the folds divide, and its test part, which tuning never sees."""
    train, test = load_mnist()
    return Data(train=train, test=test)


def build_model(units: int) -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input(shape=(28, 28)),
            keras.layers.Flatten(),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
