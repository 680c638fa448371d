"""One study file on another backend of Keras."""

from __future__ import annotations

import pytest

from tests.e2e.tuner import Tuner, settled


@pytest.mark.soak
def test_study_file_runs_on_jax_as_it_is(tuner: Tuner) -> None:
    """The backend is the study's from then on: its workers use it, and another one is refused."""
    tuner.add_study("digits")
    small = ("--set", "trials=3", "--set", "max_epochs=3")
    tuner("run", "studies/digits.py", "--backend", "jax", *small, "--slots", "1")
    assert settled(tuner.attempts()) == [0, 1, 2]
    assert "compiled" in tuner("show", "digits", "0").out
    refused = tuner("create", "studies/digits.py", "--backend", "tensorflow", *small, code=2).err
    assert "backend: recorded 'jax', received 'tensorflow'" in refused
