"""A study file that is looked at before it is used."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.tuner import opened

_STUDY = """\
from small import digits as load_data, perceptron
from tuner_service import Hyperband, StudySpec
spec = StudySpec(name="s", metric="val_accuracy", trials=2, max_epochs=3, pruner=Hyperband())
def build_model(trial):
    return perceptron(trial.suggest_int("units", 8, 4), 0.01)
"""


def test_mistakes_are_listed_and_nothing_is_made(tmp_path: Path) -> None:
    """The exit code says that there are errors; they come with their lines, for people and for programs."""
    with opened(tmp_path) as tuner:
        path = tuner.add_study("digits").with_name("study.py")
        path.write_text(_STUDY)
        before = sorted(tmp_path.rglob("*.db"))
        (finding,) = tuner("check", path, "--json", code=1).json("findings")
        assert (finding["level"], finding["rule"], finding["line"]) == ("error", "range-reversed", 5)
        path.write_text(_STUDY.replace("8, 4", "4, 8"))
        assert tuner("check", path).out.startswith(f"nothing found in {path}")
        assert sorted(tmp_path.rglob("*.db")) == before == []
        assert tuner.artifacts() == []


def test_a_plan_says_epochs_time_and_memory(tmp_path: Path) -> None:
    """Before a study starts by a short training, and of what is left of it by what its trials took."""
    with opened(tmp_path) as tuner:
        path = tuner.add_study("digits")
        plan = tuner("plan", path, "--workers", "2", "--slots", "3", "--measure", "--json").json("plan")
        assert plan["slots"] == 6
        assert plan["measured"]["configurations"] == 3
        assert 0 < plan["seconds"][0] <= plan["seconds"][1]
        assert tuner.artifacts() == []
