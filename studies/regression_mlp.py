"""Depth, and each layer's width and activation, of a perceptron on scikit-learn's synthetic regression."""

import keras
import numpy as np
import optuna
from sklearn.datasets import make_regression
from sklearn.preprocessing import StandardScaler

from tuner_service import Data, NoPruning, Random, StudySpec

spec = StudySpec(
    name="regression-mlp",
    metric="val_loss",
    trials=10,
    max_epochs=10,
    sampler=Random(),
    pruner=NoPruning(),
)


def load_data() -> Data:
    """Return 800, 100 and 100 rows of 10 features and one target, float32, in standard deviations of the training part.

    The target is scaled too, so a loss reads as the share of variance left unexplained: 1 is no better than the mean.
    """
    x, y = make_regression(n_samples=1000, n_features=10, noise=0.1, random_state=42)
    raw = Data.split(x, y.reshape(-1, 1), validation=0.1, test=0.1, seed=0)
    # Fitted on the training part alone, so that nothing of the other two leaks into it.
    scale_x, scale_y = (StandardScaler().fit(part) for part in raw.train)

    def scaled(part: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        x, y = part
        return scale_x.transform(x).astype("float32"), scale_y.transform(y).astype("float32")

    return Data(train=scaled(raw.train), validation=scaled(raw.validation), test=scaled(raw.test))


def build_model(trial: optuna.Trial) -> keras.Model:
    dropout = trial.suggest_float("dropout", 0.0, 0.5, step=0.1)  # one value for all layers
    learning_rate = trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)

    model = keras.Sequential([keras.Input(shape=(10,))])
    for i in range(trial.suggest_int("layers", 1, 3)):
        units = trial.suggest_int(f"units_{i}", 32, 128, step=32)
        activation = trial.suggest_categorical(f"activation_{i}", ["relu", "tanh", "sigmoid"])
        model.add(keras.layers.Dense(units, activation=activation))
        model.add(keras.layers.Dropout(dropout))
    model.add(keras.layers.Dense(1))
    model.compile(optimizer=keras.optimizers.Adam(learning_rate), loss="mse")
    return model
