from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inklings.memory import eviction
from inklings.memory.eviction import SHARE, Order
from inklings.memory.rows import Rows
from inklings.memory.store import Memory

from .twin import config, facts


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "rise", "fall", "remove", "first", "first", "first", "age"]),
            st.integers(0, 2**31),
        ),
        max_size=60,
    )
)
def test_the_order_is_that_of_all_keys_sorted(steps: list[tuple[str, int]]) -> None:
    """Keys are few, so that many are equal, and entries many, so that one look finds several."""
    rows, order, new = Rows(), Order(), 0
    keys = np.empty(0)
    for kind, seed in [("add", 0), *steps]:
        generator = np.random.default_rng(seed)
        some = (
            np.unique(generator.integers(0, max(1, len(rows)), 10))
            if len(rows)
            else np.empty(0, np.int64)
        )
        match kind:
            case "add":
                part = rows.add(np.arange(new, new + 70))
                new += 70
                keys = np.concatenate([keys, generator.integers(0, 12, 70).astype(float)])
                order.lowered(keys[part], rows.ids[part])
            case "rise":  # not told of
                keys[some] += generator.integers(0, 6, len(some))
            case "fall":
                keys[some] -= generator.integers(0, 6, len(some))
                order.lowered(keys[some], rows.ids[some])
            case "remove":
                holes, movers = rows.remove(rows.ids[some])
                keys[holes] = keys[movers]
                keys = keys[: len(rows)]
            case "age":
                keys = np.floor(keys / 2)
                order.forget()
            case "first":
                count = int(generator.integers(0, len(rows) // SHARE + 3))
                count = min(count, len(rows))
                expected = sorted(rows.ids[np.lexsort((rows.ids, keys))[:count]].tolist())
                first = order.first(count, keys, rows)
                assert first.tolist() == expected
                assert order.first(count, keys, rows).tolist() == expected, (
                    "they stay until they are removed"
                )
                if generator.random() < 0.7:  # else they stay, as after an error
                    holes, movers = rows.remove(first)
                    keys[holes] = keys[movers]
                    keys = keys[: len(rows)]


@pytest.mark.parametrize("policy", ["oldest", "least_used", "lowest_score"])
def test_few_evictions_look_at_every_entry(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    real = eviction.lowest

    def counted(keys: np.ndarray, ids: np.ndarray, count: int) -> Any:
        looks.append(len(ids))
        return real(keys, ids, count)

    monkeypatch.setattr(eviction, "lowest", counted)
    capacity, turns = 320, 200
    generator = np.random.default_rng(0)
    memory = Memory(config("exact", capacity=capacity, eviction=policy))
    memory.add(
        generator.standard_normal((capacity, 8)),
        **facts(generator, capacity),
        scores=generator.random(capacity),
    )
    for _ in range(turns):
        ids = memory.add(
            generator.standard_normal((1, 8)), **facts(generator, 1), scores=generator.random(1)
        )
        memory.search(generator.standard_normal((1, 8)), 1)
        memory.update(ids, scores=generator.random(1))
    # each turn puts three entries at most out of their place, and a look puts a sixteenth into
    # theirs
    assert 1 <= len(looks) <= 1 + 3 * turns * SHARE // capacity


def test_scores_that_fall_again_and_again_take_no_room() -> None:
    memory = Memory(config("exact", capacity=64, eviction="lowest_score"))
    generator = np.random.default_rng(0)
    memory.add(generator.standard_normal((64, 8)), **facts(generator, 64))
    for turn in range(300):
        if turn % 100 == 0:
            memory.evict(1)
        memory.update(memory.ids[:1], scores=np.array([-float(turn)]))
        assert len(memory._order._heap) <= 64


def test_an_entry_that_rose_a_little_keeps_its_turn() -> None:
    rows, order, keys = Rows(), Order(), np.arange(64.0)
    rows.add(np.arange(64))
    assert order.first(1, keys, rows).tolist() == [0]
    keys[0] = 2.5  # past two of the four that one look took
    assert order.first(3, keys, rows).tolist() == [0, 1, 2]
