"""Study files that do not import, and how much is said about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuner_service.errors import StudyFileError
from tuner_service.training.study_file import load

_SPEC = "from tuner_service import Hyperband, StudySpec\nspec = StudySpec(name='s', metric='loss', trials=3, {})\n"
_OWN_MODEL = "import pydantic\nclass Own(pydantic.BaseModel):\n    trials: int\nOwn(trials='many')\n"


@pytest.mark.parametrize(
    ("source", "message", "traceback"),
    [
        pytest.param(_SPEC.format("epochs=2"), r"unknown field 'epochs'.*max_epochs", False, id="a specification"),
        pytest.param(
            _SPEC.format("max_epochs=2, pruner=Hyperband(min_epochs=0)"),
            "^study.py: min_epochs: must be greater than 0, got 0",
            False,
            id="a part of one",
        ),
        pytest.param(_OWN_MODEL, "study.py does not import", True, id="a model of the user's own"),
        pytest.param("1 / 0", "ZeroDivisionError: division by zero", True, id="another error"),
    ],
)
def test_a_traceback_is_offered_where_it_says_more(tmp_path: Path, source: str, message: str, traceback: bool) -> None:
    """A wrong specification is told by its fields, everything else with where it was raised."""
    path = tmp_path / "study.py"
    path.write_text(source)
    with pytest.raises(StudyFileError, match=message) as error:
        load(path)
    assert bool(error.value.details) == traceback
