"""What is recorded of the worker that trained an attempt."""

from __future__ import annotations

import logging
import socket

import pytest

from tests.records import make_study
from tuner_service.domain.provenance import Provenance
from tuner_service.training.provenance import versions
from tuner_service.worker.evaluation import environment_of


def test_a_worker_like_the_studys_creator_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    """Host, device and data are recorded; packages are those of the study."""
    study = make_study(provenance=Provenance(packages=versions(["python", "numpy"]), data="d1"))
    told = {"device": "a GPU", "data": "d1"}
    assert environment_of(study, told) == {"host": socket.gethostname(), **told}
    assert caplog.records == []


def test_other_data_and_packages_are_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """Every trial records them."""
    study = make_study(provenance=Provenance(packages={"numpy": "0.1", "never-there": "1"}, data="d1"))
    with caplog.at_level(logging.WARNING):
        found = [environment_of(study, {"data": "d2"}) for _ in range(3)]
    assert len(caplog.records) == 2
    assert "numpy 0.1 -> " in caplog.messages[0]
    assert "never-there 1 -> none" in caplog.messages[0]
    assert "returned other data" in caplog.messages[1]
    assert all(one["data"] == "d2" and one["packages"].startswith("numpy 0.1") for one in found)


def test_an_attempt_that_told_nothing_is_not_accused(caplog: pytest.LogCaptureFixture) -> None:
    """One that was cut off, or a script without data."""
    assert set(environment_of(make_study(provenance=Provenance(data="d1")), {})) == {"host"}
    assert caplog.records == []
