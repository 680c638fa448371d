"""Following a study: on a terminal its view stays in place, elsewhere there is a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.live import Live

from tuner_service.cli.output import duration, out
from tuner_service.cli.view import one_line, view
from tuner_service.errors import StorageUnavailableError
from tuner_service.results.summary import Summary

#: Pause between two lines where there is no terminal, in seconds.
_LINE_EVERY_S = 5.0
#: Looking takes at most one part in so many of the time: large studies are looked at less often.
_SHARE = 5


def follow(look: Callable[[], Summary], ended: Callable[[Summary], bool], *, every_s: float = 1.0) -> Summary:
    """Show a study until it has ended, and return what was seen last.

    A storage that is away is waited for, and said to be.
    """
    looking = _Looking(look)
    summary = looking.again()
    if not out.is_terminal:
        return _print_lines(summary, looking, ended, every_s)
    with Live(view(summary, looking.storage), console=out, refresh_per_second=4) as shown:
        while not ended(summary):
            time.sleep(max(every_s, _SHARE * looking.took_s))
            summary = looking.again(lambda seen: shown.update(view(seen, looking.storage)))
            shown.update(view(summary, looking.storage))
    return summary


class _Looking:
    """Looks at a study, and knows how its storage is."""

    def __init__(self, look: Callable[[], Summary]) -> None:
        self._look = look
        self._seen: Summary | None = None
        self._away_since: float | None = None
        self.took_s = 0.0

    @property
    def storage(self) -> str:
        """How the storage is, as markup."""
        if self._away_since is not None:
            return f"[bold red]storage away for {duration(time.monotonic() - self._away_since)}[/]"
        return f"[dim]storage answers in {self.took_s * 1000:.0f} ms[/]"

    def again(self, away: Callable[[Summary], None] = lambda _: None) -> Summary:
        """Return what is seen now; while the storage is away, call ``away`` with what was seen last, and wait."""
        while True:
            began = time.monotonic()
            try:
                self._seen = self._look()
            except StorageUnavailableError:
                # Whoever has not seen anything yet is told what is wrong.
                if self._seen is None:
                    raise
                self._away_since = self._away_since or began
                away(self._seen)
                time.sleep(1.0)
                continue
            self.took_s, self._away_since = time.monotonic() - began, None
            return self._seen


def _print_lines(summary: Summary, looking: _Looking, ended: Callable[[Summary], bool], every_s: float) -> Summary:
    printed, last = "", 0.0

    def away(seen: Summary) -> None:
        nonlocal printed
        line = f"{seen.study.name}: the storage does not answer, and is waited for"
        if line != printed:
            out.print(line, markup=False)
            printed = line

    while True:
        line = one_line(summary)
        now = time.monotonic()
        if ended(summary) or (line != printed and now - last >= _LINE_EVERY_S):
            out.print(line, markup=False)
            printed, last = line, now
        if ended(summary):
            return summary
        time.sleep(max(every_s, _SHARE * looking.took_s))
        summary = looking.again(away)
