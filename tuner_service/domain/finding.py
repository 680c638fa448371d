"""What looking at a study before it starts has found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a finding matters, the worst first."""

    ERROR = "error"  #: trials would fail, or their values would mean nothing
    WARNING = "warning"  #: it runs, and probably not as it was meant
    HINT = "hint"  #: it may be meant so


@dataclass(frozen=True)
class Finding:
    """One thing that was found."""

    level: Level
    rule: str  #: what was looked for, in a few words with hyphens; the same in later versions
    message: str  #: what is wrong, what was received, and what to do
    line: int | None = None  #: of the study file, from 1, where it is known


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings by their lines, each once: a network is built several times."""
    return sorted(dict.fromkeys(findings), key=lambda one: (one.line or 0, list(Level).index(one.level)))
