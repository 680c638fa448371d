"""A model's file beside its card, and what it was recorded to do."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.records import make_attempt, make_study
from tuner_service.domain.outcome import Reason
from tuner_service.domain.trial import Trial
from tuner_service.errors import ModelError
from tuner_service.results import model
from tuner_service.results.trials import Best


@pytest.mark.parametrize(
    ("recorded", "measured", "same"),
    [
        pytest.param(0.5, 0.5, True, id="the same"),
        pytest.param(0.5, 0.6, False, id="another"),
        pytest.param(math.nan, math.nan, True, id="both not a number"),
        pytest.param(math.nan, 0.5, False, id="a number now"),
        pytest.param(0.5, math.nan, False, id="no number any more"),
    ],
)
def test_a_model_does_what_was_recorded(recorded: float, measured: float, same: bool) -> None:
    """A metric beside the objective may be no number, a correlation for instance, as long as it stays none."""
    found = Best(make_study(), Trial(make_attempt(0, reason=Reason.FINISHED, value=0.9)), has_model=True)
    record: dict[str, Any] = {"part": "validation", "value": 0.9, "metrics": {"accuracy": 0.9, "ratio": recorded}}
    if same:
        model._compare(found, record, {"accuracy": 0.9, "ratio": measured})
        return
    with pytest.raises(ModelError, match="ratio was recorded as"):
        model._compare(found, record, {"accuracy": 0.9, "ratio": measured})


def test_a_card_is_json_whatever_was_measured(tmp_path: Path) -> None:
    """Other programs read no NaN."""
    (tmp_path / "there.keras").write_bytes(b"model")
    model.write_model(tmp_path / "there.keras", {"test": {"loss": math.nan}}, "text", tmp_path / "best.keras")
    card = json.loads((tmp_path / "best.json").read_text(), parse_constant=pytest.fail)
    assert card == {"test": {"loss": "nan"}}
