"""What the tests of the memory share.

One private PostgreSQL server, and short pauses before it is tried again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from inklings.memory.backends import postgres

from .postgres import Server, private_server

NUMBER = itertools.count()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with private_server() as running:
        yield running


@pytest.fixture
def table() -> str:
    return f"memory {next(NUMBER)}"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "RECONNECT_PAUSES", (0.01, 0.3))
