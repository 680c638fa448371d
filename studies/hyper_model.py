"""A class written for KerasTuner, as it is: up to five layers on scikit-learn's synthetic regression."""

import keras
import keras_tuner
from regression_data import load_regression

from tuner_service import Data, StudySpec

spec = StudySpec(name="hyper-model", metric="val_loss", trials=10, max_epochs=10)


def load_data() -> Data:
    return load_regression(validation=0.2)


class Regressor(keras_tuner.HyperModel):
    """A perceptron of one activation, and how it is fitted."""

    def build(self, hp):
        activation = hp.Choice("activation", ["relu", "tanh", "sigmoid"])
        model = keras.Sequential([keras.Input(shape=(10,))])
        for i in range(hp.Int("num_layers", 1, 5)):
            model.add(keras.layers.Dense(hp.Int(f"units_{i}", 32, 512, step=32), activation=activation))
        model.add(keras.layers.Dense(1))
        learning_rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")
        model.compile(optimizer=keras.optimizers.Adam(learning_rate), loss="mse")
        return model

    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, batch_size=hp.Choice("batch_size", [16, 32, 64]), **kwargs)


hypermodel = Regressor()
