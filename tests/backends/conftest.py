"""Keras in the process of the tests: on one core that is shown as two devices, without a GPU."""

from __future__ import annotations

import keras

# Not through the environment, which the processes that other tests start would inherit. It is too late where another
# test has computed something already.
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    try:
        tf.config.set_visible_devices([], "GPU")
        cores = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], cores)
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        pass
