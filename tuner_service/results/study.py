"""A study as Python looks at it, in a notebook for instance."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tuner_service.domain.study import StudyRecord
from tuner_service.domain.trial import Trial
from tuner_service.results import trials as reading
from tuner_service.results.dataframe import dataframe
from tuner_service.results.summary import Summary, summarize
from tuner_service.results.trials import Curve
from tuner_service.storage.ledger_storage import LedgerStorage

if TYPE_CHECKING:
    import pandas as pd

    from tuner_service.results.report.content import Content


class Picture:
    """A figure that a notebook shows."""

    def __init__(self, png: bytes) -> None:
        self.png = png

    def _repr_png_(self) -> bytes:
        return self.png


class Study:
    """A study of a storage; everything is read anew when it is asked for, so a running one can be followed.

    Args:
        storage: The ledger's storage.
        name: The study.

    Raises:
        StudyNotFoundError: If there is none of that name.
    """

    def __init__(self, storage: LedgerStorage, name: str) -> None:
        self._storage = storage
        self.name = name
        storage.study(name)

    @property
    def record(self) -> StudyRecord:
        """What is recorded of it beside its trials: specification, code, versions."""
        return self._storage.study(self.name)

    @property
    def summary(self) -> Summary:
        """Where it stands, in numbers."""
        return summarize(self._storage, self.name)

    @property
    def trials(self) -> list[Trial]:
        """Its trials by number, without those that wait."""
        return reading.trials(self._storage, self.name)

    @property
    def front(self) -> list[Trial]:
        """The best trial; of several objectives, those that no other dominates. Empty while none is complete."""
        by_number = {one.attempt.number: one for one in self.trials}
        return [by_number[one.number] for one in self.summary.front]

    @property
    def best(self) -> Trial | None:
        """The best trial by the first objective, if one is complete."""
        return next(iter(self.front), None)

    def curves(self, number: int) -> list[Curve]:
        """Return every metric of every epoch of a trial, run by run."""
        return reading.curves(self.record, number)

    def dataframe(self) -> pd.DataFrame:
        """Return a row a trial; needs pandas."""
        return dataframe(self.record, self.trials)

    def importances(self) -> Mapping[str, float]:
        """Return how much each parameter tells the best trials from the others, by the first objective (PED-ANOVA)."""
        content = self._content()
        return content.importances[0].among_best if content.importances else {}

    def plot(self, figure: str) -> Picture:
        """Return a figure of the report: history, front, importance, parallel, slices, contours, curves or timeline.

        Raises:
            NotInStudyError: If there is no such figure, or nothing to show in it yet.
        """
        from tuner_service.results.report.pictures import picture

        return Picture(picture(self._content(), figure))

    def report(self, folder: Path | str) -> Path:
        """Write its report into a folder, and return the page."""
        from tuner_service.results.report.writing import write_report

        return write_report(self._storage, self.name, Path(folder)).page

    def _content(self) -> Content:
        from tuner_service.results.report.content import read_content

        return read_content(self._storage, self.name)

    def __repr__(self) -> str:
        summary = self.summary
        return f"<Study {self.name}: {summary.state}, {summary.settled} of {summary.study.budget} trials settled>"

    def _repr_html_(self) -> str:
        summary, best = self.summary, self.best
        rows = [
            ("state", summary.state),
            ("trials", f"{summary.settled} of {summary.study.budget} settled: {summary.complete} complete, "
                       f"{summary.pruned} pruned, {summary.failed} failed"),
            ("epochs", f"{summary.epochs_trained} trained, {summary.epochs_saved} saved by pruning"),
        ]  # fmt: skip
        picture = ""
        if best is not None:
            values = zip(summary.study.spec.metrics, best.attempt.values, strict=True)
            rows.append(("best", ", ".join(f"{metric} {value:.5g}" for metric, value in values)))
            rows += [("", f"{name} = {value}") for name, value in best.params.items()]
            png = base64.b64encode(self.plot("history").png).decode()
            picture = f'<img alt="optimization history" style="max-width:640px" src="data:image/png;base64,{png}">'
        cells = "".join(
            f'<tr><td style="text-align:left;opacity:.7">{html.escape(name)}</td>'
            f'<td style="text-align:left">{html.escape(value)}</td></tr>'
            for name, value in rows
        )
        return f"<h4>{html.escape(self.name)}</h4><table>{cells}</table>{picture}"
