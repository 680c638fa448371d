"""Cores and GPUs of a machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tuner_service.errors import SpecError
from tuner_service.worker import machine
from tuner_service.worker.machine import NO_GPU, cores, gpus, grouped, slot_devices


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        pytest.param("200000 100000", 2, id="two cores"),
        pytest.param("150000 100000", 2, id="a core and a half"),
        pytest.param("50000 100000", 1, id="half a core"),
        pytest.param("max 100000", None, id="no limit"),
        pytest.param("", None, id="an empty file"),
        pytest.param("words in it", None, id="another format"),
    ],
)
def test_a_container_has_the_cores_of_its_limit(tmp_path: Path, limit: str, expected: int | None) -> None:
    """The limit is rounded up; what cannot be read limits nothing."""
    file = tmp_path / "cpu.max"
    file.write_text(limit)
    assert machine._container_cores(file) == expected


def test_without_a_container_there_is_no_limit(tmp_path: Path) -> None:
    """A machine without control groups has no such file."""
    assert machine._container_cores(tmp_path / "cpu.max") is None


@pytest.mark.parametrize(
    ("affinity", "container", "expected"),
    [
        pytest.param(8, None, 8, id="the affinity alone"),
        pytest.param(8, 2, 2, id="the container's limit, if it is lower"),
        pytest.param(2, 8, 2, id="the affinity, if it is lower"),
    ],
)
def test_the_lowest_limit_holds(
    monkeypatch: pytest.MonkeyPatch, affinity: int, container: int | None, expected: int
) -> None:
    """A process may use what both its affinity and its container allow."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)), raising=False)
    monkeypatch.setattr(machine, "_container_cores", lambda: container)
    assert cores() == expected


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        pytest.param("0,1", ["0", "1"], id="two"),
        pytest.param(" 3 ,GPU-5ca1ab1e", ["3", "GPU-5ca1ab1e"], id="by number and by name"),
        pytest.param("", [], id="none"),
        pytest.param(NO_GPU, [], id="none, said otherwise"),
        pytest.param("0,-1,1", ["0"], id="CUDA ignores what follows"),
        pytest.param("1,,0", ["1"], id="an empty one too"),
    ],
)
def test_the_environment_says_which_gpus_may_be_used(visible: str, expected: list[str]) -> None:
    """CUDA_VISIBLE_DEVICES is kept to."""
    assert gpus({"CUDA_VISIBLE_DEVICES": visible}) == expected


@pytest.mark.parametrize(
    ("slots", "available", "expected"),
    [
        pytest.param(None, ["0", "1"], ["0", "1"], id="a slot for each GPU"),
        pytest.param(1, ["0", "1"], ["0"], id="fewer slots"),
        pytest.param(5, ["0", "1"], ["0", "1", "0", "1", "0"], id="more slots share in turn"),
        pytest.param(2, [], [NO_GPU, NO_GPU], id="no GPU"),
        pytest.param(None, [], [NO_GPU] * 3, id="no GPU and no number: a slot for each core"),
    ],
)
def test_slots_get_their_gpus(
    monkeypatch: pytest.MonkeyPatch, slots: int | None, available: list[str], expected: list[str]
) -> None:
    """Each slot sees one GPU at most."""
    monkeypatch.setattr(machine, "cores", lambda: 3)
    assert slot_devices(slots, available) == expected


def test_slots_may_share_a_gpu() -> None:
    """Each slot sees one GPU all the same."""
    assert slot_devices(None, ["0", "1"], 3) == ["0", "1", "0", "1", "0", "1"]


@pytest.mark.parametrize(
    ("devices", "each", "expected"),
    [
        pytest.param(["0", "1", "2", "3"], 2, ["0,1", "2,3"], id="two pairs"),
        pytest.param(["0", "1", "2"], 2, ["0,1"], id="one is left over"),
        pytest.param(["0", "1", "0", "1"], 2, ["0,1"], id="a group is not shared"),
        pytest.param(["0"], 2, [], id="too few"),
        pytest.param([NO_GPU, NO_GPU], 2, [], id="none"),
        pytest.param([NO_GPU, NO_GPU], 1, [NO_GPU, NO_GPU], id="none is needed"),
    ],
)
def test_a_trial_on_several_gpus_has_them_to_itself(devices: list[str], each: int, expected: list[str]) -> None:
    """Slots are as many as whole groups."""
    assert grouped(devices, each) == expected


def test_slots_are_said_once() -> None:
    """How many trials there are at a time, or how many on each GPU: of two numbers one would not be used."""
    with pytest.raises(SpecError, match="leave one out"):
        slot_devices(2, ["0"], 4)
