"""The contract of ``Artifacts``, in a folder and in a bucket of a real S3 server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.records import make_attempt
from tests.servers import free_port
from tuner_service.errors import ArtifactError
from tuner_service.storage.artifacts import Artifacts, trial_folder
from tuner_service.training.assignment import checkpoint_file
from tuner_service.training.checkpoint import Checkpoint
from tuner_service.worker.trial_files import TrialFiles


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Provide an empty place for artifacts, of each kind in turn."""
    if request.param == "folder":
        return str(tmp_path / "artifacts")
    return f"{request.getfixturevalue('s3_url')}/some/where"


@pytest.fixture
def artifacts(url: str) -> Artifacts:
    """Provide a study's files."""
    return Artifacts(url, "digits")


class TestFiles:
    """What is put is there, whole, and what is not is told."""

    def test_what_is_put_is_read_back(self, artifacts: Artifacts, tmp_path: Path) -> None:
        """As a file and as text; put again it is replaced."""
        (tmp_path / "model").write_bytes(bytes(range(256)))
        artifacts.put(tmp_path / "model", "trials/00001/model.keras")
        artifacts.get("trials/00001/model.keras", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == bytes(range(256))
        for text in ('{"loss": [0.5]}', '{"loss": [0.5, 0.25], "é": []}'):
            artifacts.put_text(text, "trials/00001/curve.json")
            assert artifacts.read_text("trials/00001/curve.json") == text
        assert artifacts.read_json("trials/00001/curve.json") == {"loss": [0.5, 0.25], "é": []}

    def test_names_are_of_the_folder_alone(self, artifacts: Artifacts) -> None:
        """Sorted; a folder in it is named too, another study's files are not; where nothing is there is nothing."""
        for name in ("trials/00001/b", "trials/00001/a", "trials/00010/c", "trials/00001/below/d"):
            artifacts.put_text("x", name)
        Artifacts(artifacts.url, "digits-2").put_text("x", "trials/00001/e")
        assert artifacts.names("trials/00001") == ["a", "b", "below"]
        assert artifacts.names("trials") == ["00001", "00010"]
        assert artifacts.names("trials/00002") == []

    def test_what_another_process_has_put_is_seen(self, artifacts: Artifacts, url: str) -> None:
        """A listing is never one of before: the next worker looks for checkpoints that this one has written."""
        artifacts.put_text("x", "trials/00001/a")
        assert artifacts.names("trials/00001") == ["a"]
        assert not artifacts.exists("trials/00001/b")
        code = "import sys; from tuner_service.storage.artifacts import Artifacts as A; A(sys.argv[1], 'digits')."
        for act in ("put_text('x', 'trials/00001/b')", "remove('trials/00001/a')"):
            subprocess.run([sys.executable, "-c", code + act, url], check=True, timeout=60)
        assert artifacts.names("trials/00001") == ["b"]
        assert artifacts.exists("trials/00001/b")
        assert not artifacts.exists("trials/00001/a")

    def test_drafts_are_no_names(self, artifacts: Artifacts) -> None:
        """What a writer that died has left is told apart, and can be removed."""
        artifacts.put_text("x", "trials/00001/curve.json")
        assert artifacts.drafts("trials/00001") == []
        artifacts.put_text("x", "trials/00001/curve.json.0123.draft")
        assert artifacts.names("trials/00001") == ["curve.json"]
        assert artifacts.drafts("trials/00001") == ["curve.json.0123.draft"]

    def test_removing_is_safe_to_repeat(self, artifacts: Artifacts) -> None:
        """One file, or all of the study and no other's."""
        other = Artifacts(artifacts.url, "other")
        for one in (artifacts, other):
            one.put_text("x", "trials/00001/a")
            one.put_text("x", "trials/00001/b")
        for _ in range(2):
            artifacts.remove("trials/00001/a")
            assert artifacts.names("trials/00001") == ["b"]
        for _ in range(2):
            artifacts.remove_all()
            assert artifacts.names("trials") == []
        assert other.names("trials/00001") == ["a", "b"]

    def test_a_missing_file_is_told(self, artifacts: Artifacts, tmp_path: Path) -> None:
        """By its name and its place, and nothing is left here."""
        artifacts.put_text("x", "trials/00001/a")
        with pytest.raises(ArtifactError, match=r"trials/00001/b cannot be read from .*"):
            artifacts.read_text("trials/00001/b")
        with pytest.raises(ArtifactError, match=r"trials/00001/b cannot be read from .*"):
            artifacts.get("trials/00001/b", tmp_path / "copy")
        with pytest.raises(ArtifactError, match=r"c cannot be written to .*"):
            artifacts.put(tmp_path / "nothing", "c")

    def test_the_probe_tells_the_same_place(self, artifacts: Artifacts) -> None:
        """Its content is the study's."""
        with pytest.raises(ArtifactError, match="give every worker the same folder or bucket"):
            artifacts.check_probe("one")
        artifacts.leave_probe("one")
        artifacts.check_probe("one")
        with pytest.raises(ArtifactError, match="give every worker the same folder or bucket"):
            artifacts.check_probe("another")


class TestTrouble:
    """A place that cannot be used is told in this service's words, whatever its client raises."""

    def _assert_told(self, artifacts: Artifacts, reason: str) -> None:
        for call in (
            lambda: artifacts.put_text("x", "probe.txt"),
            lambda: artifacts.read_text("probe.txt"),
            lambda: artifacts.get("probe.txt", Path("nowhere")),
        ):
            with pytest.raises(ArtifactError, match=reason):
                call()

    def test_a_missing_bucket_is_told_and_not_made(self, s3_url: str) -> None:
        """A misspelt name must not become a bucket."""
        for _ in range(2):
            self._assert_told(Artifacts("s3://misspelt/path", "digits"), "bucket does not exist|NoSuchBucket")
            assert Artifacts("s3://misspelt/path", "digits").names("trials") == []

    def test_missing_credentials_are_told(self, s3_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Also by those methods that ask whether something is there."""
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(tmp_path))
        artifacts = Artifacts(s3_url, "digits")
        self._assert_told(artifacts, "credentials")
        for call in (
            lambda: artifacts.names("trials"),
            lambda: artifacts.exists("probe.txt"),
            lambda: artifacts.check_probe("x"),
            lambda: artifacts.remove("probe.txt"),
            artifacts.remove_all,
        ):
            with pytest.raises(ArtifactError, match="credentials"):
                call()

    def test_a_server_that_is_away_is_told(self, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """In a bounded time."""
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
        with pytest.raises(ArtifactError, match="Could not connect"):
            Artifacts(s3_url, "digits").put_text("x", "probe.txt")

    def test_a_missing_package_is_told_with_what_brings_it(self) -> None:
        """As one types it."""
        code = "import sys; sys.modules['s3fs'] = None; from tuner_service.storage.artifacts import Artifacts as A; "
        command = [sys.executable, "-c", code + "A('s3://bucket/path', 'digits')"]
        said = subprocess.run(command, check=False, timeout=60, capture_output=True, text=True).stderr
        assert said.strip().splitlines()[-1].startswith("tuner_service.errors.ArtifactError: ")
        assert "pip install '.[s3]'" in said

    def test_an_unknown_scheme_is_told(self) -> None:
        """With what fsspec says."""
        with pytest.raises(ArtifactError, match="Protocol not known: s4"):
            Artifacts("s4://bucket/path", "digits")

    @pytest.mark.parametrize("url", ["s3://key:c4n4ry@bucket/path", "ftp://u:p/c4n4ry@h/path"])
    def test_a_password_in_the_url_is_refused_and_not_repeated(self, url: str) -> None:
        """It would be recorded with the study, and printed."""
        with pytest.raises(ArtifactError, match="holds a password") as told:
            Artifacts(url, "digits")
        assert "c4n4ry" not in str(told.value)


def test_a_checkpoint_goes_from_one_worker_to_the_next(url: str, tmp_path: Path) -> None:
    """Saved by one attempt, whole for the next one, and forgotten once the configuration is settled."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    weights = np.arange(12, dtype="float32").reshape(3, 4)
    earlier = TrialFiles(Artifacts(url, "digits"), 0, first)
    assert TrialFiles(Artifacts(url, "digits"), 1, second).fetch_checkpoints([make_attempt(0, 0, number=0)]) == []
    for epoch in (5, 6):
        saved = Checkpoint(epoch, {"loss": [0.5] * epoch}, 1, best_weights=[weights], variables=[weights])
        saved.save(first / checkpoint_file(epoch))
        assert earlier.keep_checkpoint(checkpoint_file(epoch))
    later = TrialFiles(Artifacts(url, "digits"), 1, second)
    assert later.fetch_checkpoints([make_attempt(0, 0, number=0)]) == [checkpoint_file(6)]
    found = Checkpoint.load(second / checkpoint_file(6))
    assert found is not None
    assert found.epoch == 6
    assert np.array_equal(found.variables[0], weights)
    later.forget_checkpoints([make_attempt(0, 0, number=0)])
    assert Artifacts(url, "digits").names(trial_folder(0)) == []
