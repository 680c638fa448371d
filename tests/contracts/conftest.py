"""What the tests of every storage share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tuner_service.bootstrap import open_storage
from tuner_service.storage.ledger_storage import LedgerStorage


@pytest.fixture
def storage(storage_url: str) -> Iterator[LedgerStorage]:
    """Provide an empty storage, of each kind in turn."""
    with closing(open_storage(storage_url)) as opened:
        opened.create_tables()
        yield opened
