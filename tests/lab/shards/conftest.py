"""What the tests of this room share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.brief import brief_comparisons


@pytest.fixture(autouse=True, scope="module")
def _comparisons_are_brief() -> Iterator[None]:
    """A comparison is looked at here, not its audits and pictures."""
    with brief_comparisons():
        yield
