"""scikit-learn's synthetic regression, scaled: what several studies here load."""

import numpy as np
from sklearn.datasets import make_regression
from sklearn.preprocessing import StandardScaler

from tuner_service import Data


def load_regression(*, validation: float, test: float = 0.0) -> Data:
    """Return 1000 rows of 10 features and one target, float32, in standard deviations of the training part.

    The target is scaled too, so a loss reads as the share of variance left unexplained: 1 is no better than the mean.
    """
    x, y = make_regression(n_samples=1000, n_features=10, noise=0.1, random_state=42)
    raw = Data.split(x, y.reshape(-1, 1), validation=validation, test=test, seed=0)
    # Fitted on the training part alone, so that nothing of the other two leaks into it.
    scale_x, scale_y = (StandardScaler().fit(part) for part in raw.train)

    def scaled(part: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        x, y = part
        return scale_x.transform(x).astype("float32"), scale_y.transform(y).astype("float32")

    return Data(
        train=scaled(raw.train),
        validation=scaled(raw.validation),
        test=None if raw.test is None else scaled(raw.test),
    )
