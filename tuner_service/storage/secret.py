"""Whether a URL holds a password."""

from __future__ import annotations

import re

# The first alternative is what SQLAlchemy takes for user and password: a user may hold an @, a password a slash.
_SECRET = re.compile(r"://[^:/]*:[^@]+@|[?&]\w*password=", re.IGNORECASE)


def holds_secret(url: str) -> bool:
    """Return whether a URL holds a password, in its middle or as an option.

    >>> holds_secret("postgresql://u:p/w@host/database"), holds_secret("postgresql://u@host/database")
    (True, False)
    """
    return _SECRET.search(url) is not None
