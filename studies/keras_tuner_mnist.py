"""A function written for KerasTuner, as it is: widths, activation, dropout and learning rate on MNIST, each thrice."""

import keras
from mnist_data import load_mnist

from tuner_service import Data, Random, StudySpec

spec = StudySpec(
    name="keras-tuner-mnist", metric="val_accuracy", trials=5, max_epochs=5, executions=3, sampler=Random()
)


def load_data() -> Data:
    """Return five sixths of MNIST's training part to train on, the rest of it to judge trials by, and its test part."""
    (images, labels), test = load_mnist()
    judged = len(images) // 6
    return Data(train=(images[:-judged], labels[:-judged]), validation=(images[-judged:], labels[-judged:]), test=test)


def build_model(hp):
    activation = hp.Choice("activation", ["relu", "tanh", "sigmoid"])
    model = keras.Sequential([keras.Input(shape=(28, 28)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(hp.Int("units", min_value=32, max_value=512, step=32), activation=activation))
    for i in range(1, 4):
        model.add(keras.layers.Dense(hp.Int(f"units_{i}", min_value=8, max_value=64, step=8), activation=activation))
    model.add(keras.layers.Dropout(hp.Float("dropout", 0.0, 0.1, step=0.01)))
    model.add(keras.layers.Dense(10, activation="softmax"))
    learning_rate = hp.Float("learning_rate", min_value=1e-4, max_value=1e-2, sampling="log")
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model
