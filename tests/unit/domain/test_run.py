"""Runs of a configuration, and what their values say together."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from scipy import stats

from tuner_service.domain.run import RunRecord, parse_runs, runs_of, spread_of


def test_the_first_run_has_the_configuration_s_seed() -> None:
    """So that one execution of several is what it would be alone; the others have seeds of their own."""
    assert [(run.index, run.fold, run.seed) for run in runs_of(1, None, 7)] == [(0, None, 7)]
    seeds = [run.seed for run in runs_of(4, 5, 7)]
    assert seeds[0] == 7
    assert len(set(seeds)) == 20
    assert seeds == [run.seed for run in runs_of(4, 5, 7)]
    assert not set(seeds[1:]) & {run.seed for run in runs_of(4, 5, 8)}


def test_the_spread_is_student_s() -> None:
    """Mean, standard deviation with n - 1, and the 95 % interval as SciPy's test of one sample has it."""
    values = [0.91, 0.93, 0.90, 0.96]
    spread = spread_of(values)
    assert spread is not None
    interval = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (spread.low, spread.high) == pytest.approx((interval.low, interval.high))
    assert (spread.runs, spread.mean, spread.std) == pytest.approx((4, np.mean(values), np.std(values, ddof=1)))


def test_one_run_has_no_spread() -> None:
    """Nobody knows it."""
    assert spread_of([0.5]) is None


def test_what_is_recorded_is_read_again() -> None:
    """A user's own attribute of that name is none of ours."""
    records = [RunRecord(0, 1, 5, 0.25, 3, 2), RunRecord(1, None, 6, 0.5, 3, None)]
    assert parse_runs([asdict(one) for one in records]) == records
    for other in (None, 3, "runs", ["a"], [{"value": 1}]):
        assert parse_runs(other) == []
