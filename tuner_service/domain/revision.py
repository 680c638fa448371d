"""What has changed in a specification, and what may."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner_service.domain.spec import StudySpec

#: Fields that may differ between the recorded specification and a later one: they do not change what a trial means.
#: ``max_attempts`` is none of them: with another one, configurations that are settled would not be, or those that are
#: tried again would be settled before.
_FREE = {"trials", "stop", "limits", "max_repeated_errors", "keep_models"}


def differences(recorded: StudySpec, received: StudySpec) -> list[str]:
    """Return a line for each field whose change would change what a trial of the study means."""
    old, new = meaning(recorded), meaning(received)
    return [
        f"{field}: recorded {_plain(old[field])}, received {_plain(new[field])}"
        for field in old
        if old[field] != new[field]
    ]


def meaning(spec: StudySpec) -> dict[str, Any]:
    """Return the fields that decide what a trial of the study means."""
    # A direction that is said and one that is known are the same.
    fields = spec.model_dump() | {"direction": _one_or_all(spec.directions)}
    return {name: value for name, value in fields.items() if name not in _FREE}


def revised(recorded: StudySpec, received: StudySpec) -> StudySpec:
    """Return the recorded specification with those fields of another that may change, but for the budget."""
    return recorded.model_copy(update={field: getattr(received, field) for field in _FREE - {"trials"}})


def what_changed(old: StudySpec, new: StudySpec) -> list[str]:
    """Return a line for each field, of the specification's parts too, that is another in the new one."""
    before, after = _flat(old.model_dump()), _flat(new.model_dump())
    return [
        f"{field} {before.get(field)} -> {after.get(field)}"
        for field in dict.fromkeys((*before, *after))
        if before.get(field) != after.get(field)
    ]


def _flat(fields: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in fields.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _plain(value: object) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{key}={item!r}" for key, item in value.items() if key != "kind")
        return f"{value.get('kind', '')}({inner})"
    return repr(value)


def _one_or_all(given: tuple[Any, ...]) -> Any:  # noqa: ANN401 - whatever the tuple holds
    return given[0] if len(given) == 1 else given
