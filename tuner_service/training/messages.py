"""What a process that runs a study's code may send: data, of which nothing is called where the storage's password is.

A pickle names classes and functions, and whoever reads it calls them. The study's code shares a process with the pipe
to the supervisor, so its end there takes classes of this list only.
"""

from __future__ import annotations

import dataclasses
import enum
import io
import pickle
from multiprocessing.connection import Connection
from typing import Any

from pydantic import BaseModel

from tuner_service.errors import StudyFileError, TunerServiceError

#: Modules whose own classes are messages, or parts of some, beside those of ``domain``.
_OURS = frozenset(
    {
        "tuner_service.errors",
        *(
            f"tuner_service.training.{name}"
            for name in (
                "assignment",
                "remote_trial",
                "inspection",
                "measure",
                "check",
                "evaluation",
                "model_file",
                "refit",
            )
        ),
    }
)
_DATA = (enum.Enum, BaseModel, TunerServiceError)

#: Classes of others, none of which does anything when it is made.
_OTHERS = frozenset(
    {
        *(("builtins", name) for name in ("set", "frozenset", "complex")),
        *(("datetime", name) for name in ("date", "time", "datetime", "timedelta", "timezone")),
        *(("pathlib", name) for name in ("Path", "PosixPath", "PurePosixPath")),
        ("collections", "OrderedDict"),
        *(("optuna.distributions", f"{kind}Distribution") for kind in ("Float", "Int", "Categorical")),
    }
)


def _member(kind: object, name: str) -> enum.Enum:
    """Return a member of an enum, as Python 3.11.0 to 3.11.3 pickle it: by ``getattr``, which could return anything."""
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind[name]
    raise StudyFileError(f"the study's code handed over {name!r} of something that is no enum")


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as in pickle
        if (module, name) in _OTHERS:
            return super().find_class(module, name)
        if (module, name) == ("builtins", "getattr"):
            return _member
        if (module in _OURS or module.startswith("tuner_service.domain.")) and "." not in name:
            found = super().find_class(module, name)
            is_data = isinstance(found, type) and (issubclass(found, _DATA) or dataclasses.is_dataclass(found))
            # Nor what such a module only imports.
            if is_data and found.__module__ == module:
                return found
        raise StudyFileError(
            f"the study's code handed over a {module}.{name}, which is not known outside its own process; hand over "
            "text, numbers, lists and dictionaries"
        )


def receive(connection: Connection[Any, Any]) -> Any:  # noqa: ANN401 - any message
    """Return the next message of a process that runs a study's code.

    Raises:
        EOFError: If the process has died, or hung up.
        StudyFileError: If the message has anything in it that is not data of known classes.
    """
    content = connection.recv_bytes()
    try:
        return _Reader(io.BytesIO(content)).load()
    except StudyFileError:
        raise
    except Exception as error:
        # It was not this service that made it.
        raise StudyFileError(f"the study's code sent what is no message: {type(error).__name__}: {error}") from None
