"""Writing a report: a folder with the page, the document and the pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tuner_service.errors import SpecError
from tuner_service.results.report.content import Content, read_content
from tuner_service.results.report.document import document
from tuner_service.results.report.page import page
from tuner_service.results.report.pictures import draw_pictures
from tuner_service.storage.ledger_storage import LedgerStorage

PAGE, DOCUMENT = "report.html", "report.json"


@dataclass(frozen=True)
class WrittenReport:
    """A report that was written."""

    folder: Path
    pictures: list[Path]
    content: Content

    @property
    def page(self) -> Path:
        """The page of HTML."""
        return self.folder / PAGE


def write_report(storage: LedgerStorage, name: str, folder: Path) -> WrittenReport:
    """Write the report of a study into a folder, which is made where it is missing.

    Raises:
        StudyNotFoundError: If there is no such study.
        SpecError: If the folder cannot be written to.
    """
    content = read_content(storage, name)
    made = page(content)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / PAGE, made)
        _write(folder / DOCUMENT, json.dumps(document(content), indent=2, allow_nan=False) + "\n")
        pictures = draw_pictures(content, folder)
    except OSError as error:
        raise SpecError(f"the report cannot be written to {folder}: {error.strerror or error}") from None
    return WrittenReport(folder, pictures, content)


def _write(path: Path, text: str) -> None:
    # Somebody may look at the one that was there before.
    draft = path.with_name(path.name + ".draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
