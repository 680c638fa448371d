"""The 32 runs of TensorBoard's tour of hyperparameters: width, rate, optimizer, a second layer, dropout on MNIST."""

import keras
import optuna
from mnist_data import load_mnist

from tuner_service import Data, Grid, StudySpec

spec = StudySpec(name="hparams-mnist", metric="val_accuracy", max_epochs=5, sampler=Grid())


def load_data() -> Data:
    """Return MNIST with its classes as rows of ten, so that the squared error is one of the metrics."""
    train, test = ((images, keras.utils.to_categorical(labels, 10)) for images, labels in load_mnist())
    return Data(train=train, validation=test)


def build_model(trial: optuna.Trial) -> keras.Model:
    units = trial.suggest_categorical("units", [16, 32])
    learning_rate = trial.suggest_categorical("learning_rate", [1e-3, 1e-2])
    optimizer = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}[
        trial.suggest_categorical("optimizer", ["adam", "sgd"])
    ]
    extra_layer = trial.suggest_categorical("extra_layer", [False, True])
    dropout = trial.suggest_categorical("dropout", [0.1, 0.2])

    model = keras.Sequential([keras.Input(shape=(28, 28)), keras.layers.Flatten()])
    for _ in range(2 if extra_layer else 1):
        model.add(keras.layers.Dense(units, activation="relu"))
    model.add(keras.layers.Dropout(dropout))
    model.add(keras.layers.Dense(10, activation="softmax"))
    model.compile(
        optimizer=optimizer(learning_rate),
        loss=keras.losses.CategoricalCrossentropy(),
        metrics=["accuracy", "mse"],
    )
    return model


def fit_options(trial: optuna.Trial) -> dict[str, object]:
    return {"batch_size": 128}
