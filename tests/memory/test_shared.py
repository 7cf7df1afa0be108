"""A memory in a table of PostgreSQL, alone and beside others on the same table."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from inklings.errors import InklingsError, InputError
from inklings.memory.backends.pgvector import PgVector
from inklings.memory.persistence import load, save
from inklings.memory.store import Memory

from .postgres import Server
from .twin import Twin, config, facts, known_of

POLICIES = ["oldest", "least_used", "lowest_score"]


def over(server: Server, table: str, **settings: Any) -> Memory:
    return Memory(
        config("pgvector", **settings), PgVector(server.address(), dimension=8, table=table)
    )


def add(memory: Memory, count: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return memory.add(generator.standard_normal((count, 8)), **facts(generator, count))


def rows_of(server: Server, table: str) -> list[int]:
    with psycopg.connect(server.address()) as connection:
        return [number for (number,) in connection.execute(f'SELECT id FROM "{table}" ORDER BY id')]


def drive(server: Server, table: str, policy: str, count: int) -> None:
    index = PgVector(server.address(), dimension=8, table=table)
    twin = Twin(config("pgvector", capacity=60, eviction=policy), seed=3, index=index)
    for _ in range(count // 10):
        twin.at_random(10, largest=30)
        twin.check()
    assert twin.operations == count
    assert twin.found == twin.findable > 0
    index.close()


@pytest.mark.parametrize("policy", POLICIES)
def test_random_operations_agree_with_a_dictionary(server: Server, table: str, policy: str) -> None:
    drive(server, table, policy, 100)


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
def test_ten_thousand_operations_agree_with_a_dictionary(
    server: Server, table: str, policy: str
) -> None:
    drive(server, table, policy, 3340)


def test_it_answers_as_exact_does(server: Server, table: str, tmp_path: Path) -> None:
    here, there = Memory(config("exact", capacity=200)), over(server, table, capacity=200)
    queries = np.random.default_rng(9).standard_normal((20, 8))
    for memory in (here, there):
        add(memory, 150)
        add(memory, 150, seed=1)
        memory.remove(np.arange(150, 160))
        memory.update(np.arange(200, 210), vectors=queries[:10])
    assert known_of(there, queries)[:8] == known_of(here, queries)[:8]
    assert here.info().recall == there.info().recall == 1.0
    save(there, tmp_path / "memory")
    again = load(tmp_path / "memory", index=PgVector(server.address(), dimension=8, table=table))
    assert add(again, 5).min() == there.next_id
    elsewhere = load(
        tmp_path / "memory", index=PgVector(server.address(), dimension=8, table=f"new {table}")
    )
    assert add(elsewhere, 5).min() == there.next_id, (
        "ids that were given before are not given again, in a new table either"
    )


def test_memories_on_one_table_lose_nothing_and_do_not_mix(server: Server, table: str) -> None:
    """Each is driven against its own dictionary by a thread of its own, at the same time."""

    def live(seed: int) -> Twin:
        index = PgVector(server.address(), dimension=8, table=table)
        twin = Twin(
            config("pgvector", capacity=40, eviction=POLICIES[seed]), seed, index=index, alone=False
        )
        for _ in range(12):
            twin.at_random(5, largest=20)
            twin.check()
        return twin

    with ThreadPoolExecutor(3) as pool:
        twins = list(pool.map(live, range(3)))
    for twin in twins:
        twin.check()
    ids = np.concatenate([twin.memory.ids for twin in twins])
    assert len(ids) == len(set(ids.tolist()))
    assert rows_of(server, table) == sorted(ids.tolist())


def test_one_index_may_serve_two_memories(server: Server, table: str) -> None:
    index = PgVector(server.address(), dimension=8, table=table)
    first, second = (Memory(config("pgvector"), index) for _ in range(2))
    add(first, 30), add(second, 30)
    assert not set(first.ids) & set(second.ids)
    hits = second.search(np.zeros((1, 8)), 30)
    assert set(hits.ids[0].tolist()) == set(second.ids.tolist())
    first.clear()
    assert (len(first), len(second), len(index)) == (0, 30, 30)


def test_ids_of_a_table_that_someone_else_made(server: Server, table: str) -> None:
    with psycopg.connect(server.address()) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute(
            f'CREATE TABLE "{table}" (id bigint PRIMARY KEY, vector vector(8) NOT NULL)'
        )
    other = PgVector(server.address(), dimension=8, table=table)
    other.add(np.array([500]), np.zeros((1, 8), np.float32))
    assert add(over(server, table), 2).tolist() == [501, 502]
    other.add(np.array([600]), np.zeros((1, 8), np.float32))
    assert other.new_ids(2, 0).tolist() == [601, 602]
    assert other.new_ids(1, 0).tolist() == [603]
    assert other.new_ids(1, 9000).tolist() == [9000]


@pytest.mark.parametrize("step", ["_delete", "_copy_in"])
def test_a_server_that_dies_in_the_middle_leaves_memory_and_table_as_they_were(
    server: Server, table: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies while a full memory takes new entries in.

    After the old ones were deleted, or after the new ones were copied.
    """
    memory = over(server, table)
    add(memory, 40)
    queries = np.random.default_rng(9).standard_normal((5, 8))
    before, rows = known_of(memory, queries), rows_of(server, table)
    real = getattr(PgVector, step)

    def dies(*arguments: Any) -> None:
        real(*arguments)
        monkeypatch.setattr(PgVector, step, real)
        server.stop("immediate")

    monkeypatch.setattr(PgVector, step, dies)
    try:
        with pytest.raises(
            InklingsError, match="was lost, and 2 attempts to go on failed"
        ) as caught:
            add(memory, 10)
        assert not isinstance(caught.value, InputError)
    finally:
        server.start()
    after = known_of(memory, queries)
    del before[-2], after[-2]  # the next id: those that were tried are not given again
    assert after == before
    assert rows_of(server, table) == rows
    assert add(memory, 10).min() >= 40
    assert sorted(memory.ids.tolist()) == rows_of(server, table)


@pytest.mark.parametrize(
    "call",
    [
        "add",
        "search",
        *(
            pytest.param(call, marks=pytest.mark.slow)
            for call in ("update", "remove", "clear", "vectors", "evict", "forget", "compact")
        ),
    ],
)
def test_a_server_that_is_away_is_one_error_and_changes_nothing(
    server: Server, table: str, call: str
) -> None:
    memory = over(server, table)
    add(memory, 40)
    queries, some = np.ones((2, 8)), np.arange(2)
    calls: dict[str, Any] = {
        "add": lambda: add(memory, 2),
        "search": lambda: memory.search(queries, 3),
        "update": lambda: memory.update(some, vectors=queries, values=some),
        "remove": lambda: memory.remove(some),
        "clear": memory.clear,
        "vectors": lambda: memory.vectors(some),
        "evict": lambda: memory.evict(3),
        "forget": lambda: memory.forget(0.5, np.random.default_rng(0)),
        "compact": memory.compact,
    }
    before, rows = known_of(memory, queries), rows_of(server, table)
    server.stop()
    try:
        with pytest.raises(InklingsError, match="was lost"):
            calls[call]()
    finally:
        server.start()
    assert (known_of(memory, queries), rows_of(server, table)) == (before, rows)
    calls[call]()


def test_compact_gives_room_back(server: Server, table: str) -> None:
    memory = over(server, table, capacity=5000)
    add(memory, 5000)

    def pages() -> int:
        with psycopg.connect(server.address()) as connection:
            return int(
                connection.execute(f"SELECT pg_relation_size('\"{table}\"')").fetchall()[0][0]
            )

    full = pages()
    memory.remove(memory.ids[100:])
    assert pages() == full
    memory.compact()
    assert pages() < full / 4
    assert len(memory) == len(memory.index) == 100
    assert memory.search(memory.vectors()[:1], 1).distances.tolist() == [[0.0]]


def test_compact_is_for_the_owner(server: Server, table: str) -> None:
    add(over(server, table), 3)
    with psycopg.connect(server.address(), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS guest")
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
        connection.execute(f'GRANT SELECT, INSERT, UPDATE, DELETE ON "{table}" TO guest')
    guest = PgVector(server.address(user="guest", password="guest"), dimension=8, table=table)
    with pytest.raises(InklingsError, match=r"was not compacted: permission denied.*Ask its owner"):
        guest.compact()
    assert len(guest) == 3
    guest.close()
    with psycopg.connect(server.address(), autocommit=True) as connection:
        connection.execute("DROP OWNED BY guest")
        connection.execute("DROP ROLE guest")
