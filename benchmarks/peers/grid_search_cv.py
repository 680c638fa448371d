"""scikit-learn's GridSearchCV over a Keras classifier, without a refit; prints the best mean accuracy as JSON.

    python -m benchmarks.peers.grid_search_cv STUDY EPOCHS

STUDY is a module with ``network(units)``, ``UNITS``, ``spec`` and ``load_data()``. The wrapper is the
smallest that scikit-learn takes: SciKeras is not kept up with Keras 3.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any, Self

import keras
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GridSearchCV, KFold


class KerasClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A network as a classifier of scikit-learn's."""

    def __init__(self, study: str = "", units: int = 8, batch_size: int = 32, epochs: int = 1) -> None:
        self.study = study
        self.units = units
        self.batch_size = batch_size
        self.epochs = epochs

    def fit(self, x: np.ndarray, y: np.ndarray) -> Self:
        """Build the network and train it."""
        keras.backend.clear_session()
        self.classes_ = np.unique(y)
        self.model_: Any = importlib.import_module(self.study).network(self.units)
        self.model_.fit(x, y, batch_size=self.batch_size, epochs=self.epochs, verbose=0)
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the most likely class of each row."""
        classes: np.ndarray = np.argmax(self.model_.predict(x, batch_size=self.batch_size, verbose=0), axis=1)
        return classes


def main(study: str, epochs: str) -> None:
    """Search, and print the best mean accuracy."""
    module = importlib.import_module(study)
    x, y = module.load_data().train
    search = GridSearchCV(
        KerasClassifier(study, epochs=int(epochs)),
        {"units": list(module.UNITS)},
        cv=KFold(module.spec.folds.n),
        refit=False,
    )
    search.fit(x, y)
    print(json.dumps({"best": float(max(search.cv_results_["mean_test_score"]))}))


if __name__ == "__main__":
    main(*sys.argv[1:])
