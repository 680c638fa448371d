"""Files of trials: curves, models and logs, in a folder or wherever fsspec can write."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import fsspec.core

from tuner_service.errors import ArtifactError

_PROBE = "probe.txt"


class Artifacts:
    """The files of one study, below ``URL/NAME``; a name is whole or not there at all.

    Args:
        url: A folder, or an URL that fsspec knows, such as ``s3://bucket/path``.
        study: Name of the study.
    """

    def __init__(self, url: str, study: str) -> None:
        self.url = url
        self._fs, root = fsspec.core.url_to_fs(url)
        self._root = f"{root.rstrip('/')}/{study}"

    @property
    def local_folder(self) -> Path | None:
        """The folder of the study, where it is one on this machine."""
        return Path(self._root) if "file" in _protocols(self._fs) else None

    def put(self, local: Path, name: str) -> None:
        """Copy a local file to a name."""
        self._write(name, lambda target: self._fs.put_file(str(local), target))

    def put_text(self, text: str, name: str) -> None:
        """Write a text to a name."""
        self._write(name, lambda target: self._fs.pipe_file(target, text.encode()))

    def get(self, name: str, local: Path) -> None:
        """Copy a file here."""
        self._read(name, lambda source: self._fs.get_file(source, str(local)))

    def read_text(self, name: str) -> str:
        """Return a file's text."""
        content: bytes = self._read(name, self._fs.cat_file)
        return content.decode()

    def read_json(self, name: str) -> Any:  # noqa: ANN401 - whatever the file holds
        """Return what a JSON file holds."""
        return json.loads(self.read_text(name))

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder of the study, without those that are being written."""
        try:
            found = self._fs.ls(f"{self._root}/{folder}", detail=False)
        except OSError:
            return []
        names = [str(path).rsplit("/", 1)[-1] for path in found]
        return sorted(name for name in names if not name.endswith(".draft"))

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone is no error."""
        try:
            self._fs.rm_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return
        except OSError as error:
            raise ArtifactError(f"{name} cannot be removed from {self.url}: {error.strerror or error}") from None

    def exists(self, name: str) -> bool:
        """Return whether a file is there."""
        return bool(self._fs.exists(f"{self._root}/{name}"))

    def remove_all(self) -> None:
        """Remove every file of the study."""
        if self._fs.exists(self._root):
            self._fs.rm(self._root, recursive=True)

    def leave_probe(self, content: str) -> None:
        """Leave a file by which workers know that they see the same place."""
        self.put_text(content, _PROBE)

    def check_probe(self, content: str) -> None:
        """Raise ``ArtifactError`` unless the study's probe file is here."""
        try:
            found = self.read_text(_PROBE)
        except ArtifactError:
            found = ""
        if found != content:
            raise ArtifactError(
                f"the study keeps its curves and models in {self.url}, but what lies there for this process is not "
                "what the study was created with; give every worker the same folder or bucket"
            )

    def _write(self, name: str, write: Any) -> None:  # noqa: ANN401 - a function of a path
        target = f"{self._root}/{name}"
        # On a file system the name appears when the file is whole; an object store does that by itself.
        draft = f"{target}.{uuid.uuid4().hex}.draft"
        try:
            self._fs.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
            write(draft)
            self._fs.mv(draft, target)
        except OSError as error:
            raise ArtifactError(f"{name} cannot be written to {self.url}: {error.strerror or error}") from None

    def _read(self, name: str, read: Any) -> Any:  # noqa: ANN401
        try:
            return read(f"{self._root}/{name}")
        except OSError as error:
            raise ArtifactError(f"{name} cannot be read from {self.url}: {error.strerror or error}") from None


def trial_folder(number: int) -> str:
    """Return the folder of an attempt's files: trial numbers are never given twice."""
    return f"trials/{number:05d}"


def _protocols(fs: Any) -> tuple[str, ...]:  # noqa: ANN401 - fsspec has no types
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
