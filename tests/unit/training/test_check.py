"""Study files with one mistake each, and those without: what trying them finds."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from tuner_service.domain.finding import Level
from tuner_service.errors import OtherBackendError, StudyFileError
from tuner_service.training import inspection
from tuner_service.training.check import check

_ROOT = Path(__file__).parents[3]

_STUDY = """\
import keras
import numpy as np
from tuner_service import Data, Hyperband, Median, StudySpec
spec = StudySpec(name="s", metric="val_accuracy", trials=9, max_epochs=4, pruner=Hyperband())
times = []
def load_data():
    dice = np.random.default_rng(0)
    x, y = dice.normal(size=(90, 4)).astype("float32"), dice.integers(0, 3, 90)
    return Data.split(x, y)
def build_model(trial):
    units = trial.suggest_int("units", 4, 8)
    rate = trial.suggest_float("rate", 1e-4, 1e-2, log=True)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units), keras.layers.Dense(3, "softmax")])
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
def fit_options(trial):
    return {"batch_size": trial.suggest_categorical("batch_size", [16, 32])}
"""
_SCRIPT = "def objective(trial):\n    return {}\n"


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two draws find what ten would."""
    monkeypatch.setattr(inspection, "DRAWS", 2)
    monkeypatch.setattr(inspection, "DRAWING_S", 1e9)


def _check(folder: Path, content: str) -> list[tuple[str, str, int | None, str]]:
    path = folder / "study.py"
    path.write_text(content)
    return [(str(one.level), one.rule, one.line, one.message) for one in check(path.resolve()).findings]


@pytest.mark.parametrize(
    ("old", "new", "level", "rule", "line", "said"),
    [
        pytest.param("import keras", "import keras(", "error", "syntax", 1, "not Python", id="a syntax error"),
        pytest.param("import keras", "import kerras", "error", "import", 1, "'kerras'", id="an import that fails"),
        pytest.param("times = []", "times = [][0]", "error", "import", 5, "IndexError", id="a line that fails"),
        pytest.param("trials=9", "trials=0", "error", "import", 4, "greater than 0", id="a field out of range"),
        pytest.param(
            '"val_accuracy"', '"quality"', "error", "import", 4, "direction=", id="a metric of unknown direction"
        ),
        pytest.param(
            "Hyperband()", "Hyperband(min_epochs=4)", "warning", "pruner-never-judges", 4, "no rung", id="no rung"
        ),
        pytest.param(
            "Hyperband()", "Median(startup_trials=9)", "warning", "pruner-never-judges", 4, "waits", id="no start"
        ),
        pytest.param(
            "max_epochs=4", 'max_epochs=4, points=[{"units": 8}, {"units": 9}]',
            "error", "point", 4, "units=9 is not in", id="a known point outside the space",
        ),
        pytest.param(
            "max_epochs=4", "max_epochs=4, defaults_first=True",
            "error", "point", 4, "'units' has none", id="defaults of a function that has none",
        ),
        pytest.param("4, 8)", "8, 4)", "error", "range-reversed", 11, "min 8 above max 4", id="min above max"),
        pytest.param("1e-4, 1e-2", "0, 1e-2", "error", "log-through-zero", 12, "begins at 0", id="log from zero"),
        pytest.param("1e-4, 1e-2", "-1, 1e-2", "error", "log-through-zero", 12, "begins at -1", id="log through zero"),
        pytest.param("4, 8)", "4, 8, step=3)", "hint", "max-off-grid", 11, "value is 7", id="a max off the grid"),
        pytest.param("4, 8)", "4, 8, step=0)", "error", "bad-range", 11, "step", id="a step of nothing"),
        pytest.param(
            "    rate = ", '    trial.suggest_categorical("shape", [(8, 4), [4]])\n    rate = ',
            "error", "unkept-choice", 12, "(8, 4)", id="choices that are tuples",
        ),
        pytest.param(
            "[16, 32]", "[1, True]", "error", "unkept-choice", 17, "1 and True, which are equal", id="equal choices"
        ),
        pytest.param("[16, 32]", "[]", "error", "bad-range", 17, "batch_size", id="no choices"),
        pytest.param(
            "    rate = ",
            '    trial.suggest_int("units", 4, 9)\n    rate = ',
            "error", "two-ranges", 12, "in line 11", id="one name with two ranges",
        ),
        pytest.param(
            "    rate = ",
            '    trial.suggest_float("units", 4, 8)\n    rate = ',
            "error", "two-ranges", 12, "FloatDistribution", id="one name of two kinds",
        ),
        pytest.param(
            "    rate = ",
            '    for _ in range(2): trial.suggest_int("depth", 1, 2)\n    rate = ',
            "hint", "name-in-loop", 12, "depth_{i}", id="one name in a loop",
        ),
        pytest.param(
            '"batch_size": ', '"batchsize": ', "error", "unknown-fit-argument", 16, "'batch_size'",
            id="an argument that fit does not know",
        ),
        pytest.param(
            '"batch_size": ', '"validation_split": ', "error", "fit-options", 16, "validation_split",
            id="an argument that fit is given anyway",
        ),
        pytest.param(
            '{"batch_size": trial.suggest_categorical("batch_size", [16, 32])}',
            '{"epochs": trial.suggest_int("epochs", 1, 5)}',
            "error", "epochs-above-max", 17, "up to 5", id="epochs above the maximum",
        ),
        pytest.param(
            '"val_accuracy"', '"val_auc"', "error", "fit", 10, "no metric 'val_auc'", id="a metric not reported"
        ),
        pytest.param(
            '"val_accuracy"', '"accuracy"',
            "warning", "metric-of-training", 4, "Say 'val_accuracy'", id="a metric of the training part",
        ),
        pytest.param(
            "Data.split(x, y)", "Data((x[:60], y[:60]), (x[60:], y[60:]), (x[60:], y[60:]))",
            "error", "test-in-validation", 6, "100%", id="the test set used for validation",
        ),
        pytest.param(
            "Data.split(x, y)", "Data((x, y), (x[60:], y[60:]))",
            "warning", "validation-in-train", 6, "100.0%", id="validation rows trained on",
        ),
        pytest.param(
            "Data.split(x, y)", "Data.split(np.where(x == x.max(), np.inf, x), y)",
            "error", "not-finite", 6, "1 values that are NaN or infinite", id="an infinite value",
        ),
        pytest.param("Data.split(x, y)", "x[99]", "error", "load-data", 9, "IndexError", id="data that fails"),
        pytest.param(
            "integers(0, 3", "integers(1, 4", "error", "labels-out-of-range", 6, "labels 3 (train", id="labels from 1"
        ),
        pytest.param(
            '"sparse_categorical_crossentropy"', '"categorical_crossentropy"',
            "error", "fit", 10, "fit failed: ValueError", id="a loss for other labels",
        ),
        pytest.param("Input((4,))", "Input((5,))", "error", "fit", 10, "dense", id="an input of another shape"),
        pytest.param(
            "    model.compile", "    if 0: model.compile",
            "error", "build-model", 10, "not compiled", id="not compiled",
        ),
        pytest.param("    return model", "    return 3", "error", "build-model", 10, "got int", id="no model"),
        pytest.param(
            "Dense(units)", "Dense(units + (times.append(1) or len(times)))",
            "error", "not-repeatable", 10, "shapes of the weights", id="a network that grows from call to call",
        ),
        pytest.param(
            "Adam(rate)", "Adam(rate * (times.append(1) or len(times)))",
            "error", "not-repeatable", 10, "the optimizer", id="an optimizer that changes from call to call",
        ),
        pytest.param(
            "    rate = ",
            '    trial.suggest_int(f"x{times.append(1) or len(times)}", 1, 2)\n    rate = ',
            "error", "not-repeatable", 10, "the parameters", id="parameters that change from call to call",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_found(tmp_path: Path, old: str, new: str, level: str, rule: str, line: int, said: str) -> None:
    """It is found once, in its line, and nothing else with it that has another cause."""
    assert old in _STUDY
    findings = _check(tmp_path, _STUDY.replace(old, new, 1))
    assert [one[:3] for one in findings] == [(level, rule, line)]
    assert said in findings[0][3]


@pytest.mark.parametrize(
    ("old", "new", "rule", "line", "said"),
    [
        pytest.param("default=4", "default=99", "default-outside-range", 11, "99", id="a default outside its range"),
        pytest.param("default=4", "default=0", "default-outside-range", 11, "0", id="a default of zero"),
        pytest.param("4, 8, default=4", "8, 4", "build-model", 11, "8 is above max_value 4", id="min above max"),
        pytest.param(
            "    rate = ", '    hp.Int("units", 4, 9)\n    rate = ', "two-ranges", 12, "4", id="one name, two ranges"
        ),
        pytest.param('sampling="log"', 'sampling="lg"', "build-model", 12, "'lg'", id="a sampling of no kind"),
        pytest.param("max_epochs=4", "max_epochs=4, defaults_first=True", None, 0, "", id="defaults to begin with"),
        pytest.param("default=4", "step=2", None, 0, "", id="no mistake"),
    ],
)
def test_keras_tuners_functions_are_looked_at(
    tmp_path: Path, old: str, new: str, rule: str | None, line: int, said: str
) -> None:
    """Also for what KerasTuner itself does not check."""
    study = _STUDY.replace("trial", "hp").replace('hp.suggest_int("units", 4, 8)', 'hp.Int("units", 4, 8, default=4)')
    study = study.replace('suggest_float("rate", 1e-4, 1e-2, log=True)', 'Float("rate", 1e-4, 1e-2, sampling="log")')
    study = study.replace("hps=9", "trials=9").replace("hp.suggest_categorical", "hp.Choice")
    assert old in study
    findings = _check(tmp_path, study.replace(old, new, 1))
    assert [one[1:3] for one in findings] == ([] if rule is None else [(rule, line)])
    assert all(said in one[3] for one in findings)


@pytest.mark.parametrize(
    ("metric", "found"),
    [
        pytest.param('["val_accuracy", "parameters"]', [], id="one that Keras reports, and one that is measured"),
        pytest.param('["val_accuracy", "parameters"], prune_on="val_loss"', [], id="pruned by a third"),
        pytest.param('["val_accuracy", "val_auc"]', [("fit", 10, "no metric 'val_auc'")], id="one that nobody reports"),
        pytest.param(
            '["parameters", "latency_s"]',
            [("import", 4, "prune_on=")],
            id="none of an epoch, which a pruner could judge",
        ),
        pytest.param(
            '["val_accuracy", "quality"]', [("import", 4, "direction=[None, 'maximize']")], id="an unknown direction"
        ),
    ],
)
def test_each_of_several_objectives_is_looked_at(
    tmp_path: Path, metric: str, found: list[tuple[str, int, str]]
) -> None:
    """As in one: it is reported or measured, and its direction is known."""
    findings = _check(tmp_path, _STUDY.replace('"val_accuracy"', metric, 1))
    assert [one[1:3] for one in findings] == [one[:2] for one in found]
    assert all(said in message for (*_, message), (*_, said) in zip(findings, found, strict=True))


def test_a_metric_with_the_name_of_a_measured_objective_is_found(tmp_path: Path) -> None:
    """Nobody could say which of the two is meant."""
    study = _STUDY.replace('"val_accuracy"', '["val_accuracy", "parameters"]', 1)
    study = study.replace(
        'metrics=["accuracy"]', 'metrics=["accuracy", keras.metrics.SparseCategoricalAccuracy(name="parameters")]'
    )
    (finding,) = _check(tmp_path, study)
    assert finding[:3] == ("error", "fit", 10)
    assert "reports a metric 'parameters', and the objective of that name is measured" in finding[3]


def test_folds_need_no_validation_part(tmp_path: Path) -> None:
    """The metric is looked for in the first fold."""
    study = _STUDY.replace("max_epochs=4", "max_epochs=4, folds=3").replace("Data.split(x, y)", "Data((x, y))")
    assert _check(tmp_path, study) == []


def test_several_mistakes_are_found_at_once(tmp_path: Path) -> None:
    """Looking goes on after the first."""
    study = _STUDY.replace("4, 8)", "8, 4)").replace("integers(0, 3", "integers(1, 4")
    found = [rule for _, rule, _, _ in _check(tmp_path, study)]
    assert found == ["labels-out-of-range", "range-reversed"]


def test_a_corner_that_fails_is_a_warning(tmp_path: Path) -> None:
    """It costs a trial there, not the study."""
    study = _STUDY.replace(
        "    rate =", "    if len(times) == 3: raise RuntimeError(units)\n    times.append(1)\n    rate ="
    )
    assert [one[:3] for one in _check(tmp_path, study)] == [("warning", "build-model", 12)]


@pytest.mark.parametrize(
    ("returned", "rules"),
    [
        pytest.param("trial.suggest_float('x', 0, 1)", [], id="a range"),
        pytest.param("trial.suggest_float('x', 1, 0)", ["range-reversed"], id="min above max"),
        pytest.param("trial.suggest_float('x', 0, high)", [], id="a range that is computed"),
        pytest.param("trial.suggest_float('x', 0, 1, log=True)", ["log-through-zero"], id="log from zero"),
    ],
)
def test_a_script_is_read_and_not_run(tmp_path: Path, returned: str, rules: list[str]) -> None:
    """It would train; what it writes as values is looked at all the same."""
    assert [one[1] for one in _check(tmp_path, _SCRIPT.format(returned)) if one[1] != "specification"] == rules


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """There is nothing to find anything in."""
    with pytest.raises(StudyFileError, match="cannot be read"):
        check(tmp_path / "study.py")


_FILES = [*(_ROOT / "studies").glob("*.py"), *(_ROOT / "tests/e2e/studies").glob("*.py")]
_SHIPPED = [path for path in _FILES if "StudySpec(" in path.read_text()]
#: They fail on purpose.
_LEFT_OUT = {"failing.py", "noisy.py", "nosy.py", "slow.py"}
#: A tutorial's function, in which one dropout is named in a loop and meant for all layers.
_HINTED = {"keras_tuner_regression.py"}


@pytest.mark.parametrize(
    "path", [pytest.param(one, id=one.stem) for one in sorted(_SHIPPED) if one.name not in _LEFT_OUT]
)
def test_a_study_without_mistakes_raises_no_alarm(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is found in what is shipped; in what the tests train, nothing but hints that are true."""
    if "mnist" in path.stem:
        _write_idx(tmp_path)
        monkeypatch.setenv("TUNER_IDX_DIR", str(tmp_path))
    found = check(path).findings
    free_of_hints = path.parent == _ROOT / "studies" and path.name not in _HINTED
    assert [one for one in found if free_of_hints or one.level is not Level.HINT] == []


def _write_idx(folder: Path) -> None:
    """Write a data set of MNIST's shape and names."""
    dice = np.random.default_rng(0)
    for name, count in (("train", 1_200), ("t10k", 200)):
        images, labels = dice.integers(0, 256, (count, 28, 28), np.uint8), dice.integers(0, 10, count, np.uint8)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(
            struct.pack(">IIII", 0x803, *images.shape) + images.tobytes()
        )
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + labels.tobytes())


def test_a_backend_that_keras_does_not_use_here_is_no_mistake(tmp_path: Path) -> None:
    """Keras has imported its backend by then; whoever asked looks again, in a process that takes the other."""
    path = tmp_path / "study.py"
    path.write_text(_STUDY)
    with pytest.raises(OtherBackendError, match="jax"):
        check(path, [{"backend": "jax"}])


@pytest.mark.parametrize(("content", "said"), [("import", "it is not Python"), ("x = [][0]", "it cannot be used")])
def test_of_a_file_that_does_not_import_nothing_is_tried(tmp_path: Path, content: str, said: str) -> None:
    """And it says so."""
    path = tmp_path / "study.py"
    path.write_text(content)
    assert check(path).tried == f"nothing was tried: {said}"
