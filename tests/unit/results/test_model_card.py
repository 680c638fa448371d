"""The page beside a model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tests.records import make_attempt, make_spec, make_study
from tuner_service.domain.outcome import Reason
from tuner_service.domain.provenance import Provenance
from tuner_service.domain.run import RUNS
from tuner_service.domain.score import Score, Scored
from tuner_service.domain.trial import Trial
from tuner_service.results.model_card import card_of_export
from tuner_service.results.trials import Best
from tuner_service.training.model_file import Needs

_PROVENANCE = Provenance(
    platform="Linux",
    host="h",
    packages={"python": "3.11.9", "keras": "3.15.0", "rich": "15.0"},
    precision="float32",
    data="d1",
    parts={"train": "180 rows: x float32 (64)", "test": "60 rows: x float32 (64)"},
    commit="abc",
    dirty=True,
    command="tuner run digits.py",
)
_CARD = {"fold": 1, "validation": {"loss": 0.25, "accuracy": 0.9}, "test": {"accuracy": 0.8}}


def _card(needs: Needs = Needs.KERAS, looks: int = 1, **fields: Any) -> str:
    study = make_study(spec=make_spec(backend="tensorflow"), provenance=_PROVENANCE)
    attempt = make_attempt(3, number=7, reason=Reason.FINISHED, value=0.9, ended_at=0.0)
    environment = {"host": "gpu1", "device": "NVIDIA H200", "data": "d1"}
    trial = Trial(attempt, {"units": 30}, code="c0de", environment=environment)
    seen = [Score(7 + one, Scored.TRIAL, {"accuracy": 0.8}, "a@b") for one in range(looks)]
    found = Best(study, dataclasses.replace(trial, **fields), has_model=True)
    return card_of_export(found, _CARD, needs, Path("out/best.keras"), seen)


def test_a_card_says_what_is_known() -> None:
    """Objective, scores, hyperparameters, data, record, and how to load the model; nothing is None."""
    card = _card()
    for line in (
        "| val_accuracy | 0.9 | maximize | one run |",
        "| validation, fold 2 | accuracy | 0.9 |",
        "| test | accuracy | 0.8 |",
        "| units | `30` |",
        "| train | 180 rows: x float32 (64) |",
        "| packages | python 3.11.9, keras 3.15.0 |",
        "| trained on | NVIDIA H200, gpu1 |",
        "| created by | `tuner run digits.py` |",
        'model = keras.models.load_model("best.keras")',
    ):
        assert f"\n{line}\n" in card
    assert "git `abc` with changes" in card
    assert "looked at once, first by a@b" in card
    assert "None" not in card


def test_several_runs_have_a_spread() -> None:
    """With their standard deviation and interval."""
    record = {"execution": 0, "fold": None, "seed": 1, "epochs": 9, "best_epoch": 9}
    card = _card(attributes={RUNS: [{**record, "value": value} for value in (0.8, 0.9, 1.0)]})
    assert "| mean of 3 runs |" in card
    assert "standard deviation 0.1" in card


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        pytest.param({"looks": 3}, "looked at 3 times, at 3 models", id="several looks at the test part"),
        pytest.param({"looks": 0}, "Nobody has looked", id="none"),
        pytest.param({"needs": Needs.STUDY}, 'load_model("best.keras", study="digits.py")', id="layers of its own"),
        pytest.param({"needs": Needs.CODE}, "its weights come from the file", id="weights only"),
        pytest.param({"environment": {"data": "d2"}}, "**This trial was trained on other data**", id="other data"),
    ],
)
def test_what_needs_a_word_is_told(fields: dict[str, Any], told: str) -> None:
    """A reader should not have to compare digests."""
    assert told in " ".join(_card(**fields).split())
