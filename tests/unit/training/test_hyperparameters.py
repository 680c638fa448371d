"""The ``hp`` of KerasTuner, made from an Optuna trial: KerasTuner itself is the judge."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from typing import Any

import keras
import keras_tuner
import optuna
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tuner_service.training.defaults_trial import DefaultsTrial, NoDefaultError
from tuner_service.training.hyperparameters import HyperParameters, make_hp

# Programs that use an `hp`: few names and few values, so that definitions meet and conditions are met.
_NAMES = st.sampled_from(["a", "b", "c", 3])
_SAMPLINGS = st.sampled_from(["linear", "linear", "log", "reverse_log", "LOG", None, "cubic"])
_DEFAULTS = st.sampled_from([None, None, 0, 1, 2, 99, 0.5, "a", True])
_WHOLE = st.sampled_from([-3, 0, 1, 2, 3, 7, 40, 2.0, 1.5, "x"])
_NUMBERS = st.sampled_from([-1, 0, 0.1, 0.5, 1, 1.0, 2, 3, 1e-4, 10.0, "x"])
_PARENTS = st.sampled_from([1, 2, "a", True, False, 0.5, [1], ["a", "b"], (1, 2, 3), [2, 3.5], [], None, [None]])
_CHOICES = st.sampled_from(
    [
        ["a", "b"], ["a"], ["a", "b", "a"], [1, 2, 3], (3, 2), range(1, 4), [0.5, 1.0], [True, False], [False], [1, 1],
        [], [1, "a"], [1, 2.0], [None], [None, "a"], [(1,), (2,)], "ab", 5, [True, 1],
    ]
)  # fmt: skip
_KINDS = {
    "Int": st.fixed_dictionaries(
        {"min_value": _WHOLE, "max_value": _WHOLE},
        optional={
            "step": st.sampled_from([None, 1, 2, 3, 7, 2.0, 1.5]), "sampling": _SAMPLINGS, "default": _DEFAULTS,
        },
    ),
    "Float": st.fixed_dictionaries(
        {"min_value": _NUMBERS, "max_value": _NUMBERS},
        optional={
            "step": st.sampled_from([None, 0.1, 0.25, 1, 2, 10, "x"]), "sampling": _SAMPLINGS, "default": _DEFAULTS,
        },
    ),
    "Choice": st.fixed_dictionaries(
        {"values": _CHOICES}, optional={"ordered": st.sampled_from([None, True, False]), "default": _DEFAULTS}
    ),
    "Boolean": st.fixed_dictionaries({}, optional={"default": _DEFAULTS}),
    "Fixed": st.fixed_dictionaries({"value": st.sampled_from([1, 2, 0.5, "a", True, None, [1], (1,)])}),
}  # fmt: skip
_UNDER = st.one_of(
    st.just({}), st.just({}), st.just({}), st.fixed_dictionaries({"parent_name": _NAMES, "parent_values": _PARENTS})
)


@st.composite
def _definitions(draw: st.DrawFn) -> tuple[Any, ...]:
    kind = draw(st.sampled_from(sorted(_KINDS)))
    return "define", kind, draw(_NAMES), draw(_KINDS[kind]) | draw(_UNDER)


_LOOKS = st.tuples(st.sampled_from(["get", "in"]), _NAMES)
_STEPS = st.recursive(
    st.one_of(_definitions(), _definitions(), _LOOKS),
    lambda inside: st.one_of(
        st.tuples(st.just("conditional_scope"), _NAMES, _PARENTS, st.lists(inside, max_size=3)),
        st.tuples(st.just("name_scope"), st.sampled_from(["s", "t"]), st.lists(inside, max_size=3)),
    ),
    max_leaves=6,
)
_PROGRAMS = st.lists(_STEPS, min_size=1, max_size=8)
_GIVEN = st.dictionaries(st.sampled_from(["a", "b", "s/a"]), st.sampled_from([1, 2, 0.5, "a", True]), max_size=2)

_thorough = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _run(hp: Any, program: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Return what each step of a program returns or raises, and which names are active in the end."""
    seen = _steps(hp, program)
    return [*seen, [hp.is_active(name) for name in ("a", "b", "s/a", "nowhere")]]


def _steps(hp: Any, program: Sequence[tuple[Any, ...]]) -> list[Any]:
    seen: list[Any] = []
    for step in program:
        try:
            match step:
                case "define", kind, name, arguments:
                    seen.append(getattr(hp, kind)(name, **arguments))
                case "conditional_scope", parent, values, inside:
                    with hp.conditional_scope(parent, values):
                        seen.append(_steps(hp, inside))
                case "name_scope", name, inside:
                    with hp.name_scope(name):
                        seen.append(_steps(hp, inside))
                case "in", name:
                    seen.append(name in hp)
                case "get", name:
                    seen.append(hp.get(name))
        except (ValueError, TypeError, KeyError, IndexError) as error:
            seen.append(type(error))
    return seen


def _exact(seen: Any) -> Any:
    """Return values with their types; KerasTuner makes whole numbers of truth values in a Choice."""
    match seen:
        case list():
            return [_exact(one) for one in seen]
        case bool():
            return (int, int(seen))
    return (type(seen), seen)


class _Fed(keras_tuner.HyperParameters):
    """KerasTuner's own, which finds these values where it would take a default."""

    def __init__(self, fed: dict[str, Any]) -> None:
        super().__init__()
        self._fed = fed

    def _register(self, hyperparameter: Any, overwrite: bool = False) -> Any:
        if self.is_active(hyperparameter) and hyperparameter.name not in self.values:
            self.values[hyperparameter.name] = self._fed[hyperparameter.name]
        return super()._register(hyperparameter, overwrite)


@_thorough
@given(_PROGRAMS, _GIVEN)
def test_defaults_are_those_of_keras_tuner(program: list[Any], values: dict[str, Any]) -> None:
    """Without a trial every call returns or raises what KerasTuner's does, and the space and the values are its."""
    ours, theirs = make_hp(None), keras_tuner.HyperParameters()
    ours.values, theirs.values = dict(values), dict(values)
    assert _exact(_run(ours, program)) == _exact(_run(theirs, program))
    assert ours.get_config() == theirs.get_config()


@example([("define", "Choice", "a", {"values": [True, False], "ordered": None, "default": 0.5})], {}, 0)
@_thorough
@given(_PROGRAMS, _GIVEN, st.integers(0, 99))
def test_with_the_values_of_a_trial_it_does_what_keras_tuner_does(
    program: list[Any], values: dict[str, Any], seed: int
) -> None:
    """Fed what the trial drew, KerasTuner returns, raises and records the same; every value is one of its own."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trial = study.ask()
    ours = make_hp(trial)
    ours.values = dict(values)
    seen = _exact(_run(ours, program))
    theirs = _Fed(ours.values)
    theirs.values = dict(values)
    assert seen == _exact(_run(theirs, program))
    assert ours.get_config() == theirs.get_config()
    for parameter, judge in zip(ours.space, theirs.space, strict=True):
        if parameter.optuna_name in trial.params:
            value = ours.values[parameter.name]
            assert _allows(judge, value)
            if not parameter.optuna_name.endswith("@reverse_log"):
                assert trial.params[parameter.optuna_name] == value
    # Inactive ones are not sampled, nor what was given.
    active = {one.optuna_name for one in ours.space if ours.is_active(one) and one.name not in values}
    assert trial.params.keys() <= active | {f"{name}@reverse_log" for name in active}
    study.tell(trial, 0.0)
    for finished in (optuna.trial.FixedTrial(trial.params), study.trials[0]):
        again = make_hp(finished)
        again.values = dict(values)
        assert _exact(_run(again, program)) == seen
        assert again.values == ours.values


def _allows(judge: Any, value: Any) -> bool:
    """Return whether a value is one of KerasTuner's, by its documentation where its sampling loses the maximum."""
    if isinstance(judge, keras_tuner.engine.hyperparameters.Int | keras_tuner.engine.hyperparameters.Float):
        if judge.step is None:
            return bool(judge.min_value <= value <= judge.max_value)
        by_adding = judge.sampling == "linear"
        return value in {type(value)(one) for one in judge.values} or (
            by_adding and value == pytest.approx(judge.max_value)
        )
    return value in judge.values


@pytest.mark.parametrize(
    ("define", "possible"),
    [
        pytest.param(lambda hp: hp.Int("x", 2, 32, 2, "log"), {2, 4, 8, 16, 32}, id="a step multiplies with log"),
        pytest.param(lambda hp: hp.Int("x", 3, 50, 2, "log"), {3, 6, 12, 24, 48}, id="up to the maximum"),
        pytest.param(lambda hp: hp.Int("x", 2, 32, 2, "reverse_log"), {32, 30, 26, 18, 2}, id="reversed"),
        pytest.param(lambda hp: hp.Int("x", 1, 6, 2), {1, 3, 5}, id="a maximum between two steps"),
        pytest.param(lambda hp: hp.Int("x", 1, 3, sampling="log"), {1, 2, 3}, id="whole numbers with log"),
        pytest.param(lambda hp: hp.Int("x", 1, 3, sampling="reverse_log"), {1, 2, 3}, id="and reversed"),
        pytest.param(lambda hp: hp.Float("x", 0.01, 1, 10, "log"), {0.01, 0.1, 1.0}, id="numbers with log"),
        pytest.param(lambda hp: hp.Choice("x", [3, 1, 3]), {1, 3}, id="a choice said twice"),
        pytest.param(lambda hp: hp.Boolean("x"), {True, False}, id="a truth value"),
        # Where KerasTuner's own sampling loses the maximum, or its type, this follows its documentation.
        pytest.param(
            lambda hp: hp.Float("x", 0, 0.5, 0.1),
            {0.0, 0.1, 0.2, 0.1 * 3, 0.4, 0.5},
            id="the maximum of steps that are not exact in binary",
        ),
        pytest.param(lambda hp: hp.Choice("x", [True, False]), {True, False}, id="truth values in a choice"),
    ],
)
def test_all_values_are_drawn_and_no_others(define: Any, possible: set[Any]) -> None:
    """In a hundred trials every possible value comes, with its type, and Optuna records what people see."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = []
    for _ in range(100):
        trial = study.ask()
        seen.append(define(make_hp(trial)))
        assert {**trial.params, **trial.user_attrs}["x"] == seen[-1]
    assert set(seen) == possible
    assert {type(one) for one in seen} == {type(one) for one in possible}


def test_reversed_logarithm_is_dense_near_the_maximum() -> None:
    """Optuna, which has none, draws the distance from both ends; the value itself is an attribute of the trial."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    values = []
    for _ in range(100):
        trial = study.ask()
        values.append(make_hp(trial).Float("momentum", 0.001, 1.0, sampling="reverse_log"))
        assert trial.params == {"momentum@reverse_log": pytest.approx(1.001 - values[-1])}
        assert trial.user_attrs == {"momentum": values[-1]}
    assert sum(value > 0.9 for value in values) > 50


def test_one_name_under_two_conditions_is_two_parameters() -> None:
    """KerasTuner drops the value of the active one; Optuna would refuse the other choices."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = set()
    for _ in range(20):
        trial = study.ask()
        hp = make_hp(trial)
        hp.Choice("model", ["cnn", "mlp"])
        with hp.conditional_scope("model", ["cnn"]):
            filters = hp.Choice("size", [8, 16])
        with hp.conditional_scope("model", ["mlp"]):
            units = hp.Choice("size", [100, 200])
        assert (filters is None) == (hp.get("model") == "mlp")
        assert hp.get("size") == (units if filters is None else filters)
        drawn.add(frozenset(trial.params))
    assert drawn == {frozenset({"model", "size@model:cnn"}), frozenset({"model", "size@model:mlp"})}


def test_a_value_put_in_holds() -> None:
    """`hp.values` is a plain dictionary: what is there when a hyperparameter is defined is its value, and not drawn."""
    trial = optuna.create_study().ask()
    hp = make_hp(trial)
    hp.values["units"] = 1000
    assert hp.Int("units", 1, 5) == 1000
    assert trial.params == {}


def test_what_is_active_only_after_a_change_is_drawn() -> None:
    """Where code changes the value of a parent, its children get one; KerasTuner ends in a `KeyError`."""
    hp = make_hp(optuna.create_study().ask())
    hp.Choice("model", ["cnn"])
    for expected in (None, 3):
        with hp.conditional_scope("model", ["mlp"]):
            assert hp.Int("layers", 3, 3) == expected
        hp.values["model"] = "mlp"


@pytest.mark.parametrize("step", [0, -1])
@pytest.mark.parametrize("kind", ["Int", "Float"])
def test_a_step_that_goes_nowhere_is_refused(kind: str, step: int) -> None:
    """KerasTuner fails on it when it first draws, or draws values below the minimum."""
    with pytest.raises(ValueError, match=f"the step must be above 0, got {step}"):
        getattr(make_hp(), kind)("x", 1, 5, step=step)


def test_only_a_trial_makes_an_hp() -> None:
    """The error says what to do with a dictionary."""
    with pytest.raises(TypeError, match=r"make_hp wants an Optuna trial or None, got dict; .*FixedTrial\(params\)"):
        make_hp({"units": 3})  # type: ignore[arg-type]


class TestBesideKerasTuner:
    """A study that imports KerasTuner may ask it about the `hp`, and hand it over."""

    @staticmethod
    def used() -> HyperParameters:
        """Return one with a condition in it."""
        hp = make_hp(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask())
        hp.Choice("model", ["mlp"])
        with hp.conditional_scope("model", ["mlp"]), hp.name_scope("head"):
            hp.Int("units", 1, 100)
        return hp

    def test_it_is_taken_for_its_own(self) -> None:
        """`isinstance` says so, and for each hyperparameter too."""
        hp = self.used()
        assert isinstance(hp, keras_tuner.HyperParameters)
        assert isinstance(hp.space[1], keras_tuner.engine.hyperparameters.Int)
        assert not isinstance(hp.space[1], keras_tuner.engine.hyperparameters.Float)

    def test_it_can_be_merged_into_its_own_and_back(self) -> None:
        """With the space; values are defaults there, and are drawn here."""
        hp, theirs = self.used(), keras_tuner.HyperParameters()
        theirs.merge(hp)
        assert theirs.get_config()["space"] == hp.get_config()["space"]
        trial = optuna.create_study().ask()
        again = make_hp(trial)
        again.merge(theirs)
        assert again.get_config()["space"] == hp.get_config()["space"]
        assert again.values == {"model": "mlp", "head/units": trial.params["head/units@model:mlp"]}

    def test_merging_replaces_or_keeps(self) -> None:
        """As `overwrite` says."""
        for overwrite, value in ((True, 7), (False, 3)):
            hp, other = make_hp(), make_hp()
            hp.Fixed("units", 3)
            other.Fixed("units", 7)
            hp.merge(other, overwrite=overwrite)
            assert (hp.get("units"), [one.default for one in hp.space]) == (value, [value])

    @pytest.mark.parametrize(
        "copied",
        [
            pytest.param(lambda hp: hp.copy(), id="copy()"),
            pytest.param(copy.deepcopy, id="deepcopy"),
            pytest.param(lambda hp: pickle.loads(pickle.dumps(hp)), id="pickle"),
            pytest.param(lambda hp: HyperParameters.from_config(hp.get_config()), id="from_config"),
            pytest.param(lambda hp: keras_tuner.HyperParameters.from_config(hp.get_config()), id="KerasTuner's"),
        ],
    )
    def test_a_copy_has_the_values_and_draws_nothing(self, copied: Any) -> None:
        """What is new in a copy takes its default, and the original does not have it."""
        hp = self.used()
        one = copied(hp)
        assert one.get_config() == hp.get_config()
        assert one.Int("new", 1, 1000) == 1
        assert "new" not in hp


def _described(build: Any, hp: Any) -> dict[str, Any]:
    """Return all that a network is made of, and how it is trained; without weights, which take longest to make."""
    keras.utils.clear_session(free_memory=False)
    model = build(hp)
    return {"model": model.get_config(), "training": model.get_compile_config()}


def _perceptron(hp: Any) -> keras.Model:
    """Build the network of a tutorial: layers, one dropout for all of them, an optimizer with parameters of its own."""
    model = keras.Sequential()
    layers = hp.Int("layers", 1, 3)
    for layer in range(layers):
        with hp.conditional_scope("layers", list(range(layer + 1, 4))):
            units = hp.Int(f"units_{layer}", min_value=32, max_value=128, step=32)
            activation = hp.Choice(f"activation_{layer}", ["relu", "tanh", "sigmoid"])
        model.add(keras.layers.Dense(units, activation))
        model.add(keras.layers.Dropout(hp.Float("dropout", 0, 0.5, step=0.1)))
    model.add(keras.layers.Dense(1))
    optimizer = hp.Choice("optimizer", ["adam", "sgd"])
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")
    with hp.conditional_scope("optimizer", ["sgd"]):
        momentum = hp.Float("momentum", 0.0, 0.9, step=0.3)
    nesterov = hp.Boolean("nesterov", parent_name="optimizer", parent_values=["sgd"])
    if optimizer == "sgd":
        model.compile(keras.optimizers.SGD(rate, momentum=momentum, nesterov=nesterov), "mse", metrics=["mae"])
    else:
        model.compile(keras.optimizers.Adam(rate, epsilon=hp.Fixed("epsilon", 1e-8)), "mse", metrics=["mae"])
    return model


class _Tower(keras_tuner.HyperModel):
    """A HyperModel as the tutorials have it, its layers from a method of its own that uses a name scope."""

    def build(self, hp: Any) -> keras.Model:
        """Build one network."""
        model = keras.Sequential()
        with hp.name_scope("tower"):
            activation = hp.Choice("activation", ["relu", "tanh", "sigmoid"], default="tanh")
            for layer in range(hp.Int("layers", 1, 5, default=2)):
                units = hp.Int(f"units_{layer}", min_value=32, max_value=512, step=32)
                model.add(keras.layers.Dense(units, activation))
        if hp.Boolean("normalise"):
            model.add(keras.layers.BatchNormalization(momentum=hp.Float("decay", 0.5, 0.999, sampling="log")))
        model.add(keras.layers.Dense(1, kernel_initializer=hp.Choice("weights", ["he_normal", "zeros", "uniform"])))
        rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="LOG")
        kind = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}[
            hp.Choice("optimizer", ["adam", "rmsprop"])
        ]
        model.compile(kind(rate), "mse")
        return model


@pytest.mark.parametrize(
    "build", [pytest.param(_perceptron, id="a function"), pytest.param(_Tower().build, id="a HyperModel")]
)
def test_the_same_values_give_the_same_networks(build: Any) -> None:
    """Of 200 value sets each, KerasTuner's `hp` and this one build the same networks, with the same training."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    different = set()
    for _ in range(200):
        ours, theirs = make_hp(study.ask()), keras_tuner.HyperParameters()
        built = _described(build, ours)
        theirs.values = dict(ours.values)
        assert _described(build, theirs) == built
        assert theirs.values == ours.values
        different.add(str(built))
    assert len(different) > 180


def _space(hp: Any) -> dict[str, Any]:
    """Define a hyperparameter of each kind and sampling, some under conditions, and return the values."""
    values = {
        "whole": hp.Int("whole", 3, 17, step=4),
        "log": hp.Int("log", 1, 100, sampling="log"),
        "ladder": hp.Int("ladder", 2, 64, step=2, sampling="log"),
        "mirrored": hp.Float("mirrored", 1, 1000, step=10, sampling="reverse_log"),
        "number": hp.Float("number", -1, 1),
        "steps": hp.Float("steps", 0, 0.5, step=0.1),
        "rate": hp.Float("rate", 1e-4, 1e-2, sampling="log"),
        "size": hp.Choice("size", [16, 32, 64]),
        "kind": hp.Choice("kind", ["cnn", "mlp"]),
        "norm": hp.Choice("norm", [True, False]),
        "fixed": hp.Fixed("fixed", 3),
    }
    with hp.name_scope("head"), hp.name_scope("dense"):
        values["flag"] = hp.Boolean("flag")
        with hp.conditional_scope("flag", True):
            values["flagged"] = hp.Int("flagged", 1, 9)
            values["deeper"] = hp.Float("deeper", 0, 1, parent_name="flagged", parent_values=[1, 2, 3, 4])
    return values


def test_what_keras_tuner_draws_can_be_given_to_a_trial() -> None:
    """Its values are in Optuna's ranges, under names that have the conditions in them, and come back as they were."""
    theirs = keras_tuner.HyperParameters()
    _space(theirs)
    for seed in range(200):
        # As its oracle does: what is active, in the order of the space, so that parents have their values first.
        theirs.values = {}
        for number, one in enumerate(theirs.space):
            if theirs.is_active(one):
                theirs.values[one.name] = one.random_sample(1000 * number + seed)
        params = dict(theirs.values)
        del params["fixed"]
        for name, conditions in (
            ("head/dense/flagged", "@head/dense/flag:True"),
            ("head/dense/deeper", "@head/dense/flag:True@head/dense/flagged:1,2,3,4"),
        ):
            if name in params:
                params[name + conditions] = params.pop(name)
        hp = make_hp(optuna.trial.FixedTrial(params))
        assert _space(hp) == _space(theirs)
        assert hp.values == theirs.values


@pytest.mark.parametrize(
    "hypermodel",
    [
        pytest.param(keras_tuner.applications.HyperXception(input_shape=(32, 32, 3), classes=3), id="HyperXception"),
        pytest.param(keras_tuner.applications.HyperImageAugment(input_shape=(32, 32, 3)), id="HyperImageAugment"),
    ],
)
def test_networks_of_keras_tuner_can_be_built(hypermodel: keras_tuner.HyperModel) -> None:
    """Those that come with it know no other `hp` than their own, and take this one for it."""
    ours, theirs = make_hp(), keras_tuner.HyperParameters()
    for hp in (ours, theirs):
        keras.utils.clear_session(free_memory=False)
        hypermodel.build(hp)
    assert ours.get_config() == theirs.get_config()
    assert len(ours.space) > 2


def test_defaults_are_a_point_of_the_search_space() -> None:
    """As Optuna records them: a trial with that point has KerasTuner's defaults, conditions and mirrored ranges too."""

    def build(hp: Any) -> list[Any]:
        values = [hp.Int("layers", 1, 3, default=2), hp.Choice("kind", ["a", "b"]), hp.Boolean("bias", default=True)]
        for i in range(values[0]):
            with hp.conditional_scope("layers", list(range(i + 1, 4))):
                values.append(hp.Int(f"units_{i}", 8, 64, step=8, default=32))
        values.append(hp.Float("rate", 1e-4, 1e-1, sampling="reverse_log", default=1e-3))
        # Defaults that equal a value, and are of another type.
        values += [hp.Choice("norm", [True, False], default=False), hp.Choice("l2", [0.0, 0.01], default=0)]
        values.append(hp.Boolean("shuffle", default=1))
        return [*values, hp.Float("dropout", 0.0, 0.5, step=0.1, default=0.3), hp.Fixed("depth", 7)]

    trial = DefaultsTrial()
    wanted = build(keras_tuner.HyperParameters())
    assert build(make_hp(trial)) == pytest.approx(wanted)
    assert trial.defaults is not None
    assert trial.defaults["units_1@layers:2,3"] == 32
    assert build(make_hp(optuna.trial.FixedTrial(trial.defaults))) == pytest.approx(wanted)


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda trial: trial.suggest_float("rate", 0.0, 1.0), id="an Optuna function has none"),
        pytest.param(lambda trial: make_hp(trial).Int("units", 8, 64, default=99), id="one that is outside its range"),
        pytest.param(lambda trial: make_hp(trial).Int("units", 8, 64, step=8, default=9), id="one between two steps"),
    ],
)
def test_defaults_that_are_no_point_are_not_tried(build: Any) -> None:
    """Also where the study's code catches the error."""
    trial = DefaultsTrial()
    with pytest.raises(NoDefaultError):
        build(trial)
    assert trial.defaults is None
