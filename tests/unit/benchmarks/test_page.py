"""The tables that benchmarks write into the manual."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import cross_validation, search_quality, storage_cost, time_to_value, trial_throughput
from benchmarks.page import PAGE, alternating, medians, ratio, replaced, seconds, table, write
from benchmarks.processes import Run

_PAGE = "# Speed\n\n<!-- a: written by make bench -->\n\nold\n\n<!-- a: end -->\n\nProse.\n"


def test_what_lies_between_the_marks_is_replaced(tmp_path: Path) -> None:
    """The prose around stays, and writing it twice is writing it once."""
    page = tmp_path / "page.md"
    page.write_text(_PAGE)
    for _ in range(2):
        write("a", "new", rounds=3, page=page)
    before, _, after = _PAGE.partition("old")
    assert page.read_text().startswith(f"{before}new\n\nMedians of 3 runs on ")
    assert page.read_text().endswith(after)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param("# Speed\n", id="none"),
        pytest.param("<!-- a: written by make bench -->\n", id="no end"),
        pytest.param("<!-- a: end -->\n<!-- a: written by make bench -->\n", id="the end first"),
    ],
)
def test_a_page_without_the_marks_is_refused(page: str) -> None:
    """Rather than the table being lost."""
    with pytest.raises(ValueError, match="no marks for 'a'"):
        replaced(page, "a", "new")


@pytest.mark.parametrize("name", ["trial throughput", "time to value", "cross-validation", "storage cost"])
def test_the_manual_has_a_place_for_each_table(name: str) -> None:
    """Under the name that its benchmark writes."""
    assert "new" in replaced(PAGE.read_text(encoding="utf-8"), name, "new")


def test_runs_take_turns() -> None:
    """So that a busy minute falls on all of them."""
    order: list[str] = []
    runs = {"a": lambda: order.append("a") or 1.0, "b": lambda: order.append("b") or 2.0}
    results = alternating(runs, 3)
    assert order == ["a", "b"] * 3
    assert medians(results) == {"a": 1.0, "b": 2.0}


def test_a_table_names_what_was_measured() -> None:
    """Numbers to the right, in three digits."""
    assert table(["x", "s"], [["fit", seconds(1.2345)]]) == "| x | s |\n| --- | ---: |\n| fit | 1.23 |"
    assert [ratio(8, 2), ratio(8, 2, 4), ratio(7, 2, 4)] == ["4.0", "**4.0**", "3.5 (bar: 4)"]


def test_throughput_is_told_against_keras_tuner() -> None:
    """Each backend has its own bar; peers have none."""
    task = trial_throughput.TASKS["R6"]
    taken = {
        "KerasTuner, tensorflow": 100.0,
        "Optuna script, tensorflow": 90.0,
        "tuner-service, tensorflow": 20.0,
        "tuner-service, jax": 20.0,
    }
    rows = trial_throughput.rows_of("R6", task, taken)
    assert [row[2] for row in rows] == ["1.0", "1.1", "**5.0**", "5.0 (bar: 8)"]
    assert rows[2][3] == "900"


def test_folds_are_told_against_scikit_learn() -> None:
    """Five times faster on TensorFlow is enough, on JAX it is not."""
    taken = {"GridSearchCV, tensorflow": 50.0, "tuner-service, tensorflow": 10.0, "tuner-service, jax": 10.0}
    text = cross_validation.shown(taken, dict.fromkeys(taken, 0.9), "two cells")
    assert "| two cells: tuner-service, tensorflow | 10 | **5.0** | 0.9000 |" in text
    assert "| two cells: tuner-service, jax | 10 | 5.0 (bar: 15) | 0.9000 |" in text


def test_time_to_a_value_is_the_median_of_the_rounds() -> None:
    """Of the ratios, since each round has a target of its own."""
    theirs, ours = "KerasTuner Hyperband, tensorflow", "tuner-service, tensorflow"
    rounds = [{theirs: Run(100.0, 0.9), ours: Run(took, 0.91)} for took in (10.0, 20.0, 50.0)]
    assert f"| {ours} | 20 | **5.0** | 0.9100 |" in time_to_value.shown(rounds)


def test_storage_cost_says_what_the_bars_ask_for() -> None:
    """The share of Optuna's time, and how our own grows outside the sampler."""
    first = [dict.fromkeys(storage_cost.PHASES, 1.0)] * storage_cost.WARMING
    low, high = (
        storage_cost.in_milliseconds([*first, {"claim": took, "suggest": 0.1}, {"claim": took, "suggest": 0.1}])
        for took in (0.01, 0.015)
    )
    assert (low["claim"], low["trial"], low["first"]) == pytest.approx((10.0, 110.0, 10_000.0))
    text = storage_cost.shown({1_000: {"tuner-service": low, "Optuna": high}, 20_000: {"tuner-service": high}})
    assert "At 1,000 earlier trials: 0.96 of Optuna's time." in text
    assert "20,000 earlier trials cost 1.5 times what 1,000 do" in text


@pytest.mark.parametrize(
    ("ours", "maximize", "said"),
    [
        pytest.param([0.9, 0.9, 0.1], True, "better", id="above all of theirs"),
        pytest.param([0.9, 0.9, 0.1], False, "**worse**", id="above, where less is better"),
        pytest.param([0.1, 0.1, 0.9], True, "**worse**", id="below all of theirs"),
        pytest.param([0.5], True, "within its range", id="at their worst"),
        pytest.param([], True, "not run", id="nothing yet"),
    ],
)
def test_a_search_is_set_beside_the_range_of_the_others_seeds(ours: list[float], maximize: bool, said: str) -> None:
    """By its median; one lucky seed says nothing."""
    assert search_quality.verdict(ours, [0.5, 0.6, 0.7], maximize) == said
