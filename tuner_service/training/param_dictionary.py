"""A search space in scikit-learn's form: ``param_grid`` or ``param_distributions``, and a builder that takes names."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from optuna.trial import BaseTrial

from tuner_service.errors import StudyFileError, did_you_mean
from tuner_service.training.hypermodel import Functions

#: Arguments of ``model.fit`` that may be in a dictionary; what ``build_model`` takes by these names is the builder's.
_FIT_OPTIONS = (
    "batch_size", "epochs", "shuffle", "steps_per_epoch", "validation_batch_size", "validation_freq",
    "validation_steps", "verbose",
)  # fmt: skip

#: Draws a value under a name.
Draw = Callable[[BaseTrial, str], Any]


class ParamDictionary:
    """One dictionary of names and values, or several of which a trial takes one."""

    def __init__(self, title: str, given: object) -> None:
        dictionaries: list[Any] = given if isinstance(given, list) and given else [given]
        for one in dictionaries:
            if not isinstance(one, dict) or not one or not all(isinstance(name, str) for name in one):
                raise StudyFileError(
                    f"{title} must be a dictionary from names to values, such as {{'units': [32, 64]}}, or a list of "
                    f"such dictionaries, got {one!r}"
                )
        self.title = title
        self.grids: list[dict[str, Draw]] = [
            {name: _draw_from(f"{title}[{name!r}]", values, title) for name, values in one.items()}
            for one in dictionaries
        ]

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """Return a trial's values by name, drawn in the order of the dictionary."""
        if len(self.grids) == 1:
            return {name: draw(trial, name) for name, draw in self.grids[0].items()}
        grid = trial.suggest_categorical("grid", list(range(len(self.grids))))
        # The same name in two of them may have other values, and is another dimension of the search.
        return {name: draw(trial, f"{name}@grid:{grid}") for name, draw in self.grids[grid].items()}


def with_dictionary(functions: Functions, dictionary: ParamDictionary) -> dict[str, Callable[..., Any] | None]:
    """Return functions of a trial for a builder that takes the dictionary's names, as scikeras calls it.

    ``units`` and ``model__units`` go to ``build_model(units)``; ``batch_size`` and ``fit__batch_size`` go to
    ``model.fit``, unless ``build_model`` takes that name.

    Raises:
        StudyFileError: If a name goes nowhere, or the builder needs one that is not there.
    """
    title, builder, own_options = dictionary.title, functions.get("build_model"), functions.get("fit_options")
    if builder is None:
        raise StudyFileError(f"{title} needs build_model, which takes its names, as in build_model(units)")
    parameters = inspect.signature(builder).parameters
    if list(parameters)[:1] in (["trial"], ["hp"]):
        first = next(iter(parameters))
        raise StudyFileError(
            f"{title} and build_model({first}) both say what to draw; let build_model take the names of {title} as "
            f"parameters, or remove {title}"
        )
    routes: dict[str, tuple[str, str]] = {}
    for grid in dictionary.grids:
        routes |= _routes(title, grid, parameters)
    to_fit = sorted(name for name, (part, _) in routes.items() if part == "fit")
    if to_fit and functions.get("fit") is not None:
        raise StudyFileError(
            f"{title} has {to_fit[0]!r} for model.fit, but the file has a fit of its own; read it there, "
            "from trial.params, and let build_model take it too"
        )

    def drawn(trial: BaseTrial, part: str) -> dict[str, Any]:
        values = dictionary.suggest(trial)
        return {routes[name][1]: value for name, value in values.items() if routes[name][0] == part}

    def options(trial: BaseTrial) -> dict[str, Any]:
        return {**(own_options(trial) if own_options is not None else {}), **drawn(trial, "fit")}

    return {
        **functions,
        "build_model": lambda trial: builder(**drawn(trial, "model")),
        "fit_options": options if to_fit or own_options is not None else None,
    }


def _routes(
    title: str, grid: Mapping[str, Draw], parameters: Mapping[str, inspect.Parameter]
) -> dict[str, tuple[str, str]]:
    """Return for each name of a dictionary whether it goes to the model or to fit, and its name there."""
    routes = {name: _route(title, name, parameters) for name in grid}
    if len(set(routes.values())) < len(routes):
        raise StudyFileError(f"{title} has one parameter under two names: {', '.join(sorted(grid))}")
    required = {
        name
        for name, one in parameters.items()
        if one.default is inspect.Parameter.empty
        and one.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    }
    missing = sorted(required - {name for part, name in routes.values() if part == "model"})
    if missing:
        raise StudyFileError(
            f"build_model needs {', '.join(missing)}, which {title} does not have; add it there, or give it a default"
        )
    return routes


def _route(title: str, name: str, parameters: Mapping[str, inspect.Parameter]) -> tuple[str, str]:
    takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    prefix, _, bare = name.partition("__")
    if name in parameters or not bare:
        prefix, bare = "", name
    if prefix in ("", "model") and (bare in parameters or (takes_any and bare not in _FIT_OPTIONS)):
        return "model", bare
    if prefix in ("", "fit") and bare in _FIT_OPTIONS:
        return "fit", bare
    if prefix in ("", "model", "fit"):
        hint = did_you_mean(bare, [*parameters, *_FIT_OPTIONS])
    else:
        hint = f" Only model__ and fit__ are known as prefixes: let build_model take {bare!r}, and use it there."
    raise StudyFileError(
        f"{title} has {name!r}, which neither build_model({', '.join(parameters)}) takes nor model.fit, of whose "
        f"arguments it may have {', '.join(_FIT_OPTIONS)}.{hint}"
    )


def _draw_from(where: str, values: Any, title: str) -> Draw:  # noqa: ANN401 - whatever stands in the dictionary
    if hasattr(values, "rvs"):
        if title == "param_grid":
            raise StudyFileError(
                f"{where} is a distribution, which has no grid; call the dictionary param_distributions"
            )
        return _draw_from_distribution(where, values)
    given = values.tolist() if hasattr(values, "tolist") else values
    if not isinstance(given, list | tuple | range) or not given:
        raise StudyFileError(f"{where} must be a list of the values to try, got {values!r}")
    choices = [one.item() if hasattr(one, "item") else one for one in given]
    for one in choices:
        if one is not None and not isinstance(one, str | int | float):
            raise StudyFileError(
                f"{where} has the value {one!r}, a {type(one).__name__}, which a database cannot keep; list text, "
                "numbers, True, False or None, and look the object up in a dictionary in build_model"
            )
    # Of a value that is there twice the grid has one cell. True and 1 are not one, and are refused when they are drawn.
    choices = list({(type(one), one): one for one in choices}.values())
    return lambda trial, name: trial.suggest_categorical(name, choices)


def _draw_from_distribution(where: str, distribution: Any) -> Draw:  # noqa: ANN401 - SciPy's, which need not be there
    kind = getattr(getattr(distribution, "dist", None), "name", type(distribution).__name__)
    if kind in ("randint", "uniform", "loguniform", "reciprocal"):
        low, high = distribution.support()
        if kind == "randint":
            return lambda trial, name: trial.suggest_int(name, int(low), int(high))
        if kind == "uniform":
            return lambda trial, name: trial.suggest_float(name, float(low), float(high))
        # One that is moved by `loc` is no logarithmic range any more.
        if math.isclose(distribution.median(), math.sqrt(low * high), rel_tol=1e-6):
            return lambda trial, name: trial.suggest_float(name, float(low), float(high), log=True)
    raise StudyFileError(
        f"{where} is a distribution that is not known here, {kind}; known are lists, and randint, uniform and "
        "loguniform (without loc) of scipy.stats. Anything else can be drawn in build_model(trial)"
    )
