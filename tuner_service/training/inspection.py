"""Looking at a study file before a study is made of it: its specification, its search space, its metric."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json

from tuner_service.domain.attempt import Param
from tuner_service.domain.measured import MEASURED
from tuner_service.domain.objective_value import BestEpoch
from tuner_service.domain.override import override
from tuner_service.domain.provenance import Provenance
from tuner_service.domain.sampler import Grid, is_exhaustive
from tuner_service.domain.spec import StudySpec, parse_spec
from tuner_service.errors import SpecError, TunerServiceError, UserCodeError
from tuner_service.search.grid import MAX_CELLS, Cell, CellWalk, Suggest, estimate, in_order, product, too_many
from tuner_service.search.sampler import make_sampler
from tuner_service.training import study_file
from tuner_service.training.backend import settled
from tuner_service.training.data import Data
from tuner_service.training.defaults_trial import DefaultsTrial
from tuner_service.training.provenance import look
from tuner_service.training.remote_trial import Pipe, RemoteTrial, suggest

#: Draws from the search space, and seconds after which no further one is begun.
DRAWS = 10
DRAWING_S = 10.0
#: Seconds for finding the cells of a grid, and networks that are built before their memory is given back.
_WALKING_S = 120.0
_NETWORKS_IN_MEMORY = 20


@dataclass(frozen=True)
class Inspection:
    """What a study file is, as data."""

    spec: StudySpec
    kind: str
    draws: Sequence[Mapping[str, BaseDistribution]]  #: the parameters of some draws from the search space
    provenance: Provenance  #: without the command
    cells: Sequence[Cell] | None = None  #: where each cell is tried once, in the order in which they are
    defaults: Mapping[str, Param] | None = None  #: of KerasTuner's hyperparameters, as Optuna records them
    is_open: bool = False  #: a ``fit`` of the study's own may ask for parameters that no draw came across


def inspect(path: Path, changes: Sequence[Mapping[str, object]]) -> Inspection:
    """Import a study file, lay the changes over its specification, and try its functions once. This runs user code.

    Raises:
        SpecError: If the specification is not valid.
        OtherBackendError: If it wants another backend for Keras than the one that this process has.
        StudyFileError: If the file or a function of it cannot be used.
    """
    study = study_file.load(path)
    spec = specification(study, changes)
    data = None
    if study.kind == "build_model":
        data = _guarded("load_data", path, lambda: Data.check(study.load_data()))  # type: ignore[misc]
    draws: list[dict[str, BaseDistribution]] = []
    if data is not None:
        with _compiled_quickly():
            draws = _probe(study, spec, data)
            draws += probe_points(study, spec, {name for draw in draws for name in draw})
    defaults = None if data is None else defaults_of(study, spec)
    tried = None
    if is_exhaustive(spec.sampler):
        tried, found = cells(study, spec, defaults if spec.defaults_first else None)
        draws = [*draws, *found]
    return Inspection(spec, study.kind, draws, look(path, data), tried, defaults, study.fit is not None)


def specification(study: study_file.StudyFile, changes: Sequence[Mapping[str, object]]) -> StudySpec:
    """Return a study file's specification with the changes laid over it.

    Raises:
        SpecError: If it is not valid, or there is none.
        OtherBackendError: If it wants another backend for Keras than the one that this process has.
    """
    path = study.path
    if study.spec is None and not any(changes):
        raise SpecError(
            f"{path.name} has no `spec`; add spec = StudySpec(name=..., metric=..., trials=..., max_epochs=...), or "
            "give the fields with --config FILE.yaml or --set name=... --set trials=..."
        )
    given: dict[str, object] = {} if study.spec is None else study.spec.model_dump()
    if study.kind == "objective" and study.spec is None:
        # An Optuna script: what it returns has no name of its own, the study is called like the file, and Optuna's
        # default pruner is the median.
        given = {"name": path.stem, "metric": "value", "max_epochs": 100, "pruner": {"kind": "median"}}
    spec = settled(parse_spec(override(given, *changes)))
    if study.kind == "objective" and (spec.runs > 1 or not isinstance(spec.value, BestEpoch)):
        raise SpecError(
            "executions, folds and value are for build_model(trial): an objective(trial) trains by itself, and what it "
            "returns is the value; leave them out"
        )
    if study.kind == "objective" and spec.prune_on is not None:
        raise SpecError("prune_on: an objective(trial) reports the value to prune on itself; leave prune_on out")
    if study.kind == "objective" and spec.defaults_first:
        raise SpecError(
            "defaults_first: an objective trains when it is called, so that its defaults cannot be found by trying it; "
            "leave it out, and name them, points=[{...}]"
        )
    # What it needs is missing here, or its arguments are wrong: told before anything is built.
    make_sampler(spec.sampler, seed=spec.sampler_seed, configuration=0)
    return spec


class _Answering(Pipe):
    """Answers a trial's questions for parameters, so that a study's code can be tried without a storage."""

    def __init__(self, suggest: Callable[[str, BaseDistribution], Any]) -> None:
        self._suggest = suggest

    def ask(self, op: str, *arguments: Any) -> Any:  # noqa: ANN401 - as the method it stands for
        return self._suggest(*arguments) if op == "suggest" else False

    def tell(self, op: str, *arguments: object) -> None:
        """Take note of nothing."""


def probe_trial(seed: int, point: Mapping[str, Param] | None = None) -> RemoteTrial:
    """Return a trial whose parameters are random draws that nobody records, but for those of a point."""
    drawing_study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    drawing_study.enqueue_trial(dict(point or {}))
    drawing = drawing_study.ask()
    return RemoteTrial(_Answering(functools.partial(suggest, drawing)), 0, time.time())


def _probe(study: study_file.StudyFile, spec: StudySpec, data: Data) -> list[dict[str, BaseDistribution]]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    data = first_run(data, spec)
    started = time.monotonic()
    draws = []
    for seed in range(DRAWS):
        trial = probe_trial(seed)
        try:
            model, options = _build(study, trial, spec)
        except UserCodeError:
            # A corner of the space that the study's code refuses costs a trial there, not the whole study.
            if seed == 0:
                raise
        else:
            if seed == 0 and study.fit is None:
                _guarded("fit", study.path, lambda m=model, o=options: try_metric(m, o, data, spec))
        draws.append(trial.distributions)
        if time.monotonic() - started > DRAWING_S:
            break
    return draws


def probe_points(
    study: study_file.StudyFile, spec: StudySpec, known: Collection[str]
) -> list[dict[str, BaseDistribution]]:
    """Return what the code asks for at points with names that no draw came across, in a rare branch for instance."""
    known, found = set(known), list[dict[str, BaseDistribution]]()
    for point in spec.points:
        if point.keys() <= known:
            continue
        trial = probe_trial(DRAWS, point)
        # A point that the code refuses costs a trial there, as a draw does.
        with contextlib.suppress(UserCodeError):
            _build(study, trial, spec)
        found.append(trial.distributions)
        if trial.distributions.keys() <= known:
            # A name that is none of the code's; what else is wrong is said once it is mended.
            break
        known |= trial.distributions.keys()
    return found


@contextlib.contextmanager
def _compiled_quickly() -> Iterator[None]:
    """Have JAX spend no time on programs that are run once."""
    import keras

    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    jax.config.update("jax_disable_most_optimizations", True)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", False)  # type: ignore[no-untyped-call]


def defaults_of(study: study_file.StudyFile, spec: StudySpec) -> Mapping[str, Param] | None:
    """Return the defaults of KerasTuner's hyperparameters; ``None`` of other functions, or if the code refuses them.

    Raises:
        SpecError: If there are none, and the study is to try them first.
    """
    trial, defaults, refusal = DefaultsTrial(), None, "build_model asks for no parameter"
    try:
        _build(study, trial, spec)
        defaults = trial.defaults
    except UserCodeError as error:
        refusal = str(error)
    if defaults is None and spec.defaults_first:
        raise SpecError(
            f"defaults_first: there are no defaults to try: {trial.lacking or refusal}. Mend that, or leave "
            "defaults_first out; values of your own are named by points=[{...}]"
        )
    return defaults


def first_run(data: Data, spec: StudySpec) -> Data:
    """Return the data as the first run of a configuration has it: whole, or the first fold."""
    if spec.seeded_folds is None:
        return data
    # Here, since it imports Keras.
    from tuner_service.training.folds import fold_data

    return fold_data(data, spec.seeded_folds, 0)


def cells(
    study: study_file.StudyFile, spec: StudySpec, first: Cell | None = None
) -> tuple[list[Cell], list[dict[str, BaseDistribution]]]:
    """Return the cells of a finite space in the order of their trials, and what was asked for in finding them.

    Args:
        study: The study file.
        spec: Its specification, whose points come first.
        first: A cell that comes before them.
    """
    points, found = spec.points, list[dict[str, BaseDistribution]]()
    if isinstance(spec.sampler, Grid) and spec.sampler.space is not None:
        found_cells = product(spec.sampler.space)
    elif study.kind == "build_model":
        found_cells, found = _walk(study, spec)
    elif points:
        found_cells, points = list(points), ()
    else:
        raise SpecError(
            "an objective(trial) trains when it is called, so that the cells of its search space cannot be found by "
            "trying it. Name the choices, sampler=Grid(space={'units': [32, 64]}), or each cell, points=[{...}, ...]"
        )
    known = points if first is None else (first, *points)
    return in_order(found_cells, spec.sampler, seed=spec.sampler_seed, first=known), found


def _walk(study: study_file.StudyFile, spec: StudySpec) -> tuple[list[Cell], list[dict[str, BaseDistribution]]]:
    import keras

    points = spec.sampler.points if isinstance(spec.sampler, Grid) else None
    walk, estimated = CellWalk(points), False

    def visit(answer: Suggest) -> RemoteTrial:
        trial = RemoteTrial(_Answering(answer), 0, time.time())
        # A corner that the code refuses is a cell like the others; its trial says what is wrong with it.
        with contextlib.suppress(UserCodeError):
            _build(study, trial, spec)
        return trial

    cells: list[Cell] = []
    found: dict[tuple[str, str], dict[str, BaseDistribution]] = {}
    started, going_on = time.monotonic(), True
    while going_on:
        trial = visit(walk.suggest)
        cells.append(trial.params)
        for name, distribution in trial.distributions.items():
            found.setdefault((name, distribution_to_json(distribution)), {name: distribution})
        going_on = walk.go_on()
        if walk.about > MAX_CELLS and not estimated:
            # No hours are spent on finding out, nor is a space refused of which only one branch is that large.
            estimated = True
            if (about := estimate(visit, points)) > 2 * MAX_CELLS:
                raise too_many(f"about {about}")
        if going_on and time.monotonic() - started > _WALKING_S:
            raise SpecError(
                f"finding the cells of the search space by building their networks took {_WALKING_S:.0f} s for "
                f"{len(cells)} of about {walk.about}. Name the choices, sampler=Grid(space={{'units': [32, 64]}}), or "
                "each cell, points=[{...}, ...], or use another sampler"
            )
        if len(cells) % _NETWORKS_IN_MEMORY == 0:
            keras.utils.clear_session()
    return cells, list(found.values())


def _build(study: study_file.StudyFile, trial: RemoteTrial, spec: StudySpec) -> tuple[Any, dict[str, Any]]:
    """Return the network of a trial and the options of its fit."""
    from tuner_service.training import network

    model = _guarded("build_model", study.path, lambda: network.build(study, trial, spec.computing.on_one_device))
    if study.fit is not None:
        if study.fit_options is not None:
            # Its fit hands them on, so that what they ask for belongs to the space.
            _guarded("fit_options", study.path, lambda: study.fit_options(trial))
        return model, {}
    return model, _guarded("fit_options", study.path, lambda: network.options(study, trial, spec.max_epochs))


def try_metric(model: Any, options: dict[str, Any], data: Data, spec: StudySpec) -> Mapping[str, float]:  # noqa: ANN401
    """Train on one batch, to see whether data, network and metric fit together; return what Keras reported."""
    from tuner_service.training import network
    from tuner_service.training.objectives import check_names, reported_one

    history = model.fit(
        **network.arguments(data.train),
        validation_data=data.validation,
        **{**options, "epochs": 1, "verbose": 0, "callbacks": [], "steps_per_epoch": 1, "validation_steps": 1},
    )
    reported = {name: values[-1] for name, values in history.history.items()}
    check_names(spec.metrics, reported)
    for metric in {spec.watched, spec.judged, *spec.metrics} - MEASURED.keys():
        reported_one(reported, metric)
    return reported


def _guarded(what: str, path: Path, call: Any) -> Any:  # noqa: ANN401 - any call
    try:
        return call()
    except TunerServiceError:
        raise
    except (Exception, SystemExit) as error:
        raise UserCodeError.with_details(
            f"{path.name}: {what} failed: {study_file.last_line(error)}", study_file.user_traceback(error, path)
        ) from None
