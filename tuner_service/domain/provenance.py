"""Where a study comes from: what its results depend on beside the specification and the code."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tuner_service.domain.revision import meaning
from tuner_service.domain.spec import StudySpec

#: A user's name and password before a host, and settings whose value is a secret.
_USER = re.compile(r"(://)[^/@\s]*@")
_SETTING = re.compile(r"(?i)((?:password|passwd|secret|token|api_?key)[\w.-]*[=:]\s*)[^\s&,'\"}]+")


@dataclass(frozen=True)
class Provenance:
    """What was there when a study was created, as far as it can be told."""

    platform: str = ""  #: operating system, processor's architecture and C library
    host: str = ""
    packages: Mapping[str, str] = field(
        default_factory=dict
    )  #: versions of those that its code had loaded, and of Python
    precision: str | None = None  #: Keras' policy: float32, mixed_float16, ...; None without Keras
    data: str | None = None  #: digest of the arrays that load_data returned; None where it returned none
    parts: Mapping[str, str] = field(default_factory=dict)  #: of the data, by name: what each is made of
    commit: str | None = None  #: of the study file's git repository
    dirty: bool | None = None  #: that had changes which were not committed
    command: str = ""  #: that created the study, without secrets


def shown_command(arguments: Sequence[str]) -> str:
    """Return a command line for people to read, without the storage's URL and whatever looks like a secret.

    >>> shown_command(["tuner", "create", "a.py", "--storage", "postgresql://u:p@h/d", "--set", "x=redis://u:p@h"])
    'tuner create a.py --set x=redis://***@h'
    """
    kept, words = [], iter(arguments)
    for word in words:
        if word == "--storage":
            next(words, None)
        elif not word.startswith("--storage="):
            kept.append(word)
    return _SETTING.sub(r"\1***", _USER.sub(r"\1***@", shlex.join(kept)))


def spec_digest(spec: StudySpec) -> str:
    """Return 16 hexadecimal digits that change with what a trial of the specification means."""
    text = json.dumps(meaning(spec), sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def changed_packages(recorded: Mapping[str, str], present: Mapping[str, str]) -> dict[str, str]:
    """Return the recorded packages that have another version now, or none, as ``1.0 -> 2.0``.

    >>> changed_packages({"keras": "3.14", "numpy": "2.3"}, {"keras": "3.15", "numpy": "2.3"})
    {'keras': '3.14 -> 3.15'}
    """
    return {
        name: f"{version} -> {present.get(name, 'none')}"
        for name, version in recorded.items()
        if present.get(name) != version
    }
