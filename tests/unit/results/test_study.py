"""A study as Python looks at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.large_study import fill
from tuner_service import TunerServiceError, open_study
from tuner_service.bootstrap import open_storage
from tuner_service.results.study import Study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Provide a finished study of 60 trials on SQLite."""
    url = f"sqlite:///{tmp_path_factory.mktemp('study') / 'tuner.db'}"
    fill(open_storage(url), url, 60)
    return open_study("large", url)


def test_it_says_where_it_stands(study: Study) -> None:
    """In words, and as HTML with a picture that is part of it."""
    assert repr(study) == "<Study large: finished, 60 of 60 trials settled>"
    html = study._repr_html_()
    assert "learning_rate = " in html
    assert 'src="data:image/png;base64,' in html


def test_the_best_is_in_all_that_it_gives(study: Study) -> None:
    """Trials, front and DataFrame agree."""
    best = study.best
    assert best is not None
    assert study.front == [best]
    assert best in study.trials
    frame = study.dataframe()
    complete = frame[frame["state"] == "COMPLETE"]
    assert complete.loc[complete["value"].idxmax(), "trial"] == best.attempt.number
    assert sum(study.importances().values()) == pytest.approx(1.0)


def test_figures_are_pictures(study: Study) -> None:
    """One that there is not is refused with those that there are."""
    assert study.plot("history")._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(TunerServiceError, match="Did you mean 'history'"):
        study.plot("histori")
    with pytest.raises(TunerServiceError, match="nothing to show in the figure 'front'"):
        study.plot("front")


def test_a_study_that_is_not_there_is_told_at_once(study: Study, tmp_path: Path) -> None:
    """Not when it is first looked at."""
    with pytest.raises(TunerServiceError, match="nobody"):
        Study(study._storage, "nobody")
