"""Activation, four widths, dropout and learning rate of a perceptron on MNIST, or on data in its file format."""

import keras
import optuna
from mnist_data import load_mnist

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
    """Return five sixths of MNIST's training part to train on, the rest of it to judge trials by, and its test part."""
    (images, labels), test = load_mnist()
    judged = len(images) // 6
    return Data(train=(images[:-judged], labels[:-judged]), validation=(images[-judged:], labels[-judged:]), test=test)


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
