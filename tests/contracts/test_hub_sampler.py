"""Samplers in the form of OptunaHub's packages: folders on the Python path, named by the dotted name of their class.

OptunaHub's own packages come over the network; the one here is written as they are, with a base class of the form of
its ``SimpleBaseSampler``.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from tests.records import make_new_study
from tuner_service.bootstrap import open_storage
from tuner_service.domain.attempt import NewAttempt
from tuner_service.domain.outcome import Outcome, Reason
from tuner_service.domain.sampler import CustomSampler
from tuner_service.errors import SpecError
from tuner_service.ledger.running import RunningAttempt
from tuner_service.search.custom import kept_in_memory
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.worker.settings import WorkerSettings
from tuner_service.worker.supervisor import check_alone

_PACKAGE = {
    "__init__.py": "from .sampler import HillClimbing, Swarm\n\n__all__ = ['HillClimbing', 'Swarm']\n",
    "sampler.py": """
import numpy as np
import optuna


class SimpleSampler(optuna.samplers.BaseSampler):
    def __init__(self, search_space=None, seed=None):
        self.search_space = search_space
        self._intersection = optuna.search_space.IntersectionSearchSpace()
        self._random = optuna.samplers.RandomSampler(seed=seed)

    def infer_relative_search_space(self, study, trial):
        found = self.search_space or self._intersection.calculate(study)
        return {name: one for name, one in found.items() if not one.single()}

    def sample_independent(self, study, trial, param_name, param_distribution):
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self):
        self._random.reseed_rng()


class HillClimbing(SimpleSampler):
    def __init__(self, search_space=None, *, reach=0.01, seed=None):
        super().__init__(search_space, seed)
        self._reach = reach
        self._rng = np.random.RandomState(seed)

    def sample_relative(self, study, trial, search_space):
        done = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
        if not done:
            return {}
        best = min(done, key=lambda one: one.value).params
        return {
            name: float(np.clip(best[name] + self._rng.uniform(-self._reach, self._reach), one.low, one.high))
            for name, one in search_space.items()
            if isinstance(one, optuna.distributions.FloatDistribution)
        }

    def after_trial(self, study, trial, state, values):
        study._storage.set_trial_system_attr(trial._trial_id, "climbed to", values)


class Swarm(HillClimbing):
    def __init__(self, seed=None):
        super().__init__(seed=seed)
        self._positions = []

    def after_trial(self, study, trial, state, values):
        self._positions.append(values)
""",
}
_SPACE = {"x": FloatDistribution(0.0, 1.0), "kind": CategoricalDistribution(["a", "b"])}


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Provide the folder of a package on the Python path."""
    folder = tmp_path / "samplers" / "hill_climbing"
    folder.mkdir(parents=True)
    for name, text in _PACKAGE.items():
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(folder.parent)
    yield
    for name in [one for one in sys.modules if one.split(".")[0] == "hill_climbing"]:
        del sys.modules[name]


@pytest.fixture
def storage(sqlite_url: str) -> Iterator[LedgerStorage]:
    """Provide an empty storage: what a sampler is asked and told is the same on each of them."""
    with closing(open_storage(sqlite_url)) as opened:
        opened.create_tables()
        yield opened


def test_a_package_draws_by_what_the_study_has_found_and_is_told_how_it_went(storage: LedgerStorage) -> None:
    """Made anew for each trial with its arguments, it goes on from the best one of all, and notes its end there."""
    sampler = {"kind": "custom", "path": "hill_climbing.HillClimbing", "arguments": {"reach": 0.001}}
    study = storage.create_study(make_new_study(metric="val_loss", sampler=sampler))
    drawn: list[dict[str, Any]] = []
    for configuration, value in enumerate([0.5, 0.1, 0.9, 0.8]):
        storage.insert_attempts(study.study_id, [NewAttempt(configuration, 0)])
        claim = storage.claim(study.study_id, f"w{configuration % 2}", lease_s=60.0, code="c0de")
        assert claim is not None
        attempt = RunningAttempt(storage, study, claim, f"w{configuration % 2}")
        drawn.append({name: attempt.suggest(name, one) for name, one in _SPACE.items()})
        assert attempt.drawn()
        attempt.settle(Outcome(Reason.FINISHED, value))
        noted = storage.optuna_storage().get_trial(claim.trial_id).system_attrs
        assert noted["climbed to"] == [value]
    xs = [one["x"] for one in drawn]
    assert 0 < abs(xs[1] - xs[0]) <= 0.001
    assert max(abs(x - xs[1]) for x in xs[2:]) <= 0.001, "the second one is the best"
    assert len(set(xs)) == 4


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        pytest.param("HillClimbing", [], id="one that reads the study"),
        pytest.param("Swarm", ["_positions"], id="one with positions of its own"),
    ],
)
def test_a_package_that_learns_in_memory_is_refused_with_several_slots(
    storage: LedgerStorage, name: str, kept: list[str]
) -> None:
    """By the names of the attributes, which the same package's other sampler does not have."""
    sampler = CustomSampler(path=f"hill_climbing.{name}")
    assert kept_in_memory(sampler) == kept
    study = storage.create_study(make_new_study(sampler=sampler))
    settings = WorkerSettings(study.name, Path(), ["-1", "-1"], worker_id="w1")
    if not kept:
        check_alone(storage, study, settings, threading.Event())
        return
    with pytest.raises(
        SpecError, match=r"keeps what it learns in memory \(_positions\).*start this one with --slots 1"
    ):
        check_alone(storage, study, settings, threading.Event())
