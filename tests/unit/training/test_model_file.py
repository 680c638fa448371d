"""Models in files: written, and loaded without running what a file holds."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from tuner_service.domain.engine import Computing
from tuner_service.errors import ModelError
from tuner_service.training.model_file import Needs, load, load_model, write

_STUDY = """
import keras, numpy as np
from tuner_service import Data

class Given:
    pass

@keras.saving.register_keras_serializable()
class Scale(keras.layers.Layer):
    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, x):
        return x * self.w

class Undescribed(Scale):
    def __init__(self, given):
        super().__init__()
        self.given = given

class Subclassed(keras.Model):
    def __init__(self, given):
        super().__init__()
        self.given, self.dense = given, keras.layers.Dense(2)

    def call(self, x):
        return self.dense(x)

LAYERS = {
    "plain": lambda: keras.layers.Dense(2),
    "registered": Scale,
    "lambda": lambda: keras.layers.Lambda(lambda x: 3 * x),
    "undescribed": lambda: Undescribed(Given()),
}

def load_data():
    return Data((np.ones((4, 2)), np.ones((4, 2))))

def build_model(trial):
    kind = trial.suggest_categorical("kind", ["plain", "registered", "lambda", "undescribed", "subclassed"])
    if kind == "subclassed":
        model = Subclassed(Given())
    else:
        model = keras.Sequential([keras.Input((2,)), LAYERS[kind](), keras.layers.Dense(2)])
    model.compile("sgd", "mse", run_eagerly=True)
    return model
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Provide a study file, of a name that no other test has."""
    path = tmp_path / f"{tmp_path.name}.py"
    path.write_text(_STUDY)
    return path


def _trained(study: Path, kind: str) -> keras.Model:
    """Return a network of the study's, as its own process would have it; this one forgets its layers."""
    namespace: dict[str, object] = {"__name__": "elsewhere"}
    exec(study.read_text(), namespace)  # noqa: S102 - so that the layers are those of no module

    class Trial:
        def suggest_categorical(self, name: str, choices: list[str]) -> str:
            return kind

    model = namespace["build_model"](Trial())  # type: ignore[operator]
    model.fit(np.ones((4, 2)), np.zeros((4, 2)), verbose=0)
    keras.saving.get_custom_objects().clear()
    return model


@pytest.mark.parametrize(
    ("kind", "needs"),
    [
        pytest.param("plain", Needs.KERAS, id="layers of Keras"),
        pytest.param("registered", Needs.STUDY, id="a layer of the study's own"),
        pytest.param("lambda", Needs.CODE, id="a lambda, which safe mode refuses"),
        pytest.param("undescribed", Needs.CODE, id="a layer that Keras cannot describe"),
        pytest.param("subclassed", Needs.CODE, id="a network that Keras cannot describe"),
    ],
)
def test_what_was_written_is_loaded(study: Path, tmp_path: Path, kind: str, needs: Needs) -> None:
    """With the same weights, and it is known what that took."""
    model = _trained(study, kind)
    path = tmp_path / "best.keras"
    write(model, path)
    loaded, found = load(path, study, {"kind": kind}, Computing())
    assert found is needs
    for one, other in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert set(loaded.evaluate(np.ones((4, 2)), np.ones((4, 2)), verbose=0, return_dict=True)) == {"loss"}
    keras.saving.get_custom_objects().clear()


def test_parameters_come_from_the_card_beside_the_model(study: Path, tmp_path: Path) -> None:
    """As an export leaves it."""
    model = _trained(study, "lambda")
    write(model, tmp_path / "best.keras")
    (tmp_path / "best.json").write_text(json.dumps({"params": {"kind": "lambda"}}))
    loaded = load_model(tmp_path / "best.keras", study)
    np.testing.assert_array_equal(loaded.predict(np.ones((1, 2)), verbose=0), model.predict(np.ones((1, 2)), verbose=0))


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    """Without the study file a lambda is refused, and said so."""
    mark = tmp_path / "ran"
    source = f"lambda x: (open({str(mark)!r}, 'w').close(), x)[1]"
    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(eval(source), output_shape=(2,))])  # noqa: S307
    write(model, tmp_path / "best.keras")
    mark.unlink(missing_ok=True)
    with pytest.raises(ModelError, match="name the study file"):
        load_model(tmp_path / "best.keras")
    assert not mark.exists()


@pytest.mark.parametrize(
    "content", [pytest.param(b"PK\x03\x04 nonsense", id="a torn archive"), pytest.param(b"", id="empty")]
)
def test_a_file_that_is_no_model_is_refused(study: Path, tmp_path: Path, content: bytes) -> None:
    """In one line."""
    (tmp_path / "best.keras").write_bytes(content)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(tmp_path / "best.keras", study, {"kind": "plain"}, Computing())
