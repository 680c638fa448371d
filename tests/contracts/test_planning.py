"""What is left of a study that runs, and the training of one configuration of several objectives on all data."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.records import make_new_study
from tuner_service.bootstrap import open_storage
from tuner_service.cli.app import app
from tuner_service.domain.outcome import Outcome, Reason
from tuner_service.errors import NotInStudyError, StudyFileError
from tuner_service.ledger.reconcile import reconcile
from tuner_service.results.planning import plan_study
from tuner_service.results.refit import refit
from tuner_service.storage.ledger_storage import LedgerStorage


@pytest.fixture
def storage(sqlite_url: str) -> Iterator[LedgerStorage]:
    """Provide an empty storage: what is read here is the same on each of them."""
    with closing(open_storage(sqlite_url)) as opened:
        opened.create_tables()
        yield opened


def _settle(storage: LedgerStorage, reason: Reason, *values: float, epochs: int, seconds: float = 0.0) -> None:
    study = reconcile(storage, "digits")
    claim = storage.claim(study.study_id, "w1", lease_s=60.0, code="c0de")
    assert claim is not None
    time.sleep(seconds)
    storage.settle(claim.trial_id, "w1", Outcome(reason, *values[:1], others=values[1:], epochs=epochs))


def test_what_is_left_is_planned_by_what_was_settled(storage: LedgerStorage, sqlite_url: str) -> None:
    """Ten settled configurations tell how many epochs one takes, any that has ended how long an epoch takes."""
    storage.create_study(make_new_study(sampler="tpe", pruner="median", trials=20))
    _settle(storage, Reason.FINISHED, 0.5, epochs=9, seconds=0.09)
    before = plan_study(storage, "digits", slots=2)
    assert (before.settled, before.forecast.configurations, before.forecast.random) == (1, 19, 9)
    assert before.epochs_each is None, "one configuration does not tell"
    for _ in range(11):
        _settle(storage, Reason.PRUNED, 0.1, epochs=3)
    plan = plan_study(storage, "digits", slots=2)
    assert (plan.settled, plan.forecast.configurations, plan.forecast.random) == (12, 8, 0)
    assert (plan.epochs_each, plan.epochs) == (42 / 12, 8 * 42 / 12)
    assert plan.epoch_s is not None
    assert plan.seconds is not None
    assert before.epoch_s is not None
    assert 0.01 <= before.epoch_s[0] == before.epoch_s[1]
    assert 0 < plan.seconds[0] <= plan.seconds[1]

    shown = CliRunner().invoke(app, ["plan", "digits", "--storage", sqlite_url, "--workers", "2", "--slots", "1"])
    assert shown.exit_code == 0, shown.output
    assert "8 configurations of at most 9 epochs, 12 settled before, on 2 slots" in shown.output
    assert "28 expected, 39% of them (from the epochs per configuration so far)" in shown.output
    as_json = CliRunner().invoke(app, ["plan", "digits", "--storage", sqlite_url, "--slots", "1", "--json"])
    assert json.loads(as_json.output)["plan"]["epochs"] == 28


def test_options_for_a_file_are_refused_for_a_study(storage: LedgerStorage, sqlite_url: str) -> None:
    """They would change nothing."""
    storage.create_study(make_new_study())
    refused = CliRunner().invoke(app, ["plan", "digits", "--storage", sqlite_url, "--set", "trials=5"])
    assert "--set and --config are for a study file" in str(refused.exception)


def test_a_study_that_is_done_has_nothing_ahead(storage: LedgerStorage) -> None:
    """No division by what is left."""
    storage.create_study(make_new_study(trials=1))
    _settle(storage, Reason.FINISHED, 0.5, epochs=9)
    plan = plan_study(storage, "digits", slots=2)
    assert (plan.settled, plan.forecast.configurations, plan.epochs) == (1, 0, 0)


def test_one_of_several_objectives_is_refitted_by_its_number(storage: LedgerStorage, tmp_path: Path) -> None:
    """Without one there is a front to choose from; a number leads on, here to the folder without the study's file."""
    storage.create_study(make_new_study(metric=["val_accuracy", "parameters"]))
    _settle(storage, Reason.FINISHED, 0.5, 100.0, epochs=9)
    _settle(storage, Reason.FINISHED, 0.9, 300.0, epochs=9)
    with pytest.raises(NotInStudyError, match="name one of them"):
        refit(storage, "digits", tmp_path, studies=tmp_path)
    with pytest.raises(StudyFileError, match=r"no file in .* is the study 'digits'"):
        refit(storage, "digits", tmp_path, studies=tmp_path, number=1)
