"""Files of trials: curves, models and logs, in a folder or wherever fsspec can write."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import fsspec.core

from tuner_service.errors import ArtifactError, how_to_install
from tuner_service.storage.secret import holds_secret

T = TypeVar("T")

_PROBE = "probe.txt"
_DRAFT = ".draft"
#: Which extra of this package brings the client of a store.
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}


class Artifacts:
    """The files of one study, below ``URL/NAME``; a name is whole or not there at all.

    Every method raises ``ArtifactError`` where the place cannot be used.

    Args:
        url: A folder, or a URL that fsspec knows, such as ``s3://bucket/path``.
        study: Name of the study.
    """

    def __init__(self, url: str, study: str) -> None:
        self.url = url
        self._fs, root = _open(url)
        self._root = f"{root.rstrip('/')}/{study}"
        # fsspec's asynchronous file systems are the object stores: what is put there appears when it is whole, a move
        # is a copy, and to make a folder makes the bucket, also of a misspelt name.
        self._is_object_store = bool(self._fs.async_impl)
        # A listing is of now: other processes write here too.
        self._fs.dircache.use_listings_cache = False

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
        return [name for name in self._listed(folder) if not name.endswith(_DRAFT)]

    def drafts(self, folder: str) -> list[str]:
        """Return the names of files there that are being written, or whose writer has died."""
        return [name for name in self._listed(folder) if name.endswith(_DRAFT)]

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone is no error."""
        with self._told(f"{name} cannot be removed from"):
            try:
                self._fs.rm_file(f"{self._root}/{name}")
            except FileNotFoundError:
                return

    def exists(self, name: str) -> bool:
        """Return whether a file is there."""
        return bool(self._read(name, self._fs.exists))

    def remove_all(self) -> None:
        """Remove every file of the study."""
        with self._told("the study's files cannot be removed from"):
            if self._fs.exists(self._root):
                self._fs.rm(self._root, recursive=True)

    def leave_probe(self, content: str) -> None:
        """Leave a file by which workers know that they see the same place."""
        self.put_text(content, _PROBE)

    def check_probe(self, content: str) -> None:
        """Raise ``ArtifactError`` unless the study's probe file is here."""
        if not self.exists(_PROBE) or self.read_text(_PROBE) != content:
            raise ArtifactError(
                f"the study keeps its curves and models in {self.url}, but what lies there for this process is not "
                "what the study was created with; give every worker the same folder or bucket"
            )

    def _listed(self, folder: str) -> list[str]:
        with self._told(f"{folder} cannot be listed in"):
            try:
                found = self._fs.ls(f"{self._root}/{folder}", detail=False)
            except FileNotFoundError:
                return []
        return sorted(str(path).rsplit("/", 1)[-1] for path in found)

    def _write(self, name: str, write: Callable[[str], object]) -> None:
        target = f"{self._root}/{name}"
        with self._told(f"{name} cannot be written to"):
            if self._is_object_store:
                write(target)
                return
            # On a file system the name appears when the file is whole.
            draft = f"{target}.{uuid.uuid4().hex}{_DRAFT}"
            self._fs.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
            write(draft)
            self._fs.mv(draft, target)

    def _read(self, name: str, read: Callable[[str], T]) -> T:
        with self._told(f"{name} cannot be read from"):
            return read(f"{self._root}/{name}")

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        # Each store's client has errors of its own beside OSError: botocore's say that there are no credentials.
        except Exception as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise ArtifactError(f"{what} {self.url}: {reason or type(error).__name__}") from error


def _open(url: str) -> tuple[Any, str]:
    """Return fsspec's file system of a URL, and the path in it."""
    if holds_secret(url):
        # The URL is recorded with the study, and printed; it is not repeated here.
        raise ArtifactError(
            "the URL of the artifacts holds a password, which would be recorded with the study; leave it out, and give "
            "it as the store's own client reads it, such as in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    scheme = url.partition("://")[0]
    try:
        fs, root = fsspec.core.url_to_fs(url)
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        todo = how_to_install(extra) if extra else str(error)
        raise ArtifactError(f"artifacts in {url} need a package that is not installed: {todo}") from None
    except ValueError as error:
        raise ArtifactError(f"artifacts cannot be kept in {url}: {error}") from None
    return fs, str(root)


def trial_folder(number: int) -> str:
    """Return the folder of an attempt's files: trial numbers are never given twice."""
    return f"trials/{number:05d}"


def code_file(digest: str) -> str:
    """Return the name of the file that holds the text of a study's code, as JSON: text by path."""
    return f"code/{digest}.json"
