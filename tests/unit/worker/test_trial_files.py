"""The files of a trial, on their way between a child's folder and the study's artifacts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.records import make_attempt
from tuner_service.domain.attempt import Attempt
from tuner_service.domain.outcome import Failure, Outcome, Reason
from tuner_service.errors import ArtifactError
from tuner_service.storage.artifacts import Artifacts, trial_folder
from tuner_service.training.assignment import CURVE_FILE, EVALUATION_FILE, LOG_FILE, MODEL_FILE, checkpoint_file
from tuner_service.worker.trial_files import TrialFiles

_FIRST, _SECOND, _NOW = (trial_folder(number) for number in (0, 1, 2))
_EARLIER = [make_attempt(0, 1, number=1), make_attempt(0, 0, number=0)]


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """Provide a study's folder."""
    return Artifacts(str(tmp_path / "artifacts"), "digits")


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Provide the child's folder."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def files(artifacts: Artifacts, scratch: Path) -> TrialFiles:
    """Provide the files of trial 2."""
    return TrialFiles(artifacts, 2, scratch)


def _write(scratch: Path, *names: str) -> None:
    for name in names:
        (scratch / name).write_text(name)


class TestCheckpoints:
    """States to go on from."""

    def test_the_last_one_is_kept(self, files: TrialFiles, artifacts: Artifacts, scratch: Path) -> None:
        """Under its own name; the one before it is removed once it is stored, and none stays in the scratch folder."""
        for epoch in (1, 2, 10):
            _write(scratch, checkpoint_file(epoch))
            assert files.keep_checkpoint(checkpoint_file(epoch))
            assert artifacts.names(_NOW) == [checkpoint_file(epoch)]
        assert artifacts.read_text(f"{_NOW}/{checkpoint_file(10)}") == checkpoint_file(10)
        assert list(scratch.iterdir()) == []

    def test_one_that_cannot_be_stored_leaves_the_one_before(
        self, files: TrialFiles, artifacts: Artifacts, scratch: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A full disk costs the newest state, not all of it; nor does it fill the worker's own."""
        _write(scratch, checkpoint_file(1), checkpoint_file(2))
        assert files.keep_checkpoint(checkpoint_file(1))

        def full(*_: object) -> None:
            raise ArtifactError("no space")

        monkeypatch.setattr(artifacts, "put", full)
        assert not files.keep_checkpoint(checkpoint_file(2))
        assert artifacts.names(_NOW) == [checkpoint_file(1)]
        assert list(scratch.iterdir()) == []

    def test_the_newest_of_earlier_attempts_come_first(
        self, files: TrialFiles, artifacts: Artifacts, scratch: Path
    ) -> None:
        """By their epochs, whichever attempt saved them; the newest and one more."""
        for folder, epoch in ((_FIRST, 9), (_SECOND, 4), (_SECOND, 12), (trial_folder(5), 99)):
            artifacts.put_text(f"{folder} {epoch}", f"{folder}/{checkpoint_file(epoch)}")
        artifacts.put_text("{}", f"{_SECOND}/{CURVE_FILE}")
        assert files.fetch_checkpoints(_EARLIER) == [checkpoint_file(12), checkpoint_file(9)]
        assert (scratch / checkpoint_file(9)).read_text() == f"{_FIRST} 9"
        assert sorted(one.name for one in scratch.iterdir()) == [checkpoint_file(9), checkpoint_file(12)]

    @pytest.mark.parametrize("earlier", [[], _EARLIER], ids=["a first attempt", "attempts that saved nothing"])
    def test_where_there_is_none_there_is_none(self, files: TrialFiles, earlier: list[Attempt]) -> None:
        """The trial begins anew."""
        assert files.fetch_checkpoints(earlier) == []

    def test_one_that_cannot_be_fetched_is_passed_over(
        self, files: TrialFiles, artifacts: Artifacts, scratch: Path
    ) -> None:
        """A torn store costs epochs, no trial."""
        artifacts.put_text("whole", f"{_FIRST}/{checkpoint_file(3)}")
        folder = Path(artifacts.url) / "digits" / _SECOND
        folder.mkdir()
        (folder / checkpoint_file(8)).symlink_to("nowhere")
        assert files.fetch_checkpoints(_EARLIER) == [checkpoint_file(3)]

    def test_those_of_a_settled_configuration_are_forgotten(
        self, files: TrialFiles, artifacts: Artifacts, scratch: Path
    ) -> None:
        """Its own and those of earlier attempts; curves stay, and other trials keep theirs."""
        for folder in (_FIRST, _SECOND, _NOW, trial_folder(5)):
            artifacts.put_text("x", f"{folder}/{checkpoint_file(3)}")
            artifacts.put_text("{}", f"{folder}/{CURVE_FILE}")
        files.forget_checkpoints(_EARLIER)
        assert [artifacts.names(one) for one in (_FIRST, _SECOND, _NOW)] == [[CURVE_FILE]] * 3
        assert checkpoint_file(3) in artifacts.names(trial_folder(5))


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [
        pytest.param(
            Outcome(Reason.FINISHED, 0.5), [CURVE_FILE, EVALUATION_FILE, MODEL_FILE], id="finished: curve and model"
        ),
        pytest.param(Outcome(Reason.PRUNED, 0.5), [CURVE_FILE], id="pruned: the curve"),
        pytest.param(
            Outcome(Reason.ERROR, failure=Failure("E", "no")), [CURVE_FILE, LOG_FILE], id="failed: curve and log"
        ),
    ],
)
def test_what_belongs_to_an_outcome_is_kept(
    files: TrialFiles, artifacts: Artifacts, scratch: Path, outcome: Outcome, kept: list[str]
) -> None:
    """And nothing else of what the child has left."""
    _write(scratch, CURVE_FILE, MODEL_FILE, EVALUATION_FILE, LOG_FILE, "notes.txt")
    files.keep(outcome)
    assert artifacts.names(_NOW) == kept


def test_empty_and_missing_files_are_not_kept(files: TrialFiles, artifacts: Artifacts, scratch: Path) -> None:
    """A child that printed nothing has no log."""
    (scratch / LOG_FILE).touch()
    files.keep(Outcome(Reason.ERROR, failure=Failure("E", "no")))
    assert artifacts.names(_NOW) == []


def test_a_store_that_takes_nothing_costs_no_trial(tmp_path: Path, scratch: Path) -> None:
    """Every operation goes on: the value is worth more than the files."""
    (tmp_path / "artifacts").write_text("a file where the folder should be")
    broken = TrialFiles(Artifacts(str(tmp_path / "artifacts"), "digits"), 2, scratch)
    _write(scratch, CURVE_FILE, checkpoint_file(1))
    broken.keep(Outcome(Reason.FINISHED, 0.5))
    assert not broken.keep_checkpoint(checkpoint_file(1))
    assert broken.fetch_checkpoints(_EARLIER) == []
    broken.forget_checkpoints(_EARLIER)
