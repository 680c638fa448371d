"""A class as it was written for KerasTuner, on the digits."""

import keras
import keras_tuner
from small import digits

from tuner_service import Random, StudySpec, SuccessiveHalving

spec = StudySpec(
    name="kerastuner",
    metric=keras_tuner.Objective("val_accuracy", direction="max"),
    trials=6,
    max_epochs=4,
    sampler=Random(),
    pruner=SuccessiveHalving(min_epochs=1, reduction_factor=2),
)

load_data = digits


class Perceptron(keras_tuner.HyperModel):
    def build(self, hp):
        model = keras.Sequential([keras.Input((64,))])
        layers = hp.Int("layers", 1, 2)
        for i in range(layers):
            with hp.conditional_scope("layers", list(range(i + 1, 3))):
                units = hp.Int(f"units_{i}", 8, 32, step=2, sampling="log")
            model.add(keras.layers.Dense(units, activation=hp.Choice("activation", ["relu", "tanh"])))
        model.add(keras.layers.Dense(10, activation="softmax"))
        rate = hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def fit(self, hp, model, *args, **kwargs):
        assert isinstance(hp, keras_tuner.HyperParameters)
        return model.fit(*args, batch_size=hp.Choice("batch_size", [16, 32]), verbose=0, **kwargs)


hypermodel = Perceptron(name="perceptron")
