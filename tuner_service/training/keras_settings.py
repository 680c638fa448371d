"""What is set for all of Keras, apart from what a network leaves behind there."""

from __future__ import annotations

import keras


class KerasSettings:
    """The settings of now: the study file's or the worker's. Keras' state is cleared, as ``start_anew`` does."""

    def __init__(self) -> None:
        self._floatx = keras.config.floatx()
        self._epsilon = keras.config.epsilon()
        self._image_data_format = keras.config.image_data_format()
        self._policy = keras.config.dtype_policy()
        self._distribution = keras.distribution.distribution()
        # Who asks for the policy has set it.
        self.start_anew()

    def start_anew(self) -> None:
        """Clear Keras' state, so that the next network is like a first one, but for what was set."""
        keras.utils.clear_session(free_memory=False)
        keras.config.set_floatx(self._floatx)
        keras.config.set_epsilon(self._epsilon)
        keras.config.set_image_data_format(self._image_data_format)
        if self._policy.name != self._floatx:
            keras.config.set_dtype_policy(self._policy)
        if self._distribution is not None:
            keras.distribution.set_distribution(self._distribution)
