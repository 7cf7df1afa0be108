"""What the tests of this room share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.brief import brief_comparisons


@pytest.fixture(autouse=True, scope="module")
def _comparisons_are_brief() -> Iterator[None]:
    """A recipe adds one thing, and its comparison need not do all others."""
    with brief_comparisons():
        yield
