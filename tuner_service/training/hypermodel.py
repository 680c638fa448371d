"""KerasTuner's ways to define a trial, ``build_model(hp)`` and a ``HyperModel``, as functions of a trial."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from optuna.trial import BaseTrial

from tuner_service.errors import StudyFileError
from tuner_service.training.data import Data
from tuner_service.training.hyperparameters import make_hp

#: The functions of a study file by name; ``None`` for one that it does not define.
Functions = Mapping[str, Callable[..., Any] | None]


def takes_hp(function: Callable[..., Any]) -> bool:
    """Return whether a function is KerasTuner's kind: its first parameter is called ``hp``."""
    return list(inspect.signature(function).parameters)[:1] == ["hp"]


def of_trial(functions: Functions, hypermodel: Any) -> dict[str, Callable[..., Any] | None]:  # noqa: ANN401 - by what it has
    """Return functions of a trial for those of ``hp``, with those of the hypermodel, if there is one, among them.

    Raises:
        StudyFileError: If the hypermodel cannot be used as one, or the functions say the same once more.
    """
    hp_of = _HpOfTrial()
    adapted = {
        name: hp_of.adapt(function, anew=name == "build_model")
        if function is not None and takes_hp(function)
        else function
        for name, function in functions.items()
    }
    if hypermodel is None:
        return adapted
    if isinstance(hypermodel, type) or not callable(getattr(hypermodel, "build", None)):
        raise StudyFileError(
            "hypermodel must be an object with build(hp), such as hypermodel = MyHyperModel(), got "
            f"{hypermodel!r}; a function of hp is called build_model"
        )
    own = {"build_model": hypermodel.build, "fit": _fit_of(hypermodel)}
    twice = [name for name, function in own.items() if function is not None and functions.get(name) is not None]
    if twice:
        raise StudyFileError(f"both hypermodel and {twice[0]} are defined; keep one of them")
    adapted["build_model"] = hp_of.adapt(hypermodel.build, anew=True)
    if own["fit"] is not None:
        adapted["fit"] = _as_keras_tuner_calls(
            hp_of.adapt(own["fit"], anew=False), own["fit"], adapted.get("fit_options")
        )
    return adapted


class _HpOfTrial:
    """The ``hp`` of the trial at hand: the same object for its network, its options and its training."""

    def __init__(self) -> None:
        self._trial: BaseTrial | None = None
        self._hp = make_hp()

    def adapt(self, function: Callable[..., Any], *, anew: bool) -> Callable[..., Any]:
        """Return a function of a trial that calls a function of its ``hp``; ``anew``: with a new one.

        A trial begins with its network, and a trial that was drawn again, with its network once more.
        """

        def call(trial: BaseTrial, *rest: Any, **named: Any) -> Any:  # noqa: ANN401
            if anew or trial is not self._trial:
                self._trial, self._hp = trial, make_hp(trial)
            return function(self._hp, *rest, **named)

        return call


def _fit_of(hypermodel: Any) -> Callable[..., Any] | None:  # noqa: ANN401
    """Return the ``fit`` of a hypermodel if it is its own: KerasTuner's is ``model.fit``, which is better done here."""
    fit = getattr(hypermodel, "fit", None)
    if fit is None or str(getattr(fit, "__module__", None)).startswith("keras_tuner."):
        return None
    return fit  # type: ignore[no-any-return]  # whatever it is, it is called as one


def _as_keras_tuner_calls(
    adapted: Callable[..., Any], fit: Callable[..., Any], fit_options: Callable[..., Any] | None
) -> Callable[..., Any]:
    """Return a ``fit(trial, model, data, callbacks)`` for a ``fit(hp, model, *args, **kwargs)``.

    KerasTuner hands over what the user gave to ``search``: here the data, ``epochs=max_epochs``, what ``fit_options``
    returns, and the callbacks.
    """

    def call(trial: BaseTrial, model: Any, data: Data, callbacks: list[Any]) -> Any:  # noqa: ANN401
        options = dict(fit_options(trial)) if fit_options is not None else {}
        named = {
            "validation_data": data.validation,
            "epochs": callbacks[0].params["epochs"],
            **options,
            "callbacks": [*options.get("callbacks", []), *callbacks],
        }
        if data.validation is None:
            del named["validation_data"]
        parts = data.train if isinstance(data.train, tuple) else (data.train,)
        if _takes_by_name(fit):
            return adapted(
                trial, model, **_accepted(fit, dict(zip(("x", "y", "sample_weight"), parts, strict=False)) | named)
            )
        named |= dict(zip(("sample_weight",), parts[2:], strict=False))
        return adapted(trial, model, *parts[:2], **_accepted(fit, named))

    return call


def _takes_by_name(fit: Callable[..., Any]) -> bool:
    """Return whether the data are to be given as ``x=`` and ``y=``."""
    parameters = inspect.signature(fit).parameters
    kinds = [one.kind for one in parameters.values()]
    places = sum(kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds)
    return "x" in parameters or (inspect.Parameter.VAR_POSITIONAL not in kinds and places == 2)


def _accepted(fit: Callable[..., Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """Return those arguments that a user of KerasTuner can have given to ``search`` with this ``fit``."""
    parameters = inspect.signature(fit).parameters
    rest = next((one.name for one in parameters.values() if one.kind is inspect.Parameter.VAR_KEYWORD), None)
    if rest is None:
        return {name: value for name, value in named.items() if name in parameters}
    # In `model.fit(*args, epochs=hp.Int("epochs", 5, 20), **kwargs)` a second `epochs` would be an error.
    own = _given_beside(rest, fit) - parameters.keys()
    return {name: value for name, value in named.items() if name not in own}


def _given_beside(rest: str, fit: Callable[..., Any]) -> set[str]:
    """Return the names that a function gives to calls that it also gives its ``**rest``, and does not take from it."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(fit)))
    except (OSError, TypeError, SyntaxError):  # made by other means than a file
        return set()
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    passing = [
        call
        for call in calls
        if any(one.arg is None and isinstance(one.value, ast.Name) and one.value.id == rest for one in call.keywords)
    ]
    given = {one.arg for call in passing for one in call.keywords if one.arg is not None}
    return given - _taken_from(rest, tree)


def _taken_from(rest: str, tree: ast.Module) -> set[str]:
    """Return the names that are taken out of ``rest``, by ``rest.pop("callbacks")`` or ``del rest["callbacks"]``."""
    found: list[ast.expr] = []
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="pop"), args=[key, *_]):
                found += [key] * (name == rest)
            case ast.Subscript(value=ast.Name(id=name), slice=key, ctx=ast.Del()):
                found += [key] * (name == rest)
    return {str(key.value) for key in found if isinstance(key, ast.Constant)}
