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
