"""The trial that a study's code sees."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, distribution_to_json, json_to_distribution

from tests.unit.training.fakes import FakePipe
from tuner_service.errors import StudyFileError
from tuner_service.search.space import contains
from tuner_service.training.recording_trial import RecordingTrial
from tuner_service.training.remote_trial import (
    MAX_ATTRIBUTE,
    MAX_CHOICES,
    MAX_CONSTRAINT,
    MAX_NAME,
    MAX_STEP,
    RemoteTrial,
    plain_choices,
)


class _Text(enum.StrEnum):
    RELU = "relu"
    GELU = "gelu"


class _Mixed(str, enum.Enum):  # noqa: UP042 - what its text is differs from StrEnum's
    RELU = "relu"


class _Whole(enum.IntEnum):
    SMALL = 8
    LARGE = 64


@pytest.mark.parametrize(
    "choices",
    [
        pytest.param(["relu", 1, 0.5, False, None], id="of several types"),
        pytest.param([1, 2, 1], id="one that is there twice"),
        pytest.param([True, 0], id="numbers and truth values that differ"),
    ],
)
def test_choices_that_come_back_as_they_were_are_accepted(choices: list[object]) -> None:
    """Text, numbers, truth values and nothing."""
    assert plain_choices("p", choices) == choices


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        pytest.param([True, 1], "True and 1, which are equal", id="a truth value and a number"),
        pytest.param([0, 2, 0.0], "0 and 0.0, which are equal", id="two kinds of zero"),
        pytest.param([(8, 4)], r"\(8, 4\), a tuple, which a database cannot keep", id="a tuple"),
    ],
)
def test_choices_that_would_come_back_as_others_are_refused(choices: list[object], said: str) -> None:
    """Optuna records the place of a choice in its list, and finds it by comparing: a retry would train the other."""
    with pytest.raises(StudyFileError, match=said):
        plain_choices("p", choices)


@pytest.mark.parametrize(
    ("choices", "plain"),
    [
        pytest.param(np.logspace(-4, -2, 3), [1e-4, 1e-3, 1e-2], id="an array of numbers"),
        pytest.param(np.arange(1, 3), [1, 2], id="an array of whole numbers"),
        pytest.param(np.array(["a", "b"]), ["a", "b"], id="an array of text"),
        pytest.param([np.float32(0.5), np.bool_(True), None], [0.5, True, None], id="NumPy's scalars"),
        pytest.param(list(_Text), ["relu", "gelu"], id="an enum of text"),
        pytest.param([_Mixed.RELU], ["relu"], id="an enum whose text is its name"),
        pytest.param(list(_Whole), [8, 64], id="an enum of whole numbers"),
        pytest.param({"a": 1, "b": 2}.keys(), ["a", "b"], id="the keys of a dictionary"),
    ],
)
def test_a_choice_is_recorded_plain_and_the_study_gets_its_own(choices: Sequence[Any], plain: list[object]) -> None:
    """Retries, grid cells and enqueued points come back from the database as JSON, and are found among the choices."""

    def suggest(_name: str, distribution: CategoricalDistribution) -> object:
        assert [(type(one), one) for one in distribution.choices] == [(type(one), one) for one in plain]
        given = json.loads(json.dumps(plain[-1]))
        assert contains(json_to_distribution(distribution_to_json(distribution)), given)
        assert contains(distribution, given)
        return given

    value = RemoteTrial(FakePipe(suggest=suggest), 0, 0.0).suggest_categorical("p", choices)
    assert (type(value), value) == (type(tuple(choices)[-1]), tuple(choices)[-1])
    drawn = RecordingTrial("study.py", 0).suggest_categorical("p", choices)
    assert type(drawn) in {type(one) for one in choices}


def test_what_a_study_says_is_sent_without_classes_of_its_own() -> None:
    """An enum that a script defines is known to its process only."""
    pipe = FakePipe(suggest=lambda *_: 0.5)
    trial = RemoteTrial(pipe, 0, 0.0)
    trial.set_user_attr(_Text.RELU, {"kinds": [_Text.GELU, _Whole.SMALL]})
    trial.set_constraint(_Mixed.RELU, np.float64(1.0))
    trial.suggest_float(np.str_("rate"), np.float64(0.1), np.float64(1.0), log=np.bool_(True))  # type: ignore[arg-type]
    sent = [*pipe.of("set_user_attr")[0], *pipe.of("set_constraint")[0]]
    assert sent == ["relu", {"kinds": ["gelu", 8]}, "relu", 1.0]
    name, distribution = pipe.of("suggest")[0]
    assert {type(one) for one in (*sent[1]["kinds"], name, sent[0], sent[2])} == {str, int}
    assert {type(one) for one in vars(distribution).values()} == {float, bool, type(None)}
    assert trial.user_attrs == {"relu": {"kinds": [_Text.GELU, _Whole.SMALL]}}


@pytest.mark.parametrize(
    ("say", "most", "said"),
    [
        pytest.param(
            lambda trial, size: trial.suggest_float("x" * size, 0.0, 1.0),
            MAX_NAME,
            "1 to 512 char",
            id="a parameter's name",
        ),
        pytest.param(
            lambda trial, size: trial.set_user_attr("x" * size, 1), MAX_NAME, "1 to 512 char", id="an attribute's name"
        ),
        pytest.param(
            lambda trial, size: trial.set_constraint("x" * size, 1.0),
            MAX_CONSTRAINT,
            "1 to 480 char",
            id="a constraint's",
        ),
        pytest.param(
            # With its quotation marks.
            lambda trial, size: trial.set_user_attr("note", "x" * (size - 2)),
            MAX_ATTRIBUTE,
            "65537 characters as JSON; at most 65536",
            id="an attribute",
        ),
        pytest.param(
            # With the brackets of the list, too.
            lambda trial, size: trial.suggest_categorical("kind", ["x" * (size - 4)]),
            MAX_CHOICES,
            "65537 characters as JSON; at most 65536 .* look the choice up",
            id="choices",
        ),
    ],
)
def test_what_the_storage_has_no_room_for_is_refused(
    say: Callable[[RemoteTrial, int], object], most: int, said: str
) -> None:
    """Where the study's code says it, so that its line is told; and nothing is sent."""
    pipe = FakePipe(suggest=lambda _, distribution: getattr(distribution, "choices", (0.5,))[0])
    say(RemoteTrial(pipe, 0, 0.0), most)
    assert len(pipe.asked) + len(pipe.told) == 1
    with pytest.raises((ValueError, StudyFileError), match=said):
        say(RemoteTrial(pipe, 0, 0.0), most + 1)
    assert len(pipe.asked) + len(pipe.told) == 1


def test_a_step_that_is_reported_again_is_a_sign_of_life() -> None:
    """The first value stays, as in Optuna; a script that goes through its folds with the same steps is not stuck."""
    pipe = FakePipe()
    trial = RemoteTrial(pipe, 0, 0.0)
    trial.report(0.5, 0)
    with pytest.warns(UserWarning, match="step 0 was reported before"):
        trial.report(0.4, 0)
    assert (pipe.of("report"), pipe.of("alive")) == ([[0, 1, 0.5]], [[]])


@pytest.mark.parametrize("step", [-1, MAX_STEP + 1])
def test_a_step_that_no_database_holds_is_refused(step: int) -> None:
    """Where the study's code says it; a count of milliseconds for instance."""
    pipe = FakePipe()
    trial = RemoteTrial(pipe, 0, 0.0)
    with pytest.raises(ValueError, match="wants a step of 0 to 2147483646"):
        trial.report(0.5, step)
    trial.report(0.5, MAX_STEP)
    assert pipe.of("report") == [[MAX_STEP, 2**31 - 1, 0.5]]


@pytest.mark.parametrize("name", ["", "a\0b", 7, None])
def test_a_name_is_text_that_a_database_keeps(name: Any) -> None:
    """Not nothing, and without the character that PostgreSQL refuses."""
    with pytest.raises(ValueError, match="must be text of 1 to 512 characters"):
        RemoteTrial(FakePipe(), 0, 0.0).set_user_attr(name, 1)
