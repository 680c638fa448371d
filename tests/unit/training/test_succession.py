"""Whether a child may train another trial, and that Keras is then as it was for the first one."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from tests.unit.training.fakes import make_study_file
from tuner_service.domain.outcome import Reason
from tuner_service.training.data import Data
from tuner_service.training.keras_settings import KerasSettings
from tuner_service.training.succession import Tenure, trains_alike

_ARRAYS = Data((np.zeros((4, 2)), np.zeros(4)), (np.zeros((2, 2)), np.zeros(2)))


class _Batches(keras.utils.PyDataset):  # type: ignore[misc]
    pass


@pytest.mark.parametrize(
    ("study", "data", "cold", "alike"),
    [
        pytest.param({}, _ARRAYS, False, True, id="arrays that this service trains on"),
        pytest.param({}, Data(_ARRAYS.train), False, True, id="no validation"),
        pytest.param({"fit": lambda *_: 0.0}, _ARRAYS, False, False, id="a fit of its own may change the data"),
        pytest.param({}, None, False, False, id="a script does what it likes"),
        pytest.param({}, Data(_Batches()), False, False, id="a dataset may have a state"),
        pytest.param({}, Data(_ARRAYS.train, _Batches()), False, False, id="to validate on, too"),
        pytest.param({}, _ARRAYS, True, False, id="so may what started the backend"),
    ],
)
def test_a_child_goes_on_only_where_that_changes_nothing(
    study: dict[str, Any], data: Data | None, cold: bool, alike: bool
) -> None:
    """Elsewhere each trial has its own."""
    assert trains_alike(make_study_file(**study), data, cold=cold) is alike


@pytest.mark.parametrize(
    ("reason", "seconds", "grown", "most", "goes_on"),
    [
        pytest.param(Reason.FINISHED, 1.0, 0, 9, True, id="a short one that finished"),
        pytest.param(Reason.PRUNED, 1.0, 0, 9, True, id="a short one that was pruned"),
        pytest.param(Reason.ERROR, 1.0, 0, 9, False, id="an exception"),
        pytest.param(Reason.OOM, 1.0, 0, 9, False, id="out of memory"),
        pytest.param(Reason.DIVERGED, 1.0, 0, 9, False, id="not a number"),
        pytest.param(Reason.INTERRUPTED, 1.0, 0, 9, False, id="interrupted"),
        pytest.param(Reason.FINISHED, 31.0, 0, 9, False, id="a long one"),
        pytest.param(Reason.FINISHED, 1.0, 2**28, 9, True, id="at the mark of its memory"),
        pytest.param(Reason.FINISHED, 1.0, 2**28 + 1, 9, False, id="beyond it"),
        pytest.param(Reason.FINISHED, 1.0, 0, 2, False, id="the last one of its number"),
    ],
)
def test_a_child_goes_on_after_a_short_trial_that_ended_well(
    reason: Reason, seconds: float, grown: int, most: int, goes_on: bool
) -> None:
    """Until it has trained so many, or has taken so much more memory than after its first."""
    tenure = Tenure()
    assert tenure.goes_on(Reason.FINISHED, seconds=1.0, used_bytes=2**29, most_trials=most)
    assert tenure.goes_on(reason, seconds=seconds, used_bytes=2**29 + grown, most_trials=most) is goes_on


def test_keras_is_as_it_was_before_the_first_trial() -> None:
    """What the study file has set stays, what a trial's code has set goes, and names begin anew."""
    floatx, format_ = keras.config.floatx(), keras.config.image_data_format()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        settings = KerasSettings()
        first = keras.layers.Dense(1)
        keras.config.set_dtype_policy("float32")
        keras.config.set_floatx("float64")
        keras.config.set_image_data_format("channels_first")
        settings.start_anew()
        following = keras.layers.Dense(1)
        assert (following.name, following.dtype_policy.name) == (first.name, "mixed_bfloat16")
        assert (keras.config.floatx(), keras.config.image_data_format()) == (floatx, format_)
    finally:
        keras.config.set_dtype_policy("float32")


def test_what_the_study_file_has_made_keeps_its_name_and_its_permissions() -> None:
    """A network takes a layer of its module, and loads what the file has allowed; as in a script."""
    shared = keras.Sequential([keras.layers.RandomFlip()])
    keras.config.enable_unsafe_deserialization()
    keras.config.disable_interactive_logging()
    try:
        settings = KerasSettings()
        for _ in range(2):
            settings.start_anew()
            inputs = keras.Input((2, 2, 1))
            flattened = keras.Sequential([keras.layers.Flatten()])
            model = keras.Model(inputs, flattened(shared(inputs)))
            assert len({layer.name for layer in model.layers}) == 3
            assert model.layers[2].name != shared.name
            keras.models.clone_model(keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x)]))
            assert not keras.config.is_interactive_logging_enabled()
    finally:
        keras.config.enable_interactive_logging()
        keras.utils.clear_session()


def test_a_precision_that_nobody_chose_follows_what_the_trial_sets() -> None:
    """As in a process of its own: to look at the settings does not choose one."""
    settings = KerasSettings()
    try:
        keras.config.set_floatx("float64")
        assert keras.layers.Dense(1).dtype_policy.name == "float64"
    finally:
        settings.start_anew()
    assert keras.layers.Dense(1).dtype_policy.name == "float32"
