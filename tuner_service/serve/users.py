"""Who may look, and who may write: names with their secrets, and sessions of browsers."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from tuner_service.errors import ServeError

#: Name of the user that a token stands for.
TOKEN_USER = "token"  # noqa: S105 - a name
#: Shorter secrets are refused: nothing here slows down who tries them all.
MIN_SECRET = 12
#: How long a browser stays logged in, in seconds.
SESSION_S = 12 * 3600.0


@dataclass(frozen=True)
class User:
    """Somebody who is logged in."""

    name: str
    may_write: bool = False  #: through optuna-dashboard; all else only reads


class Users:
    """Those who may log in.

    Args:
        secrets: Password by name; a token is the password of ``TOKEN_USER``.
        writers: Names of those who may write.

    Raises:
        ServeError: If there is nobody, a secret is short, or a writer has no secret.
    """

    def __init__(self, secrets: Mapping[str, str], writers: Collection[str] = ()) -> None:
        if not secrets:
            raise ServeError("nobody could log in: the files of the login hold no token and no user")
        short = sorted(name for name, secret in secrets.items() if len(secret) < MIN_SECRET)
        if short:
            raise ServeError(
                f"the secret of {', '.join(short)} has less than {MIN_SECRET} characters; take a longer one"
            )
        unknown = sorted(set(writers) - secrets.keys())
        if unknown:
            raise ServeError(f"--writer {unknown[0]} is no user; there are {', '.join(sorted(secrets))}")
        self._digests = {name: _digest(secret) for name, secret in secrets.items()}
        self._users = {name: User(name, name in writers) for name in secrets}
        # The same after a restart and in every replica, other once a secret is changed; a cookie that was seen on its
        # way is of little use for guessing a secret, since each guess takes scrypt's time.
        known = "\0".join(f"{name}\0{secret}" for name, secret in sorted(secrets.items()))
        self._session_key = hashlib.scrypt(known.encode(), salt=b"tuner-service session", n=2**14, r=8, p=1)

    def with_secret(self, name: str, secret: str) -> User | None:
        """Return the user of this name if that is the secret; it takes the same time for every wrong one."""
        expected = self._digests.get(name, b"\0" * 32)
        same = hmac.compare_digest(expected, _digest(secret))
        return self._users.get(name) if same else None

    def of_authorization(self, header: str) -> User | None:
        """Return the user of an ``Authorization`` header, Bearer or Basic."""
        scheme, _, credentials = header.partition(" ")
        match scheme.lower():
            case "bearer":
                return self.with_secret(TOKEN_USER, credentials.strip())
            case "basic":
                try:
                    name, _, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
                except ValueError:
                    return None
                return self.with_secret(name, secret)
        return None

    def new_session(self, user: User, now: float) -> str:
        """Return what a browser shows from now on, in place of its secret; ``now`` in seconds since 1970."""
        claim = f"{user.name}\0{now + SESSION_S:.0f}".encode()
        return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (claim, self._sign(claim)))

    def of_session(self, session: str, now: float) -> User | None:
        """Return the user of a session that has not ended."""
        try:
            claim, signature = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in session.split("."))
        except ValueError:
            return None
        if not hmac.compare_digest(self._sign(claim), signature):
            return None
        name, _, until = claim.decode().partition("\0")
        return self._users.get(name) if now < float(until) else None

    def _sign(self, claim: bytes) -> bytes:
        return hmac.digest(self._session_key, claim, "sha256")


def read_users(token_file: Path | None, users_file: Path | None, writers: Collection[str]) -> Users | None:
    """Return the users that two files name, or ``None`` where neither is given.

    The one holds a token; the other a line ``NAME:PASSWORD`` for each user, and lines that begin with ``#``.

    Raises:
        ServeError: If a file cannot be read or holds something else, or as ``Users`` does.
    """
    if token_file is None and users_file is None:
        if writers:
            raise ServeError("--writer needs a login; name the users with --users-file, or a token with --token-file")
        return None
    secrets: dict[str, str] = {}
    for number, line in enumerate(_text(users_file).splitlines() if users_file else (), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, secret = line.strip().partition(":")
        if not (name and colon) or name in secrets or name == TOKEN_USER or not name.isprintable():
            # The line itself may be a password.
            raise ServeError(f"line {number} of {users_file} is not NAME:PASSWORD with a name of its own")
        secrets[name] = secret
    if token_file is not None:
        secrets[TOKEN_USER] = _text(token_file).strip()
    return Users(secrets, writers)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ServeError(f"the file {file} of the login cannot be read: {reason}") from None


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
