"""A search among entries that meet a condition, while others write to the same index."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.memory.backends.exact import Exact
from inklings.memory.entries import Span
from inklings.memory.store import Memory

from .twin import config, facts

FOREIGN = 10_000


class Crowded(Exact):
    """An index to which somebody else adds.

    Or from which they remove, in the moment before or after each search.
    """

    def __init__(self, changes: list[int], *, before: bool) -> None:
        super().__init__(4, products="float32")
        self.changes = changes
        self.before = before
        self.foreign = np.zeros(0, np.int64)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        if self.before:
            self.change()
        found = super().search(queries, k)
        if not self.before:
            self.change()
        return found

    def change(self) -> None:
        """Vectors at the origin, so that they are nearer than what the memory itself has."""
        if not self.changes:
            return
        count = self.changes.pop(0)
        if count > 0:
            ids = FOREIGN + len(self.foreign) + np.arange(count)
            self.add(ids, np.zeros((count, 4), np.float32))
            self.foreign = np.append(self.foreign, ids)
        else:
            self.remove(self.foreign[count:])
            self.foreign = self.foreign[:count]


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    "changes", [[30], [30, -28], [3, 3, 3], [12, 40, -50], [-15], [-15, 30], [6, -20, 1]]
)
def test_all_entries_are_found_whatever_others_do_meanwhile(
    changes: list[int], before: bool
) -> None:
    index = Crowded([20, *changes], before=before)
    index.change()
    memory = Memory(config("exact", dimension=4, capacity=50), index)
    generator = np.random.default_rng(0)
    ids = memory.add(1 + generator.random((8, 4)), **facts(generator, 8))
    hits = memory.search(np.zeros((3, 4)), 8)
    assert sorted(hits.ids[0].tolist()) == ids.tolist()
    assert (hits.ids == hits.ids[0]).all()


@given(
    places=st.lists(st.integers(0, 3), min_size=1, max_size=60),
    k=st.integers(1, 12),
    seed=st.integers(0, 999),
    apart=st.booleans(),
)
def test_of_those_that_are_as_near_but_for_rounding_the_oldest_come_first(
    places: list[int], k: int, seed: int, apart: bool
) -> None:
    generator = np.random.default_rng(seed)
    points = np.eye(4) * [1.0, 1.5, 2.0, 2.5]
    rounding = generator.uniform(-2e-7, 2e-7, (len(places), 4))
    memory = Memory(config("exact", dimension=4, capacity=60))
    ids = memory.add(points[places] + rounding, **facts(generator, len(places)))
    query = generator.uniform(-1, 1, 4)
    leaving_out = None
    left = np.arange(len(places))
    if apart:  # some are left out
        entries = memory.entries()
        first = int(entries.documents[0])
        leaving_out = Span(np.array([first]), np.array([0]), np.array([10**6]))
        left = np.flatnonzero(entries.documents != first)
    distances = np.square(points - query).sum(1)
    nearest = sorted(left, key=lambda at: (distances[places[at]].round(5), ids[at]))[:k]
    found = memory.search(query[None], k, same=1e-5, leaving_out=leaving_out)
    assert found.ids[0, : len(nearest)].tolist() == [ids[at] for at in nearest]
    assert (found.ids[0, len(nearest) :] == -1).all()
