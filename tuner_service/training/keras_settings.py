"""What is set for all of Keras, apart from what a network leaves behind there."""

from __future__ import annotations

from collections import defaultdict

import keras

# The one place here that reaches into Keras: ``clear_session`` forgets these too, and no public function tells all.
from keras.src.backend.common import global_state

#: Settings of ``keras.config`` that ``clear_session`` forgets, and how often each name was given to a layer or metric.
_SETTINGS = ("safe_mode_saving", "flash_attention", "interactive_logging", "traceback_filtering")
_NAMES = "object_name_uids"


class KerasSettings:
    """The settings of now: the study file's or the worker's. Keras' state is cleared, as ``start_anew`` does.

    What the study file made when it was imported, a layer that all networks share for instance, keeps its name.
    """

    def __init__(self) -> None:
        self._floatx = keras.config.floatx()
        self._epsilon = keras.config.epsilon()
        self._image_data_format = keras.config.image_data_format()
        self._policy = keras.config.dtype_policy()
        self._distribution = keras.distribution.distribution()
        self._others = {name: global_state.get_global_attribute(name) for name in _SETTINGS}
        self._names = dict(global_state.get_global_attribute(_NAMES) or {})
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
        for name, value in self._others.items():
            if value is not None:
                global_state.set_global_attribute(name, value)
        global_state.set_global_attribute(_NAMES, defaultdict(int, self._names))
