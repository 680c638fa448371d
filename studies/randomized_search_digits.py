"""scikit-learn's `RandomizedSearchCV` with 3 folds: optimizer, batch size and epochs on scikit-learn's digits."""

import keras
from scipy.stats import randint
from sklearn.datasets import load_digits

from tuner_service import Data, Folds, StudySpec, Tpe

spec = StudySpec(
    name="randomized-search-digits",
    metric="val_accuracy",
    trials=100,
    max_epochs=30,
    sampler=Tpe(),
    folds=Folds(n=3),
    value="last",
)

param_distributions = {"optimizer": ["adam", "sgd"], "batch_size": randint(16, 65), "epochs": randint(10, 31)}


def load_data() -> Data:
    images, labels = load_digits(return_X_y=True)
    return Data(train=(images.astype("float32") / 16.0, labels))


def build_model(optimizer: str) -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input(shape=(64,)),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
