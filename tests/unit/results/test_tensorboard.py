"""The export for TensorBoard, as TensorBoard itself reads it."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
import types
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest

from tests.records import make_attempt, make_spec, make_study
from tuner_service.domain.outcome import Reason, State
from tuner_service.domain.study import Ending
from tuner_service.domain.trial import Trial
from tuner_service.errors import ArtifactError, StorageUnavailableError
from tuner_service.results.tensorboard.export import export_tensorboard
from tuner_service.results.tensorboard.follow import follow_tensorboard
from tuner_service.storage.artifacts import Artifacts, trial_folder
from tuner_service.storage.ledger_storage import LedgerStorage, Rows
from tuner_service.storage.live import LiveEpoch, LiveMetrics
from tuner_service.training.assignment import CURVE_FILE

_METRICS = ("accuracy", "loss", "val_accuracy", "val_loss")


def _trial(number: int, reason: Reason | None = Reason.FINISHED, **fields: Any) -> Trial:
    value = fields.pop("value", None if reason in (None, Reason.ERROR) else number / 100)
    state = State.RUNNING if reason is None else None
    attempt = make_attempt(
        number, 0, state, reason=reason, number=number, value=value, epoch=3, claimed_at=10.0,
        ended_at=None if reason is None else 50.0,
    )  # fmt: skip
    params = {"units": 16 + number, "rate": 0.1 / (number + 1), "kind": ["a", "b"][number % 2], "bias": number % 3 == 0}
    return Trial(attempt, **{"params": params, "started_at": 10.0, **fields})


def _export(folder: Path, trials: list[Trial], runs: int = 1, **spec: Any) -> Path:
    """Export trials, those that have a value with a curve for each run, and return the folder of the study."""
    study = dataclasses.replace(make_study(spec=make_spec(**spec)), artifacts=str(folder / "artifacts"))
    for one in trials:
        if one.attempt.value is not None:
            curve = {metric: [0.1, math.nan, one.attempt.value + place] for place, metric in enumerate(_METRICS)}
            text = json.dumps([curve] * runs)
            Artifacts(study.artifacts, study.name).put_text(text, f"{trial_folder(one.attempt.number)}/{CURVE_FILE}")
    storage = create_autospec(LedgerStorage, instance=True)
    storage.study.return_value = study
    storage.trials.return_value = trials
    assert export_tensorboard(storage, study.name, folder / "logs") == len(trials)
    return folder / "logs" / study.name


@pytest.fixture
def without_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have TensorBoard take its own small part of TensorFlow, as it does where this module is there."""
    monkeypatch.setitem(sys.modules, "tensorboard.compat.notf", types.ModuleType("notf"))


@pytest.fixture
def read(without_tensorflow: None) -> Any:
    """Provide what TensorBoard's HParams plugin answers to its page: the experiment, and its rows."""
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import api_pb2, backend_context, get_experiment, list_session_groups

    def look(folder: Path) -> tuple[Any, Any]:
        multiplexer = plugin_event_multiplexer.EventMultiplexer()
        multiplexer.AddRunsFromDirectory(str(folder))
        multiplexer.Reload()
        provider = data_provider.MultiplexerDataProvider(multiplexer, str(folder))
        context = backend_context.Context(base_plugin.TBContext(data_provider=provider))
        experiment = get_experiment.Handler(
            RequestContext(), context, "", api_pb2.GetExperimentRequest(experiment_name="")
        ).run()
        columns = [api_pb2.ColParams(hparam=info.name) for info in experiment.hparam_infos]
        columns += [api_pb2.ColParams(metric=info.name) for info in experiment.metric_infos]
        statuses = [api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING, api_pb2.STATUS_UNKNOWN]
        request = api_pb2.ListSessionGroupsRequest(
            experiment_name="", allowed_statuses=statuses, slice_size=100, col_params=columns
        )
        return experiment, list_session_groups.Handler(RequestContext(), context, "", request).run()

    return look


def test_all_rows_and_all_metrics_are_there(tmp_path: Path, read: Any) -> None:
    """Of 32 trials TensorBoard shows 32 rows, each with its parameters and the last value of each metric."""
    trials = [_trial(number) for number in range(32)]
    experiment, answer = read(_export(tmp_path, trials))
    assert {info.name for info in experiment.hparam_infos} == {"units", "rate", "kind", "bias"}
    goal, record = experiment.description.split("\n")
    assert (goal, json.loads(record)["code"]) == ("maximize val_accuracy", make_study().code.digest)
    assert [info.name.tag for info in experiment.metric_infos] == ["objective/val_accuracy", *_METRICS]
    assert answer.total_size == 32
    rows = {group.name: group for group in answer.session_groups}
    for one in trials:
        group = rows[f"trial-{one.attempt.number:05d}"]
        assert group.hparams["units"].number_value == one.params["units"]
        assert group.hparams["rate"].number_value == one.params["rate"]
        assert group.hparams["kind"].string_value == one.params["kind"]
        assert group.hparams["bias"].bool_value == one.params["bias"]
        values = {value.name.tag: (value.training_step, value.value) for value in group.metric_values}
        objective = one.attempt.value or 0.0
        assert values["objective/val_accuracy"] == (3, pytest.approx(objective))
        for place, metric in enumerate(_METRICS):
            assert values[metric] == (3, pytest.approx(objective + place, rel=1e-6))


def test_states_are_told(tmp_path: Path, read: Any) -> None:
    """A failed trial is a failed session, a pruned one a successful, of one that runs the end is unknown."""
    from tensorboard.plugins.hparams import api_pb2

    trials = [
        _trial(0),
        _trial(1, Reason.PRUNED),
        _trial(2, Reason.ERROR),
        _trial(3, None, reported={1: 0.5, 3: 0.6}),
    ]
    _, answer = read(_export(tmp_path, trials))
    found = {group.name[-1]: group.sessions[0].status for group in answer.session_groups}
    good, bad = api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE
    assert found == {"0": good, "1": good, "2": bad, "3": api_pb2.STATUS_UNKNOWN}
    (running,) = [group for group in answer.session_groups if group.name.endswith("3")]
    assert [(one.name.tag, one.training_step) for one in running.metric_values] == [("val_accuracy", 3)]


def test_runs_of_a_trial_are_sessions_of_a_row(tmp_path: Path, read: Any) -> None:
    """Three executions are one row, whose metrics are their mean."""
    _, answer = read(_export(tmp_path, [_trial(4)], runs=3, executions=3))
    (group,) = answer.session_groups
    assert len(group.sessions) == 3


def test_writing_again_replaces(tmp_path: Path, read: Any) -> None:
    """A second export of a study that went on has each row once."""
    _export(tmp_path, [_trial(0), _trial(1, None)])
    _, answer = read(_export(tmp_path, [_trial(0), _trial(1), _trial(2)]))
    assert answer.total_size == 3
    assert len(list((tmp_path / "logs").rglob("*"))) == len(set((tmp_path / "logs").rglob("*")))
    assert list((tmp_path / "logs").rglob("draft")) == []


class _Moments:
    """A study that goes on while nobody looks: a storage that shows one moment after the other."""

    def __init__(self, folder: Path, *moments: list[Trial] | Exception) -> None:
        self.study = dataclasses.replace(make_study(spec=make_spec()), artifacts=str(folder / "artifacts"))
        self._moments = list(moments)
        self.storage = create_autospec(LedgerStorage, instance=True)
        self.storage.study.return_value = self.study
        self.storage.look.side_effect = self._look
        self.storage.trials.side_effect = self._trials

    def go_on(self, _: float = 0.0) -> None:
        del self._moments[0]

    def _look(self, _: str) -> Rows:
        now = self._moments[0]
        if isinstance(now, Exception):
            self.go_on()
            raise now
        study = dataclasses.replace(self.study, ending=None if self._moments[1:] else Ending.FINISHED)
        return Rows(study, [one.attempt for one in now], [], 60.0)

    def _trials(self, _: int, *, numbers: list[int] | None = None, curves: bool = False) -> list[Trial]:
        now = self._moments[0]
        assert not isinstance(now, Exception)
        return [one for one in now if numbers is None or one.attempt.number in numbers]

    def keep_curve(self, number: int, curve: dict[str, list[float]]) -> None:
        Artifacts(self.study.artifacts, self.study.name).put_text(
            json.dumps([curve]), f"{trial_folder(number)}/{CURVE_FILE}"
        )


def _scalars(reader: Any) -> dict[str, list[tuple[int, float]]]:
    reader.Reload()
    return {
        tag: [(one.step, round(one.value, 3)) for one in reader.Scalars(tag)]
        for tag in sorted(reader.Tags()["scalars"])
    }


_WHOLE = {"loss": [0.9, 0.8, 0.7], "val_accuracy": [0.1, 0.2, 0.3]}
_ENDED = {
    "loss": [(1, 0.9), (2, 0.8), (3, 0.7)],
    "objective/val_accuracy": [(3, 0.0)],
    "val_accuracy": [(1, 0.1), (2, 0.2), (3, 0.3)],
}


def test_a_study_is_seen_while_it_runs(tmp_path: Path, read: Any) -> None:
    """An open TensorBoard sees what is reported, past an outage, in the end the whole curve in its place, and a row."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    away = StorageUnavailableError("gone for lunch")
    early, late = {1: 0.1}, {1: 0.1, 3: 0.3}
    study = _Moments(
        tmp_path, [_trial(0, None, reported=early)], away, away, [_trial(0, None, reported=late)], [_trial(0)]
    )
    study.keep_curve(0, _WHOLE)
    folder, seen = tmp_path / "logs" / study.study.name, []
    reader = EventAccumulator(str(folder / "trial-00000"))

    def pause(_: float) -> None:
        seen.append(_scalars(reader))
        study.go_on()

    assert follow_tensorboard(study.storage, study.study.name, tmp_path / "logs", pause=pause) == 1
    assert seen == [{"val_accuracy": [(1, 0.1)]}, {"val_accuracy": [(1, 0.1), (3, 0.3)]}]
    assert _scalars(reader) == _ENDED
    experiment, answer = read(folder)
    assert {info.name for info in experiment.hparam_infos} == {"units", "rate", "kind", "bias"}
    assert [group.name for group in answer.session_groups] == ["trial-00000"]


def test_curves_that_are_out_of_reach_are_waited_for(tmp_path: Path, without_tensorflow: None) -> None:
    """A bucket that does not answer once costs no curve; where it does not answer in the end, that is said."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    running, ended = _trial(1, None, reported={1: 0.1}), _trial(0)
    place = tmp_path / "artifacts" / "digits" / trial_folder(0) / CURVE_FILE
    for comes_back in (True, False):
        study = _Moments(tmp_path, [ended, running], [ended, _trial(1)])
        place.mkdir(parents=True)

        def pause(_: float, study: _Moments = study, comes_back: bool = comes_back) -> None:
            if comes_back:
                place.rmdir()
                study.keep_curve(0, _WHOLE)
            study.go_on()

        logs = tmp_path / f"logs-{comes_back}"
        if comes_back:
            assert follow_tensorboard(study.storage, study.study.name, logs, pause=pause) == 2
            assert _scalars(EventAccumulator(str(logs / study.study.name / "trial-00000"))) == _ENDED
            place.unlink()
        else:
            with pytest.raises(ArtifactError, match="cannot be read from"):
                follow_tensorboard(study.storage, study.study.name, logs, pause=pause)


def test_live_metrics_are_told_where_they_are(tmp_path: Path, without_tensorflow: None) -> None:
    """Of a trial that runs all metrics of all epochs; what the storage knows later than they do is not told again."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    live = create_autospec(LiveMetrics, instance=True)
    epochs = [LiveEpoch(0, epoch, 0, {"loss": 1.0 / epoch, "val_accuracy": epoch / 10}) for epoch in (1, 2)]
    entries = [(f"{1000 * epoch.epoch}-0", epoch) for epoch in epochs]
    live.read.side_effect = lambda _, after: [one for one in entries if int(one[0][:-2]) > int(after.split("-")[0])]
    study = _Moments(tmp_path, [_trial(0, None, reported={1: 0.1})], [_trial(0)])
    study.keep_curve(0, _WHOLE)
    reader, seen = EventAccumulator(str(tmp_path / "logs" / study.study.name / "trial-00000")), []

    def pause(_: float) -> None:
        seen.append(_scalars(reader))
        study.go_on()

    follow_tensorboard(study.storage, study.study.name, tmp_path / "logs", live=live, pause=pause)
    assert seen == [{"loss": [(1, 1.0), (2, 0.5)], "val_accuracy": [(1, 0.1), (2, 0.2)]}]
    assert _scalars(reader) == _ENDED


def test_following_that_was_interrupted_goes_on(tmp_path: Path, without_tensorflow: None) -> None:
    """Nothing is there twice: what has ended is left as it is, what runs is told anew, also behind a torn record."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    running, ended = _trial(1, None, reported={1: 0.4}), [_trial(0), _trial(1)]
    study = _Moments(tmp_path, [_trial(0), running], ended)
    for number in (0, 1):
        study.keep_curve(number, _WHOLE)
    folder = tmp_path / "logs" / study.study.name

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        follow_tensorboard(study.storage, study.study.name, tmp_path / "logs", pause=interrupt)
    (first,), (second,) = (list((folder / f"trial-0000{number}").iterdir()) for number in (0, 1))
    before = first.read_bytes()
    second.write_bytes(second.read_bytes() + before[:20])
    follow_tensorboard(study.storage, study.study.name, tmp_path / "logs", pause=study.go_on)
    once = {path: path.read_bytes() for path in folder.rglob("events*")}
    assert once[first] == before
    assert _scalars(EventAccumulator(str(second.parent)))["val_accuracy"] == _ENDED["val_accuracy"]
    follow_tensorboard(study.storage, study.study.name, tmp_path / "logs", pause=study.go_on)
    assert {path: path.read_bytes() for path in folder.rglob("events*")} == once


def test_what_another_study_of_the_name_left_is_replaced(tmp_path: Path, read: Any) -> None:
    """A trial of the same number that was claimed at another time is another trial."""
    for begin in (10.0, 20.0):
        study = _Moments(tmp_path, [_trial(0, started_at=begin, params={"units": int(begin)})])
        study.keep_curve(0, _WHOLE)
        follow_tensorboard(study.storage, study.study.name, tmp_path / "logs")
    _, answer = read(tmp_path / "logs" / study.study.name)
    assert [group.hparams["units"].number_value for group in answer.session_groups] == [20]


def test_tensorflow_is_not_loaded() -> None:
    """Writing needs TensorBoard's messages alone: a command does not wait for TensorFlow."""
    code = (
        "import sys\n"
        "from tests.unit.results.test_tensorboard import _export, _trial\n"
        "import pathlib, tempfile\n"
        "_export(pathlib.Path(tempfile.mkdtemp()), [_trial(0)])\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])
