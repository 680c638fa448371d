"""What a study file may define: KerasTuner's functions and classes, scikit-learn's dictionaries."""

from __future__ import annotations

import sys
import textwrap
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest

from tests.records import make_spec
from tests.unit.training.fakes import FakePipe, make_task
from tuner_service.errors import StudyFileError
from tuner_service.training import inspection, network, runs, study_file
from tuner_service.training.data import Data
from tuner_service.training.epoch_watch import EpochWatch
from tuner_service.training.keras_settings import KerasSettings
from tuner_service.training.remote_trial import RemoteTrial
from tuner_service.training.study_file import StudyFile

_HEAD = """
import keras
import numpy as np
from tuner_service import Data

def load_data(): return DATA

def network(units=2):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model
"""

_X, _Y = np.ones((8, 2), "float32"), np.ones((8, 1), "float32")
_DATA = Data((_X, _Y), (_X[:4], _Y[:4]))


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """Provide a function that loads a study file of this text."""

    def loaded(text: str) -> StudyFile:
        path = tmp_path / "study.py"
        path.write_text(_HEAD + textwrap.dedent(text))
        return study_file.load(path)

    return loaded


def _train(study: StudyFile, folder: Path, params: dict[str, Any], **task: Any) -> tuple[float, EpochWatch, Any]:
    pipe, assignment = FakePipe(), make_task(max_epochs=2, **task)
    watch = EpochWatch(pipe, assignment, folder)
    trial = optuna.trial.FixedTrial(params)
    return runs.train(study, trial, _DATA, pipe, assignment, watch, folder), watch, trial


class TestKerasTuner:
    """Functions of `hp`, and hypermodels."""

    def test_functions_of_hp_share_it(self, load: Any, tmp_path: Path) -> None:
        """What `build_model` has defined is there in `fit_options`, in the same object, anew for each trial."""
        study = load(
            """
            seen = []
            def build_model(hp):
                seen.append(hp)
                return network(hp.Int("units", 1, 3))
            def fit_options(hp):
                seen.append(hp)
                return {"batch_size": hp.Choice("batch_size", [2, 4]) * hp.get("units")}
            """
        )
        first = optuna.trial.FixedTrial({"units": 2, "batch_size": 4})
        second = optuna.trial.FixedTrial({"units": 1, "batch_size": 2})
        for trial, batch in ((first, 8), (second, 2)):
            assert study.build_model(trial).layers[0].units == trial.params["units"]
            assert study.fit_options(trial) == {"batch_size": batch}
        one, same, other, _ = sys.modules["study_study"].seen
        assert one is same
        assert other is not one

    def test_trial_that_is_drawn_again_gets_a_new_hp(self, load: Any) -> None:
        """Else it would be built of the values that another configuration has; `fit_options` sees the new ones."""
        study = load(
            """
            def build_model(hp):
                return network(hp.Int("units", 1, 9))
            def fit_options(hp):
                return {"batch_size": hp.get("units")}
            """
        )
        units, kept = iter([3, 5]), iter([False, True])
        pipe = FakePipe(suggest=lambda *_: next(units), drawn=lambda *_: next(kept))
        model, given = network.prepare(study, RemoteTrial(pipe, 0, 0.0), pipe, make_task(), 7, KerasSettings())
        assert (model.layers[0].units, given["batch_size"]) == (5, 5)

    def test_objective_of_hp_needs_no_network(self, load: Any) -> None:
        """What was `run_trial` for KerasTuner is an objective."""
        study = load("def objective(hp):\n    return hp.Float('x', -2, 2) ** 2")
        assert study.kind == "objective"
        assert study.objective(optuna.trial.FixedTrial({"x": 1.5})) == 2.25

    def test_hypermodel_that_is_not_tunable_has_its_defaults(self, load: Any) -> None:
        """KerasTuner hands a copy of `hp` to its `build`, in which nothing new is drawn."""
        study = load(
            """
            import keras_tuner
            class Mine(keras_tuner.HyperModel):
                def build(self, hp):
                    return network(hp.Int("units", 1, 300, default=7))
            hypermodel = Mine(tunable=False)
            """
        )
        trial = optuna.create_study().ask()
        assert study.build_model(trial).layers[0].units == 7
        assert trial.params == {}

    def test_hypermodel_without_a_fit_is_trained_as_a_function_is(self, load: Any, tmp_path: Path) -> None:
        """KerasTuner's `fit` is `model.fit`; here that means checkpoints, curves and options too."""
        study = load(
            """
            import keras_tuner
            class MyHyperModel(keras_tuner.HyperModel):
                def build(self, hp):
                    return network(hp.Int("units", 1, 3))
            hypermodel = MyHyperModel(name="mine")
            """
        )
        assert study.fit is None
        assert study.kind == "build_model"
        _, watch, _ = _train(study, tmp_path, {"units": 2})
        assert watch.epochs == 2

    @pytest.mark.parametrize(
        ("takes", "gives"),
        [
            pytest.param("*args, **kwargs", "*args, **kwargs", id="everything is passed on"),
            pytest.param(
                "*args, **kwargs",
                "*args, epochs=hp.Int('epochs', 2, 5), batch_size=4, **kwargs",
                id="epochs of its own",
            ),
            pytest.param(
                "x, y, validation_data, callbacks=None, **kwargs",
                "x, y, validation_data=validation_data, callbacks=callbacks, **kwargs",
                id="the data have names",
            ),
            pytest.param(
                "x, y, validation_data, callbacks",
                "x, y, validation_data=validation_data, callbacks=callbacks, epochs=2",
                id="nothing else is taken",
            ),
            pytest.param("**kwargs", "**kwargs", id="all by name"),
            pytest.param(
                "*args, **kwargs",
                "*args, callbacks=kwargs.pop('callbacks') + [], **kwargs",
                id="callbacks are added to",
            ),
            pytest.param("*args, **kwargs", "*args, epochs=kwargs.get('epochs', 2), **kwargs", id="epochs by default"),
        ],
    )
    def test_fit_is_called_as_keras_tuner_calls_it(self, load: Any, takes: str, gives: str) -> None:
        """With what a user gave to `search`: data, validation data, epochs where it has none, and always callbacks."""
        study = load(
            f"""
            class Mine:
                def build(self, hp):
                    return network()
                def fit(self, hp, model, {takes}):
                    return model.fit({gives})
            hypermodel = Mine()
            """
        )
        calls: list[Any] = []
        model = SimpleNamespace(fit=lambda *args, **named: calls.append((args, named)) or {"val_loss": 3})
        watch = SimpleNamespace(params={"epochs": 2})
        assert study.fit is not None
        assert study.fit(optuna.trial.FixedTrial({"epochs": 2}), model, _DATA, [watch]) == {"val_loss": 3}
        ((args, named),) = calls
        x, y = args or (named.pop("x"), named.pop("y"))
        assert x is _X
        assert y is _Y
        assert named.pop("batch_size", 4) == 4
        assert named == {"validation_data": _DATA.validation, "epochs": 2, "callbacks": [watch]}

    def test_objective_stands_in_the_place_of_the_others(self, load: Any) -> None:
        """The helpers of an Optuna script may have any names and parameters."""
        study = load(
            """
            hypermodel = 3
            param_grid = {}
            fit_options = {"epochs": 3}
            def build_model(units, rate): ...
            def load_data(part): ...
            def fit(model, x): ...
            def objective(trial):
                return trial.suggest_float("x", -2, 2) ** 2
            """
        )
        assert (study.kind, study.load_data, study.fit) == ("objective", None, None)
        assert study.objective(optuna.trial.FixedTrial({"x": 1.5})) == 2.25

    def test_a_study_with_a_specification_may_keep_its_old_objective(self, load: Any) -> None:
        """It was divided into `build_model` and `load_data`, which are what is trained."""
        study = load(
            """
            from tuner_service import StudySpec
            spec = StudySpec(name="divided", metric="val_loss", trials=1, max_epochs=1)
            def load_data(): ...
            def build_model(trial): ...
            def objective(trial): ...
            """
        )
        assert study.kind == "build_model"

    def test_loop_of_its_own_reports_by_the_callbacks(self, load: Any, tmp_path: Path) -> None:
        """KerasTuner's guide calls `on_epoch_end` itself; the best epoch counts, and the options join the arguments."""
        study = load(
            """
            class Mine:
                def build(self, hp):
                    return network()
                def fit(self, hp, model, x, y, validation_data, callbacks=None, batch_size=None, **kwargs):
                    for callback in callbacks:
                        callback.set_model(model)
                    for epoch, loss in enumerate([3.0, 1.0, 2.0]):
                        for callback in callbacks:
                            callback.on_epoch_end(epoch, logs={"val_loss": np.float32(loss * batch_size)})
                    return 2.5
            hypermodel = Mine()
            def fit_options(hp):
                return {"batch_size": hp.Choice("batch_size", [2, 4])}
            """
        )
        value, watch, _ = _train(study, tmp_path, {"batch_size": 2})
        assert (value, watch.value, watch.best_epoch, watch.epochs) == ((2.5,), 2.0, 2, 3)

    def test_what_the_options_of_its_fit_ask_for_is_in_the_search_space(self, load: Any) -> None:
        """So a grid has cells of it, which are never asked for anything else."""
        study = load(
            """
            class Mine:
                def build(self, hp):
                    return network(hp.Choice("units", [1, 2]))
                def fit(self, hp, model, *args, **kwargs):
                    return model.fit(*args, **kwargs)
            hypermodel = Mine()
            def fit_options(hp):
                return {"batch_size": hp.Choice("batch_size", [2, 4])}
            """
        )
        cells, found = inspection.cells(study, make_spec(sampler="grid", trials=None))
        assert cells == [{"units": units, "batch_size": size} for units in (1, 2) for size in (2, 4)]
        assert {name for one in found for name in one} == {"units", "batch_size"}

    @pytest.mark.parametrize(
        ("returned", "value"),
        [
            pytest.param("[1.0, 2.0]", 1.5, id="numbers"),
            pytest.param("[{'val_loss': 1, 'other': 7}, {'val_loss': 3}]", 2.0, id="metrics"),
            pytest.param("[model.fit(x, y, validation_data=(x, y), epochs=1)] * 2", None, id="histories"),
        ],
    )
    def test_list_is_averaged(self, load: Any, tmp_path: Path, returned: str, value: float | None) -> None:
        """As KerasTuner does with what several executions returned."""
        study = load(
            f"""
            class Mine:
                def build(self, hp):
                    return network()
                def fit(self, hp, model, x, y, **kwargs):
                    return {returned}
            hypermodel = Mine()
            """
        )
        (trained,) = _train(study, tmp_path, {})[0]
        assert trained == (value or pytest.approx(0, abs=99))

    def test_fit_that_ignores_the_callbacks_is_told(self, load: Any, tmp_path: Path) -> None:
        """It cannot be stopped early: where a pruner is set, the trial says so, and how it could."""
        study = load(
            """
            class Mine:
                def build(self, hp):
                    return network()
                def fit(self, hp, model, *args, **kwargs):
                    return 1.0
            hypermodel = Mine()
            """
        )
        assert _train(study, tmp_path, {})[2].user_attrs == {}
        (told,) = _train(study, tmp_path, {}, rungs=frozenset({1}))[2].user_attrs.values()
        assert told.startswith("fit reported no epoch, so it could not be stopped early: pass the callbacks")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            pytest.param(
                "class Mine:\n  def build(self, hp): ...\nhypermodel = Mine",
                "hypermodel must be an object with build(hp), such as hypermodel = MyHyperModel(), got <class",
                id="the class",
            ),
            pytest.param("def hypermodel(hp): ...", "a function of hp is called build_model", id="a function"),
            pytest.param(
                "class Mine:\n  def build(self, hp): ...\nhypermodel = Mine()\ndef build_model(hp): ...",
                "both hypermodel and build_model are defined; keep one of them",
                id="both",
            ),
            pytest.param(
                "class Mine:\n  def build(self, hp): ...\n  def fit(self, hp, model): ...\nhypermodel = Mine()\n"
                "def fit(trial, model, data, callbacks): ...",
                "both hypermodel and fit are defined; keep one of them",
                id="two ways to fit",
            ),
        ],
    )
    def test_what_cannot_be_a_hypermodel_is_refused(self, load: Any, text: str, message: str) -> None:
        """With what to do."""
        with pytest.raises(StudyFileError) as error:
            load(text)
        assert str(error.value).startswith("study.py: ")
        assert message in str(error.value)


class TestDictionaries:
    """`param_grid` and `param_distributions`, with a builder that takes names."""

    def test_names_go_where_they_are_taken(self, load: Any, tmp_path: Path) -> None:
        """`units` to the builder, `batch_size` to `fit`, with scikeras' prefixes or without; drawn in their order."""
        study = load(
            """
            param_grid = {
                "batch_size": [2, 4], "model__units": (1, 2),
                "fit__epochs": np.arange(1, 3), "rate": np.logspace(-3, -1, 3),
            }
            def build_model(units, rate=0.1, depth=3):
                assert depth == 3
                return network(units)
            def fit_options(trial):
                return {"shuffle": False, "batch_size": 1}
            """
        )
        trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
        model = study.build_model(trial)
        assert list(trial.params) == ["batch_size", "model__units", "fit__epochs", "rate"]
        assert model.layers[0].units == trial.params["model__units"]
        assert {name: type(value) for name, value in trial.params.items()} == {
            "batch_size": int, "model__units": int, "fit__epochs": int, "rate": float
        }  # fmt: skip
        assert study.fit_options(trial) == {
            "shuffle": False, "batch_size": trial.params["batch_size"], "epochs": trial.params["fit__epochs"]
        }  # fmt: skip
        _, watch, _ = _train(study, tmp_path, {**trial.params, "fit__epochs": 1})
        assert watch.epochs == 1

    def test_list_of_dictionaries_is_enumerated_whole(self, load: Any) -> None:
        """Brute force finds each cell of each dictionary once; one name may have other values in each."""
        study = load(
            """
            param_grid = [{"kind": ["linear"]}, {"kind": ["deep", "wide"], "units": [1, 2, 2]}]
            def build_model(kind, units=9):
                return kind, units
            """
        )
        cells = []
        with warnings.catch_warnings(action="ignore"):  # Optuna calls it experimental
            found = optuna.create_study(sampler=optuna.samplers.BruteForceSampler(seed=0))
        found.optimize(lambda trial: cells.append(study.build_model(trial)) or 0.0)
        assert sorted(cells) == [("deep", 1), ("deep", 2), ("linear", 9), ("wide", 1), ("wide", 2)]
        assert {name for one in found.trials for name in one.params} == {
            "grid", "kind@grid:0", "kind@grid:1", "units@grid:1"
        }  # fmt: skip

    def test_name_in_an_optuna_script_is_its_own(self, load: Any) -> None:
        """A script that keeps its ranges in a dictionary of that name runs unchanged."""
        study = load(
            "param_grid = {'x': (0, 1)}\ndef objective(trial):\n    return trial.suggest_int('x', *param_grid['x'])"
        )
        assert study.kind == "objective"
        assert study.objective(optuna.trial.FixedTrial({"x": 1})) == 1

    def test_distributions_of_scipy_are_ranges(self, load: Any) -> None:
        """Their bounds are SciPy's: the upper one of `randint` is not drawn."""
        study = load(
            """
            from scipy.stats import loguniform, randint, reciprocal, uniform
            param_distributions = {
                "units": randint(1, 10), "drop": uniform(0.1, 0.4), "rate": loguniform(1e-4, 1e-1),
                "decay": reciprocal(1e-3, 1.0, scale=2), "kind": ["a", "b"],
            }
            def build_model(**names):
                return names
            """
        )
        trial = optuna.create_study().ask()
        assert study.build_model(trial) == trial.params
        assert trial.distributions == {
            "units": optuna.distributions.IntDistribution(1, 9),
            "drop": optuna.distributions.FloatDistribution(0.1, 0.5),
            "rate": optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True),
            "decay": optuna.distributions.FloatDistribution(2e-3, 2.0, log=True),
            "kind": optuna.distributions.CategoricalDistribution(["a", "b"]),
        }

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            pytest.param(
                "param_grid = {'unit': [1]}\ndef build_model(units=1): ...",
                "param_grid has 'unit', which neither build_model(units) takes nor model.fit, of whose arguments it "
                "may have batch_size, epochs, shuffle, steps_per_epoch, validation_batch_size, validation_freq, "
                "validation_steps, verbose. Did you mean 'units'?",
                id="a name that nobody takes",
            ),
            pytest.param(
                "param_grid = {'optimizer__learning_rate': [1]}\ndef build_model(units=1): ...",
                "Only model__ and fit__ are known as prefixes: let build_model take 'learning_rate', and use it there.",
                id="scikeras' other prefixes",
            ),
            pytest.param(
                "param_grid = {'units': [1], 'model__units': [2]}\ndef build_model(units): ...",
                "param_grid has one parameter under two names: model__units, units",
                id="one parameter twice",
            ),
            pytest.param(
                "param_grid = [{'units': [1]}, {'rate': [2]}]\ndef build_model(units, rate=1): ...",
                "build_model needs units, which param_grid does not have; add it there, or give it a default",
                id="one that is missing",
            ),
            pytest.param(
                "param_grid = {'units': [1]}\ndef build_model(trial): ...",
                "param_grid and build_model(trial) both say what to draw",
                id="two spaces",
            ),
            pytest.param(
                "param_grid = {'units': [1]}\nparam_distributions = {'units': [1]}\ndef build_model(units): ...",
                "has both param_grid and param_distributions; keep one of them",
                id="two dictionaries",
            ),
            pytest.param("param_grid = {'units': [1]}\n", "param_grid needs build_model", id="no builder"),
            pytest.param(
                "param_grid = {'batch_size': [1]}\ndef build_model(): ...\ndef fit(trial, model, data, callbacks): ...",
                "param_grid has 'batch_size' for model.fit, but the file has a fit of its own",
                id="options for a fit of its own",
            ),
            *(
                pytest.param(f"param_grid = {given}\ndef build_model(units): ...", message, id=f"{given}")
                for given, message in (
                    ("[('units', [1])]", "param_grid must be a dictionary from names to values"),
                    ("{}", "param_grid must be a dictionary from names to values"),
                    ("{'units': 'relu'}", "param_grid['units'] must be a list of the values to try, got 'relu'"),
                    ("{'units': 3}", "param_grid['units'] must be a list of the values to try, got 3"),
                    ("{'units': []}", "param_grid['units'] must be a list of the values to try, got []"),
                    ("{'units': [(1, 2)]}", "has the value (1, 2), a tuple, which a database cannot keep"),
                    (
                        "{'units': [keras.losses.MeanSquaredError()]}",
                        "a MeanSquaredError, which a database cannot keep; list text, numbers, True, False or None, "
                        "and look the object up in a dictionary in build_model",
                    ),
                    (
                        "{'units': __import__('scipy.stats').stats.randint(1, 3)}",
                        "is a distribution, which has no grid; call the dictionary param_distributions",
                    ),
                )
            ),
            *(
                pytest.param(
                    f"from scipy import stats\nparam_distributions = {{'units': stats.{given}}}\n"
                    "def build_model(units): ...",
                    "param_distributions['units'] is a distribution that is not known here, "
                    f"{given.split('(')[0]}; known are lists, and randint, uniform and loguniform (without loc) of",
                    id=given,
                )
                for given in ("norm(0, 1)", "loguniform(1e-3, 1, loc=1)")
            ),
        ],
    )
    def test_what_cannot_be_a_space_is_refused(self, load: Any, text: str, message: str) -> None:
        """When the file is loaded, with what to do."""
        with pytest.raises(StudyFileError) as error:
            load(text)
        assert str(error.value).startswith("study.py")
        assert message in str(error.value)
