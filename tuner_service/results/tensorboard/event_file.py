"""The event file of a run: a row of records, which TensorBoard goes on reading while more are appended."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NAME = "events.out.tfevents.0.tuner-service"
#: A record is its length, a checksum of that, the event, and a checksum of the event.
_LENGTH, _CHECKSUM = 8, 4


@dataclass(frozen=True)
class Held:
    """What a file holds."""

    size: int = 0  #: of the whole records, in bytes; what comes after was cut off while it was written
    begin: float | None = None  #: when the trial was claimed that it says it is of
    is_whole: bool = False  #: it says how the trial ended, after which nothing is appended


class EventFile:
    """The one event file in a folder.

    Args:
        folder: Made where it is missing, once something is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / _NAME

    def replace(self, events: Iterable[Any]) -> None:
        """Write a file of these events, and put it in the place of what is there."""
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / "draft"
        draft.write_bytes(_records([_version(), *events]))
        draft.replace(self.path)

    def append(self, events: Iterable[Any]) -> None:
        """Add events to what is there."""
        self._folder.mkdir(parents=True, exist_ok=True)
        begins = [] if self.path.exists() else [_version()]
        with self.path.open("ab") as file:
            file.write(_records([*begins, *events]))

    def cut_to(self, size: int) -> None:
        """Remove what was cut off in the middle of a record, on which TensorBoard would stop reading."""
        if self.path.exists() and self.path.stat().st_size > size:
            with self.path.open("r+b") as file:
                file.truncate(size)

    def held(self) -> Held:
        """Return what it holds; nothing where it is not there."""
        from tensorboard.compat.proto import event_pb2
        from tensorboard.plugins.hparams import metadata

        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return Held()
        place, begin, is_whole = 0, None, False
        while place + _LENGTH + _CHECKSUM <= len(content):
            first = place + _LENGTH + _CHECKSUM
            last = first + int.from_bytes(content[place : place + _LENGTH], "little")
            if last + _CHECKSUM > len(content):
                break
            for value in event_pb2.Event.FromString(content[first:last]).summary.value:
                if value.tag == metadata.SESSION_START_INFO_TAG:
                    begin = metadata.parse_session_start_info_plugin_data(
                        value.metadata.plugin_data.content
                    ).start_time_secs
                elif value.tag == metadata.SESSION_END_INFO_TAG:
                    is_whole = True
            place = last + _CHECKSUM
        return Held(place, begin, is_whole)


def _records(events: Iterable[Any]) -> bytes:
    from tensorboard.summary.writer.record_writer import RecordWriter

    content = io.BytesIO()
    writer = RecordWriter(content)
    for event in events:
        writer.write(event.SerializeToString())
    return content.getvalue()


def _version() -> Any:  # noqa: ANN401 - a message
    from tensorboard.compat.proto import event_pb2

    return event_pb2.Event(file_version="brain.Event:2")
