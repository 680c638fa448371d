"""Where the server listens."""

from __future__ import annotations

import pytest

from tuner_service.errors import ServeError
from tuner_service.serve.server import listen, url_of

_EVERYWHERE = "0.0.0.0"  # noqa: S104 - what it is about


@pytest.mark.parametrize("host", [_EVERYWHERE, "::"])
def test_only_this_machine_is_served_without_a_login(host: str) -> None:
    """An address that others reach is refused, with what to do."""
    with pytest.raises(ServeError, match="must log in: give --token-file or --users-file"):
        listen(host, 0, login=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_served_without_a_login(host: str) -> None:
    """A free port is taken, and told."""
    with listen(host, 0, login=False) as listener:
        assert url_of(listener).startswith("http://127.0.0.1:")


def test_all_addresses_are_served_with_a_login() -> None:
    """As in a container."""
    with listen(_EVERYWHERE, 0, login=True) as listener:
        assert listener.getsockname()[0] == _EVERYWHERE


def test_a_port_that_is_taken_is_told() -> None:
    """So is a name that is none."""
    with listen("127.0.0.1", 0, login=False) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ServeError, match=f"port {port} cannot be listened on"):
            listen("127.0.0.1", port, login=False)
    with pytest.raises(ServeError, match="is no address"):
        listen("no such host", 0, login=False)
