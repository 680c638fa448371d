"""The points that a study begins with: defaults, known ones, the best of earlier studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import create_autospec

import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from tests.records import make_attempt, make_spec, make_study
from tuner_service.coordinator.points import points_of
from tuner_service.domain.outcome import Reason
from tuner_service.domain.provenance import Provenance
from tuner_service.domain.trial import Trial
from tuner_service.errors import SpecError, StudyNotFoundError
from tuner_service.search.space import merge
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.training.inspection import Inspection

_SPACE = merge({}, {"units": IntDistribution(1, 9), "rate": FloatDistribution(0.0, 1.0)})
#: Trials of earlier studies, each with its value and its parameters.
_Studies = Mapping[str, Sequence[tuple[float, dict[str, Any]]]]


def _storage(studies: _Studies, **fields: Any) -> LedgerStorage:
    storage = create_autospec(LedgerStorage, instance=True)

    def study(name: str) -> Any:
        if name not in studies:
            raise StudyNotFoundError(f"there is no study {name!r}")
        return replace(make_study(spec=make_spec(name=name, **fields)), study_id=list(studies).index(name))

    def trials(study_id: int) -> list[Trial]:
        rows = list(studies.values())[study_id]
        return [
            Trial(make_attempt(number, reason=Reason.FINISHED, value=value, number=number), params=params)
            for number, (value, params) in enumerate(rows)
        ]

    storage.study.side_effect, storage.trials.side_effect = study, trials
    return storage


def _begun(storage: LedgerStorage, defaults: Any = None, **fields: Any) -> list[tuple[dict[str, Any], str]]:
    inspection = Inspection(make_spec(name="next", **fields), "build_model", [], Provenance(), defaults=defaults)
    return [(dict(one.params), one.source) for one in points_of(storage, inspection, _SPACE)]


def _units(*values: float) -> list[tuple[float, dict[str, Any]]]:
    """Return trials of 1, 2, ... units with these values."""
    return [(value, {"units": units}) for units, value in enumerate(values, start=1)]


@pytest.mark.parametrize(
    ("earlier", "fields", "units"),
    [
        pytest.param({"a": _units(0.5, 0.9, 0.7)}, {}, [2, 3, 1], id="the best first"),
        pytest.param({"a": _units(0.5, 0.9, 0.7)}, {"warm_start_points": 2}, [2, 3], id="as many as are asked for"),
        pytest.param({"a": _units(0.5, 0.9, 0.7)}, {"trials": 1}, [2], id="no more than there are trials"),
        pytest.param({"a": _units(0.5, 0.9), "b": _units(0.1, 0.2, 0.3)}, {}, [2, 3, 1], id="of each study by turns"),
        pytest.param({"a": _units(0.5) * 2, "b": _units(0.1)}, {}, [1], id="the same parameters once"),
        pytest.param(
            {"a": [(0.9, {"units": 10}), (0.8, {"layers": 1}), (0.1, {"units": 4})]}, {}, [4], id="those that fit"
        ),
        pytest.param({"a": [(0.9, {}), (0.1, {"units": 4})]}, {}, [4], id="those that have parameters"),
    ],
)
def test_a_study_starts_from_the_best_of_others(earlier: _Studies, fields: dict[str, Any], units: list[int]) -> None:
    """What they did not know of the search space is drawn, and each says from which trial it is."""
    begun = _begun(_storage(earlier), warm_start=list(earlier), **fields)
    assert [params for params, _ in begun] == [{"units": one} for one in units]
    assert all(source.startswith("trial ") and source[-1] in earlier for _, source in begun)


def test_what_an_earlier_study_asked_for_while_it_trained_fits() -> None:
    """Its `fit` asked for epochs, which no draw of either study came across; what was in its space has to be here."""
    storage = _storage({"a": [(0.9, {"units": 3, "epochs": 8}), (0.8, {"units": 2, "layers": 1})]})
    its_space = {"units": "{}", "layers": "{}"}
    study: Any = storage.study
    study.side_effect = lambda name, found=study.side_effect: replace(found(name), space=its_space)
    assert [params for params, _ in _begun(storage, warm_start=["a"])] == [{"units": 3, "epochs": 8}]


def test_a_study_with_a_fit_of_its_own_has_points_for_it() -> None:
    """What it asks for is not known before it trains."""
    inspection = Inspection(make_spec(points=[{"epochs": 8}]), "build_model", [], Provenance(), is_open=True)
    assert [one.params for one in points_of(_storage({}), inspection, _SPACE)] == [{"epochs": 8}]
    with pytest.raises(SpecError, match="no parameter 'epochs'"):
        points_of(_storage({}), replace(inspection, is_open=False), _SPACE)


def test_the_best_of_what_is_minimized_is_the_least() -> None:
    """By the direction of the earlier study."""
    begun = _begun(_storage({"a": _units(0.5, 0.9, 0.1)}, metric="val_loss"), warm_start=["a"])
    assert [params["units"] for params, _ in begun] == [3, 1, 2]


def test_defaults_come_first_then_known_points_then_earlier_studies() -> None:
    """The budget has room for the rest of them, and each says where it comes from."""
    given: dict[str, Any] = {"points": [{"units": 7}], "warm_start": ["a"], "trials": 3, "defaults_first": True}
    assert _begun(_storage({"a": _units(0.5, 0.9)}), {"units": 8, "rate": 0.5}, **given) == [
        ({"units": 8, "rate": 0.5}, "the defaults of the hyperparameters"),
        ({"units": 7}, "given in the specification"),
        ({"units": 2}, "trial 1 of a"),
    ]


def test_defaults_that_are_not_asked_for_are_not_tried() -> None:
    """They are known of each function of KerasTuner's."""
    assert _begun(_storage({}), {"units": 8}) == []


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        pytest.param({"points": [{"units": 10}]}, SpecError, "units=10 is not in", id="a point outside the space"),
        pytest.param({"points": [{"unit": 1}]}, SpecError, "Did you mean 'units'", id="a point of another name"),
        pytest.param(
            {"warm_start": ["a"]},
            SpecError,
            "no complete trial of a fits into the search space of next",
            id="none fits",
        ),
        pytest.param({"warm_start": ["b"]}, StudyNotFoundError, "no study 'b'", id="a study that is not there"),
    ],
)
def test_points_that_cannot_be_are_refused(fields: dict[str, Any], error: type[Exception], message: str) -> None:
    """When the study is created, with what was received."""
    with pytest.raises(error, match=message):
        _begun(_storage({"a": [(0.5, {"layers": 3})]}), **fields)
