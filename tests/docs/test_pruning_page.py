"""The page on pruning: its numbers are the forecast's."""

from __future__ import annotations

import re

import pytest

import tuner_service
from tests.docs.test_documentation import ROOT
from tuner_service import StudySpec
from tuner_service.domain.forecast import forecast

_PAGE = (ROOT / "docs" / "explanation" / "pruning.md").read_text()
_ROWS = re.findall(r"^\| `(\w+)\((.*?)\)` \| (\d+) % \| (\d+) % \|$", _PAGE, re.MULTILINE)


@pytest.mark.parametrize(("pruner", "arguments", "few", "many"), _ROWS)
def test_table_says_what_tuner_plan_expects(pruner: str, arguments: str, few: str, many: str) -> None:
    """Each pruner's share of the epochs, in studies of 40 and of 200 trials of 27 epochs, on two slots."""
    given = {
        name: None if value == "None" else (int if value.isdigit() else float)(value)
        for name, value in re.findall(r"(\w+)=([\w.]+)", arguments)
    }
    for trials, share in ((40, few), (200, many)):
        spec = StudySpec(
            name="one", metric="val_loss", trials=trials, max_epochs=27, pruner=getattr(tuner_service, pruner)(**given)
        )
        expected = forecast(spec, trials, slots=2)
        assert f"{expected.epochs / expected.epochs_unpruned:.0%}" == f"{share}%"


def test_table_has_rows() -> None:
    """They are found where the page has them."""
    assert len(_ROWS) == 5
