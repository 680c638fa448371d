"""The points that a study begins with: a grid's cells, or defaults, points of its specification, the best of others."""

from __future__ import annotations

from collections.abc import Mapping

from tuner_service.domain.attempt import Param
from tuner_service.domain.front import front
from tuner_service.domain.outcome import State
from tuner_service.domain.sampler import Grid
from tuner_service.domain.spec import StudySpec
from tuner_service.domain.study import OF_DEFAULTS, Point
from tuner_service.domain.trial import Trial
from tuner_service.errors import SpecError
from tuner_service.search.space import check_point
from tuner_service.storage.ledger_storage import LedgerStorage
from tuner_service.training.inspection import Inspection


def points_of(storage: LedgerStorage, inspection: Inspection, space: Mapping[str, str]) -> list[Point]:
    """Return the points of the configurations 0, 1, ... of a new study.

    Raises:
        SpecError: If a point is not in the search space, or a grid does not name all of it.
        StudyNotFoundError: If a study to start from is not there.
    """
    spec = inspection.spec
    if inspection.cells is not None:
        if isinstance(spec.sampler, Grid) and spec.sampler.space is not None:
            _check_grid(spec.sampler.space, space, others=inspection.is_open)
        for point in spec.points:
            check_point(space, point, others=inspection.is_open)
        return [Point(cell) for cell in inspection.cells]
    for point in spec.points:
        check_point(space, point, others=inspection.is_open)
    points = [Point(point, "given in the specification") for point in spec.points]
    if spec.defaults_first and inspection.defaults is not None:
        points.insert(0, Point(inspection.defaults, OF_DEFAULTS))
    room = (spec.trials or 0) - len(points)
    return [*points, *_best_of_others(storage, spec, space)[:room]]


def _check_grid(choices: Mapping[str, tuple[Param, ...]], space: Mapping[str, str], *, others: bool) -> None:
    for name, values in choices.items():
        for value in values:
            check_point(space, {name: value}, others=others)
    missing = sorted(set(space) - set(choices))
    if missing:
        raise SpecError(
            f"sampler.space: lacks {', '.join(missing)}, which the study's code asks for; name their choices, or leave "
            "`space` out to have the code tried for them"
        )


def _best_of_others(storage: LedgerStorage, spec: StudySpec, space: Mapping[str, str]) -> list[Point]:
    """Return the best configurations of earlier studies that fit into the space, those of each study by turns."""
    by_study = [_best_first(storage, name, space) for name in spec.warm_start]
    if spec.warm_start and not any(by_study):
        raise SpecError(
            f"warm_start: no complete trial of {', '.join(spec.warm_start)} fits into the search space of {spec.name}; "
            "leave it out, or name a study with the same parameters"
        )
    points: dict[tuple[tuple[str, Param], ...], Point] = {}
    for rank in range(max(map(len, by_study), default=0)):
        for ranked in by_study:
            if rank < len(ranked):
                points.setdefault(tuple(sorted(ranked[rank].params.items())), ranked[rank])
    return list(points.values())[: spec.warm_start_points]


def _best_first(storage: LedgerStorage, name: str, space: Mapping[str, str]) -> list[Point]:
    study = storage.study(name)
    sign = -1 if study.spec.better == "maximize" else 1
    complete = [one for one in storage.trials(study.study_id) if one.attempt.state is State.COMPLETE and one.params]
    on_front = {one.number for one in front([one.attempt for one in complete], study.spec.directions)}
    complete.sort(
        # Of several objectives the front first, from the best by the first of them on.
        key=lambda one: (
            not one.attempt.feasible,
            one.attempt.number not in on_front,
            sign * (one.attempt.value or 0.0),
        )
    )
    return [
        Point(one.params, f"trial {one.attempt.number} of {name}") for one in complete if _fits(one, space, study.space)
    ]


def _fits(trial: Trial, space: Mapping[str, str], its_space: Mapping[str, str]) -> bool:
    # What was in its space is to be in this one; what was found there only while it trained may be here, too.
    found_later = bool(its_space) and not (its_space.keys() & (trial.params.keys() - space.keys()))
    try:
        check_point(space, trial.params, others=found_later)
    except SpecError:
        return False
    return True
