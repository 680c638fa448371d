"""Width, depth, activation, dropout and learning rate of a perceptron on scikit-learn's digits."""

import keras
import optuna
from sklearn.datasets import load_digits

from tuner_service import Data, Hyperband, StudySpec, Tpe

spec = StudySpec(
    name="digits-mlp",
    metric="val_accuracy",
    trials=40,
    max_epochs=27,
    sampler=Tpe(),
    pruner=Hyperband(min_epochs=1, reduction_factor=3, brackets=1),
)


def load_data() -> Data:
    """Return 1797 images of 8 x 8 pixels as rows of 64, float32 in [0, 1], with their digits as labels."""
    images, labels = load_digits(return_X_y=True)
    return Data.split(images.astype("float32") / 16.0, labels, validation=0.2, test=0.2, seed=0)


def build_model(trial: optuna.Trial) -> keras.Model:
    layers = trial.suggest_int("layers", 1, 3)
    units = trial.suggest_int("units", 64, 256, log=True)
    activation = trial.suggest_categorical("activation", ["relu", "gelu", "silu"])
    dropout = trial.suggest_float("dropout", 0.0, 0.5)
    learning_rate = trial.suggest_float("learning_rate", 1e-3, 1e-2, log=True)

    model = keras.Sequential([keras.Input(shape=(64,))])
    for _ in range(layers):
        model.add(keras.layers.Dense(units, activation=activation))
        model.add(keras.layers.Dropout(dropout))
    model.add(keras.layers.Dense(10, activation="softmax"))
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def fit_options(trial: optuna.Trial) -> dict[str, object]:
    return {"batch_size": trial.suggest_categorical("batch_size", [32, 64, 128])}
