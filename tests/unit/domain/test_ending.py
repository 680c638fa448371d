"""When a study has come far enough, by each of its stopping rules."""

from __future__ import annotations

from typing import Any

import pytest

from tests.records import make_attempt, make_spec
from tuner_service.domain.attempt import Attempt
from tuner_service.domain.ending import may_start, reached, standing
from tuner_service.domain.outcome import Reason, State
from tuner_service.errors import SpecError

_NOW = 7200.0


def _done(configuration: int, reason: Reason = Reason.FINISHED, **fields: Any) -> Attempt:
    return make_attempt(
        configuration, reason=reason, **{"claimed_at": 0.0, "ended_at": 100.0 + configuration, **fields}
    )


def _running(configuration: int, **fields: Any) -> Attempt:
    return make_attempt(configuration, state=State.RUNNING, **{"claimed_at": 3600.0, **fields})


def _reached(stop: dict[str, Any], *attempts: Attempt, since: float = 0.0, **fields: Any) -> str | None:
    found = reached(make_spec(stop=stop, **fields), attempts, now=_NOW, since=since)
    return None if found is None else found.message


@pytest.mark.parametrize(
    ("stop", "attempts", "message"),
    [
        pytest.param({"epochs": 20}, [_done(0, epoch=9)], None, id="epochs for one more trial are left"),
        pytest.param(
            {"epochs": 20},
            [_done(0, epoch=9), _done(1, Reason.ERROR, epoch=3)],
            "stop.epochs=20: 12 are trained, and a trial may need 9 more",
            id="too few epochs are left, those of failures included",
        ),
        pytest.param(
            {"epochs": 20}, [_done(0, epoch=9, resumed_from=8)], None, id="epochs before a checkpoint count once"
        ),
        pytest.param({"epochs": 20}, [_running(0)], None, id="what runs may be stopped early"),
        pytest.param({"hours": 2}, [], None, id="time begins with the first trial"),
        pytest.param({"hours": 2.1}, [_done(0)], None, id="time is left"),
        pytest.param(
            {"hours": 2}, [_done(0)], "stop.hours=2: its first trial began 2 hours ago", id="the time is over"
        ),
        pytest.param({"device_hours": 1.2}, [_running(0)], None, id="device time is left"),
        pytest.param(
            {"device_hours": 1.5},
            [_running(0), _done(1, ended_at=1800.0)],
            "stop.device_hours=1.5: its trials took 1.5 hours",
            id="device time is over, running trials until now",
        ),
        pytest.param({"target": 0.9}, [_done(0, value=0.89)], None, id="below the target"),
        pytest.param(
            {"target": 0.9}, [_done(0, value=0.95, feasible=False)], None, id="the target with a constraint broken"
        ),
        pytest.param(
            {"patience": 1},
            [_done(0, value=0.95, feasible=False), _done(1, value=0.5)],
            None,
            id="the first one that breaks no constraint is a gain",
        ),
        pytest.param(
            {"patience": 1},
            [_done(0, value=0.5), _done(1, value=0.95, feasible=False)],
            "stop.patience=1: 1 trials without a better value, the best is trial 0 with 0.5",
            id="one that breaks a constraint is none",
        ),
        pytest.param(
            {"target": 0.9},
            [_done(0, value=0.9)],
            "stop.target=0.9: trial 0 reached val_accuracy 0.9",
            id="the target itself is enough",
        ),
        pytest.param({"target": 0.9}, [_done(0, Reason.PRUNED, value=0.95)], None, id="only complete trials reach it"),
        pytest.param({"patience": 2}, [_done(0, value=0.5), _done(1, value=0.4)], None, id="one without a gain"),
        pytest.param(
            {"patience": 2},
            [_done(0, value=0.5), _done(1, value=0.5), _done(2, Reason.PRUNED, value=0.9)],
            "stop.patience=2: 2 trials without a better value, the best is trial 0 with 0.5",
            id="an equal value and a pruned trial are no gain",
        ),
        pytest.param(
            {"patience": 2},
            [_done(0, value=0.5), _done(1, value=0.4), _done(2, value=0.6), _done(3, Reason.INTERRUPTED)],
            None,
            id="a gain begins anew, and what is not settled does not count",
        ),
        pytest.param(
            {"patience": 2},
            [_done(0, Reason.DIVERGED), _done(1, Reason.LOST)],
            "stop.patience=2: 2 trials without a better value, none is complete",
            id="nothing came of any",
        ),
    ],
)
def test_a_rule_holds_once_its_limit_is_reached(
    stop: dict[str, Any], attempts: list[Attempt], message: str | None
) -> None:
    """And says what it is with its numbers."""
    assert _reached(stop, *attempts) == message


def test_a_target_of_what_is_minimized_is_reached_from_above() -> None:
    """At the target or below."""
    assert _reached({"target": 0.1}, _done(0, value=0.11), metric="val_loss") is None
    assert _reached({"target": 0.1}, _done(0, value=0.05), metric="val_loss") is not None


def test_time_and_patience_count_anew_after_a_study_was_let_go_on() -> None:
    """Epochs, device time and the target do not: they are totals."""
    rows = [_done(0, value=0.5, epoch=9, ended_at=3600.0), _done(1, value=0.4, ended_at=3600.0)]
    for stop in ({"hours": 1}, {"patience": 1}):
        assert _reached(stop, *rows) is not None
        assert _reached(stop, *rows, since=4000.0) is None
    for stop in ({"epochs": 9}, {"device_hours": 1}, {"target": 0.5}):
        assert _reached(stop, *rows, since=4000.0) is not None


@pytest.mark.parametrize(
    ("attempts", "starts"),
    [
        pytest.param([], True, id="the first"),
        pytest.param([_running(0)], True, id="two fit at their longest"),
        pytest.param([_running(0), _running(1)], False, id="a third might be too long"),
        pytest.param([_done(0, Reason.PRUNED, epoch=1), _running(1)], True, id="what pruning left over is used"),
        pytest.param([_done(0, epoch=9), _running(1, epoch=30)], False, id="one that trained more than it should"),
    ],
)
def test_a_trial_starts_only_where_its_longest_training_fits(attempts: list[Attempt], starts: bool) -> None:
    """Beside those that run, each at its longest."""
    spec = make_spec(stop={"epochs": 20}, max_epochs=9)
    assert may_start(spec, attempts, now=_NOW, since=0.0) is starts


def test_a_study_says_how_far_it_is() -> None:
    """A phrase for each rule."""
    stop = {"epochs": 100, "hours": 8, "device_hours": 2.5, "target": 0.99, "patience": 10}
    rows = [
        _done(0, value=0.5, epoch=9, ended_at=3600.0),
        _done(1, epoch=3, value=0.1, claimed_at=3500.0, ended_at=3601.0),
    ]
    assert standing(make_spec(stop=stop), rows, now=_NOW, since=0.0) == [
        "12 of 100 epochs",
        "2 of 8 hours",
        "1.03 of 2.5 device hours",
        "val_accuracy 0.99",
        "1 of 10 trials without a better value",
    ]


def test_epochs_that_no_trial_fits_into_are_refused() -> None:
    """Nothing would ever start."""
    with pytest.raises(SpecError, match=r"stop.epochs: 8 are less than the 9 that one trial may train"):
        make_spec(stop={"epochs": 8}, max_epochs=9)
