"""A script as Optuna's documentation has them: it knows nothing of this service."""

import keras
import optuna
from optuna_integration import KerasPruningCallback
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

EPOCHS = 9


def create_model(trial):
    """Return a compiled network."""
    model = keras.Sequential([keras.Input(shape=(64,))])
    for i in range(trial.suggest_int("n_layers", 1, 2)):
        model.add(keras.layers.Dense(trial.suggest_int(f"n_units_l{i}", 4, 32, log=True), activation="relu"))
        model.add(keras.layers.Dropout(rate=trial.suggest_float("dropout", 0.0, 0.2)))
    model.add(keras.layers.Dense(10, activation="softmax"))
    optimizer = trial.suggest_categorical("optimizer", ["Adam", "RMSprop"])
    lr = trial.suggest_float("lr", 1e-3, 1e-1, log=True)
    model.compile(
        loss="sparse_categorical_crossentropy",
        optimizer=getattr(keras.optimizers, optimizer)(learning_rate=lr),
        metrics=["accuracy"],
    )
    return model


def objective(trial):
    """Return the accuracy on the validation part."""
    keras.utils.clear_session()
    x, y = load_digits(return_X_y=True)
    x_train, x_valid, y_train, y_valid = train_test_split(x[:300] / 16.0, y[:300], test_size=0.3, random_state=0)
    model = create_model(trial)
    trial.set_user_attr("weights", model.count_params())
    trial.set_constraint("size", model.count_params() - 2000)
    model.fit(
        x_train,
        y_train,
        validation_data=(x_valid, y_valid),
        epochs=EPOCHS,
        batch_size=16,
        callbacks=[KerasPruningCallback(trial, "val_accuracy")],
        verbose=0,
    )
    return model.evaluate(x_valid, y_valid, verbose=0)[1]


if __name__ == "__main__":
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.HyperbandPruner())
    study.optimize(objective, n_trials=8)
    print(study.best_trial)
