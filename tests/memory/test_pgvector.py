"""The backend `pgvector` on a server of its own.

Right answers, many writers, lost connections, clear messages.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inklings.errors import ConfigError, DiskError, InklingsError, InputError, MissingExtraError
from inklings.memory.backends import postgres
from inklings.memory.backends.pgvector import PgVector

from .postgres import PASSWORD, Server

NUMBER = itertools.count()
WRONG = "s3cr3t"
"""A password; under a name, because tracebacks show the lines of the tests."""


def ids(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def random_vectors(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32)


def brute_force(
    queries: np.ndarray, numbers: np.ndarray, vectors: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest k by squared differences in float64, padded with -1 and infinity."""
    found, near = np.full((len(queries), k), -1, np.int64), np.full((len(queries), k), np.inf)
    for row, query in enumerate(queries):
        distances = np.square(vectors.astype(np.float64) - query).sum(1)
        order = np.lexsort((numbers, distances))[:k]
        found[row, : len(order)], near[row, : len(order)] = numbers[order], distances[order]
    return found, near


def query(server: Server, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(server.address(), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


# --- answers


@pytest.mark.parametrize(("d", "offset"), [(1, 0.0), (64, 0.0), (768, 0.0), (64, 100.0)])
def test_search_is_brute_force(server: Server, table: str, d: int, offset: float) -> None:
    vectors, queries = (
        random_vectors(1500, d) + np.float32(offset),
        random_vectors(8, d, 1) + np.float32(offset),
    )
    numbers = np.random.default_rng(2).permutation(1500).astype(np.int64)
    index = PgVector(server.address(), dimension=d, table=table)
    index.add(numbers, vectors)
    found, distances = index.search(queries, 10)
    expected, exact = brute_force(queries, numbers, vectors, 10)
    assert found.dtype == np.int64 and distances.dtype == np.float32
    assert (found == expected).all()
    np.testing.assert_allclose(distances, exact, rtol=1e-4)
    assert len(index) == 1500


def test_what_the_index_gives_up_on_is_looked_for_in_the_table(server: Server, table: str) -> None:
    """An index that may look at a few rows only, as one of millions may at 20,000."""
    vectors = random_vectors(400, 4)
    index = PgVector(server.address(), dimension=4, table=table, hnsw=True, ef_search=1)
    index._settings = {
        **index._settings,
        "hnsw.max_scan_tuples": "1",
        "hnsw.iterative_scan": "off",
        "enable_seqscan": "off",
    }
    index.add(np.arange(400), vectors)
    queries = random_vectors(3, 4, 1)
    found, distances = index.search(queries, 50)
    expected, exact = brute_force(queries, np.arange(400), vectors, 50)
    assert (found == expected).all()
    np.testing.assert_allclose(distances, exact, rtol=1e-4)
    assert (index.search(queries, 401)[0] >= 0).sum(1).tolist() == [400] * 3


@pytest.mark.parametrize("hnsw", [False, True])
def test_equally_near_ones_come_by_id_and_missing_ones_last(
    server: Server, table: str, hnsw: bool
) -> None:
    index = PgVector(server.address(), dimension=2, table=table, hnsw=hnsw)
    found, distances = index.search(np.zeros((2, 2), np.float32), 3)
    assert (found == -1).all() and np.isposinf(distances).all()
    index.add(ids(7, 3, 5), np.array([[0, 2], [2, 0], [1, 0]], np.float32))
    found, distances = index.search(np.zeros((1, 2), np.float32), 5)
    assert found.tolist() == [[5, 3, 7, -1, -1]]
    assert distances.tolist() == [[1, 4, 4, np.inf, np.inf]]
    found, distances = index.search(np.empty((0, 2), np.float32), 5)
    assert found.shape == distances.shape == (0, 5)


def test_vectors_come_back_to_the_last_bit(server: Server, table: str) -> None:
    largest, smallest = np.finfo(np.float32).max, np.finfo(np.float32).smallest_subnormal
    odd = np.array(
        [[largest, -largest, 0.0], [-0.0, smallest, -smallest], [0.1, 1 / 3, 1e-20]], np.float32
    )
    index = PgVector(server.address(), dimension=3, table=table)
    index.add(ids(2**62, 0, 9), odd)
    wanted = ids(9, 2**62, 9, 0)
    assert index.vectors(wanted).tobytes() == odd[[2, 0, 2, 1]].tobytes()
    assert index.vectors(ids()).shape == (0, 3)


@settings(max_examples=12)
@given(st.data())
def test_any_operations_leave_what_a_dictionary_would(server: Server, data: st.DataObject) -> None:
    d = data.draw(st.sampled_from([1, 3, 16]))
    index = PgVector(
        server.address(),
        dimension=d,
        table=f"operations {next(NUMBER)}",
        hnsw=data.draw(st.booleans()),
    )
    model: dict[int, np.ndarray] = {}
    new = itertools.count()
    coordinates = st.integers(-3, 3)  # few, so that distances are often equal, and exact
    rows = st.lists(st.lists(coordinates, min_size=d, max_size=d), max_size=6)
    for _ in range(data.draw(st.integers(1, 12))):
        some = st.lists(st.sampled_from(sorted(model)), unique=True) if model else st.just([])
        match data.draw(st.sampled_from(["add", "remove", "update", "search"])):
            case "add":
                vectors = np.array(data.draw(rows), np.float32).reshape(-1, d)
                numbers = np.array([next(new) for _ in vectors], np.int64)
                index.add(numbers, vectors)
                model |= dict(zip(numbers.tolist(), vectors, strict=True))
            case "remove":
                gone = data.draw(some)
                index.remove(np.array(gone, np.int64))
                for number in gone:
                    del model[number]
            case "update":
                changed = data.draw(some)
                vectors = random_vectors(len(changed), d, len(model)).round()
                index.update(np.array(changed, np.int64), vectors)
                model |= dict(zip(changed, vectors, strict=True))
            case "search":
                queries, k = (
                    np.array(data.draw(rows), np.float32).reshape(-1, d),
                    data.draw(st.integers(1, 8)),
                )
                found, distances = index.search(queries, k)
                numbers, vectors = (
                    np.array(list(model), np.int64),
                    np.array(list(model.values()), np.float32).reshape(-1, d),
                )
                expected, exact = brute_force(queries, numbers, vectors, k)
                assert (found == expected).all() and (distances == exact).all()
        assert len(index) == len(model)
    assert (
        index.vectors(np.array(list(model), np.int64)).tobytes()
        == np.array(list(model.values()), np.float32).tobytes()
    )
    index.close()


def test_hnsw_is_used_when_asked_for_and_only_then(server: Server, table: str) -> None:
    centres = random_vectors(100, 16) * 4
    vectors, queries = (
        (np.repeat(centres, 20, 0) + random_vectors(2000, 16, 1)),
        centres[:20] + random_vectors(20, 16, 2),
    )
    numbers = np.arange(2000)
    quick = PgVector(server.address(), dimension=16, table=table, hnsw=True)
    quick.add(numbers, vectors)
    query(server, f'ANALYZE "{table}"')
    scans = (
        "SELECT coalesce(sum(idx_scan), 0)::int FROM pg_stat_user_indexes WHERE relname ="
        f" '{table}' AND indexrelname NOT LIKE '%pkey'"
    )
    expected, _ = brute_force(queries, numbers, vectors, 10)

    found, _ = quick.search(queries, 10)
    assert (
        np.mean(
            [
                len(set(a) & set(b)) / 10
                for a, b in zip(found.tolist(), expected.tolist(), strict=True)
            ]
        )
        >= 0.9
    )
    quick.remove(numbers[:500])
    assert (quick.search(queries, 150)[0] >= 500).all(), (
        "more than ef_search, and none of those that were removed"
    )
    quick.close()  # a session that ends reports its counts
    used = query(server, scans)[0][0]
    assert used == 40

    exact = PgVector(server.address(), dimension=16, table=table)
    expected, _ = brute_force(queries, numbers[500:], vectors[500:], 10)
    assert (exact.search(queries, 10)[0] == expected).all()
    exact.close()
    assert query(server, scans)[0][0] == used


def test_a_table_is_found_again(server: Server, table: str) -> None:
    first = PgVector(server.address(), dimension=4, table=table)
    first.add(ids(1, 2), random_vectors(2, 4))
    first.close()
    again = PgVector(server.address(), dimension=4, table=table, hnsw=True)
    assert len(again) == len(first) == 2
    PgVector(server.address(), dimension=4, table=table, hnsw=True)
    assert (
        len(
            query(
                server,
                f"SELECT 1 FROM pg_indexes WHERE tablename = '{table}' AND indexdef LIKE '%hnsw%'",
            )
        )
        == 1
    )


@pytest.mark.parametrize(
    "hostile",
    [
        'x"; DROP TABLE y; --',
        "%s %(a)s %%",
        "\\0041\\",
        "{table}",
        "Größe.Öl",
        "select",
        "é" * 31,
        " ",
    ],
)
def test_a_table_may_have_any_name(server: Server, hostile: str) -> None:
    index = PgVector(server.address(), dimension=2, table=hostile, hnsw=True)
    index.add(ids(1), np.ones((1, 2), np.float32))
    index.update(ids(1), np.zeros((1, 2), np.float32))
    assert index.search(np.ones((1, 2), np.float32), 1)[1].tolist() == [[2.0]]
    index.remove(ids(1))
    assert len(PgVector(server.address(), dimension=2, table=hostile)) == 0
    names = [
        name
        for (name,) in query(
            server, "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'"
        )
    ]
    assert hostile in names


# --- several writers


def test_threads_lose_nothing(server: Server, table: str) -> None:
    shared = PgVector(server.address(), dimension=8, table=table)

    def write(writer: int) -> None:
        index = shared if writer % 2 else PgVector(server.address(), dimension=8, table=table)
        for batch in range(10):
            numbers = np.arange(5) + 5 * batch + 100 * writer
            index.add(numbers, np.repeat(numbers[:, None], 8, 1).astype(np.float32))
            index.remove(numbers[:1])
            assert index.search(np.full((1, 8), numbers[1], np.float32), 1)[0].item() == numbers[1]

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    left = np.array([100 * writer + i for writer in range(6) for i in range(50) if i % 5])
    assert len(shared) == len(left)
    assert (shared.vectors(left)[:, 0] == left).all()


WRITER = """
import sys
import numpy as np
from inklings.memory.backends.pgvector import PgVector

address, table, writer = sys.argv[1], sys.argv[2], int(sys.argv[3])
sys.stdin.readline()
index = PgVector(address, dimension=8, table=table)
for batch in range(20):
    numbers = np.arange(5) + 5 * batch + 1000 * writer
    index.add(numbers, np.repeat(numbers[:, None], 8, 1).astype(np.float32))
"""


def test_processes_lose_nothing_and_make_the_table_together(server: Server, table: str) -> None:
    query(server, "CREATE DATABASE together")
    address = server.address(database="together")
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, address, table, str(writer)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for writer in range(2)
    ]
    for process in writers:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate()[1] for process in writers] == [""] * 2
    index = PgVector(address, dimension=8, table=table)
    expected = np.array([1000 * writer + i for writer in range(2) for i in range(100)])
    assert len(index) == 200
    assert (index.vectors(expected)[:, 7] == expected).all()
    index.close()


FORKED = """
import multiprocessing, sys
import numpy as np
from inklings.memory.backends.pgvector import PgVector

def child(numbers):
    index.add(numbers, np.zeros((len(numbers), 2), np.float32))

index = PgVector(sys.argv[1], dimension=2, table=sys.argv[2])
fork = multiprocessing.get_context("fork")
processes = [fork.Process(target=child, args=(np.arange(10) + 10 * i,)) for i in range(3)]
session = index._database._connection.info.backend_pid
for process in processes: process.start()
for process in processes: process.join()
assert [process.exitcode for process in processes] == [0, 0, 0]
assert len(index) == 30
ended = "the connection of the parent was ended by a child"
assert index._database._connection.info.backend_pid == session, ended
"""


def test_a_forked_process_gets_a_connection_of_its_own(server: Server, table: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORKED, server.address(), table],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_deadlock_with_another_writer_is_tried_again(server: Server, table: str) -> None:
    index = PgVector(server.address(options="-c deadlock_timeout=200ms"), dimension=2, table=table)
    index.add(ids(1, 2), np.zeros((2, 2), np.float32))
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE"
        f" 'DELETE%{table}%'"
    )
    with (
        psycopg.connect(server.address(options="-c deadlock_timeout=1min")) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        other.execute(f'SELECT 1 FROM "{table}" WHERE id = 2 FOR UPDATE')
        removal = pool.submit(index.remove, ids(1, 2))
        while query(server, waiting) == [(0,)] and not removal.done():
            pass
        other.execute(f'SELECT 1 FROM "{table}" WHERE id = 1 FOR UPDATE')
        other.rollback()
        removal.result()
    assert len(index) == 0


# --- lost connections


def test_a_restarted_server_is_reconnected_to(server: Server, table: str) -> None:
    index = PgVector(server.address(), dimension=4, table=table)
    vectors = random_vectors(5, 4)
    index.add(np.arange(5), vectors)
    calls: list[Callable[[], Any]] = [
        lambda: index.add(ids(9), vectors[:1]),
        lambda: index.update(ids(9), vectors[1:2]),
        lambda: index.remove(ids(9)),
        lambda: index.search(vectors, 2),
        lambda: index.vectors(np.arange(5)),
        lambda: len(index),
    ]
    for call, mode in zip(calls, itertools.cycle(["fast", "immediate"])):
        server.stop(mode)
        server.start()
        call()
    assert index.vectors(np.arange(5)).tobytes() == vectors.tobytes()
    assert len(index) == 5


def test_a_writer_survives_restarts_in_the_middle(
    server: Server, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "RECONNECT_PAUSES", (0.3, 2.0))
    index = PgVector(server.address(), dimension=512, table=table)
    vectors = random_vectors(200, 512)
    added = 0
    stopping = threading.Event()

    def write() -> None:
        nonlocal added
        while not stopping.is_set():
            index.add(np.arange(200) + 200 * added, vectors)
            added += 1

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        for mode, delay in (("fast", 0.0), ("immediate", 0.01), ("fast", 0.02)):
            before = added
            while added == before and not writer.done():
                stopping.wait(0.001)
            stopping.wait(delay)
            server.stop(mode)
            server.start()
        stopping.set()
        writer.result()
    assert len(index) == 200 * added
    assert index.vectors(np.arange(200 * added)).tobytes() == np.tile(vectors, (added, 1)).tobytes()


def test_an_ended_session_is_opened_again(server: Server, table: str) -> None:
    index = PgVector(server.address(), dimension=2, table=table)
    query(
        server,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ="
        " 'inklings'",
    )
    index.add(ids(1), np.zeros((1, 2), np.float32))
    assert len(index) == 1


@pytest.fixture
def lose_the_answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes the next transaction be done on the server.

    And the connection break before the client hears of it.
    """
    leave = psycopg.Transaction.__exit__

    def left(self: psycopg.Transaction, *error: Any) -> bool:
        if (
            self.connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
            and not self._outer_transaction
        ):
            return bool(leave(self, *error))
        leave(self, *error)
        monkeypatch.setattr(psycopg.Transaction, "__exit__", leave)
        self.connection.close()
        raise psycopg.OperationalError("the answer was lost")

    return lambda: monkeypatch.setattr(psycopg.Transaction, "__exit__", left)


def test_what_was_done_before_the_answer_was_lost_is_not_done_twice(
    server: Server, table: str, lose_the_answer: Callable[[], None]
) -> None:
    index = PgVector(server.address(), dimension=4, table=table)
    vectors = random_vectors(6, 4)
    lose_the_answer()
    index.add(np.arange(6), vectors)
    assert len(index) == 6
    lose_the_answer()
    index.remove(ids(0, 1))
    assert len(index) == 4
    lose_the_answer()
    index.update(ids(2), vectors[:1])
    assert index.vectors(ids(2, 3)).tobytes() == vectors[[0, 3]].tobytes()
    lose_the_answer()
    index.exchange(ids(2, 3), ids(7, 8), vectors[:2])
    assert index.vectors(ids(4, 5, 7, 8)).tobytes() == vectors[[4, 5, 0, 1]].tobytes()
    assert len(index) == 4
    lose_the_answer()
    given = index.new_ids(3, 0)
    assert given.min() > 8
    assert index.new_ids(3, 0).min() > given.max()
    index.add(ids(3), vectors[1:2])
    lose_the_answer()
    with pytest.raises(InputError, match="not new"):
        index.add(ids(3), vectors[:1])  # not what is there: another writer's, not ours


def test_a_server_that_is_away_is_one_error_and_the_next_call_works(
    server: Server, table: str
) -> None:
    index = PgVector(server.address(), dimension=2, table=table)
    index.add(ids(1), np.zeros((1, 2), np.float32))
    server.stop()
    try:
        for call in (lambda: len(index), lambda: index.add(ids(2), np.zeros((1, 2), np.float32))):
            with pytest.raises(
                InklingsError, match=r"was lost, and 2 attempts to go on failed: .*\. What earlier"
            ) as caught:
                call()
            assert not isinstance(caught.value, InputError)
            assert_no_secret(caught)
    finally:
        server.start()
    assert len(index) == 1


# --- bad input


def assert_no_secret(caught: pytest.ExceptionInfo[BaseException], *secrets: str) -> None:
    text = "".join(traceback.format_exception(caught.value)) + repr(caught.value.args)
    chain: BaseException | None = caught.value
    while chain is not None:
        text += str(chain)
        chain = chain.__cause__ or chain.__context__
    for secret in (PASSWORD, "p@ss", WRONG, *secrets):
        assert secret not in text


@pytest.mark.parametrize(
    "string",
    [
        "host=localhost password=hush s3cr3t",
        "mysql://postgres:s3cr3t@localhost/x",
        "postgresql://postgres:s3cr3t%@localhost/x",
        "postgresql://postgres:hush@s3cr3t@localhost/x",
        "postgresql://postgres:hush/s3cr3t@localhost/x",
        "postgresql://postgres:1234/s3cr3t@localhost/x",
        "postgresql://postgres:s3cr3t/x",
        "postgresql://postgres:hush@localhost/x?s3cr3t=1",
        "s3cr3t",
    ],
)
def test_a_string_that_cannot_be_read_is_not_shown(string: str) -> None:
    with pytest.raises(
        ConfigError, match=r"cannot be read; it is not shown.*Allowed: postgresql://USER"
    ) as caught:
        PgVector(string, dimension=2, table="t")
    assert_no_secret(caught, "hush")


def test_a_string_that_leads_nowhere_says_where(server: Server) -> None:
    cases = {
        server.address(password=WRONG): "password authentication failed",
        server.address(user="stranger"): "stranger",
        server.address(database="absent"): '"absent" does not exist',
        server.address().replace("inklings-pg-", "elsewhere-"): "No such file",
        "postgresql://postgres:s3cr3t@localhost:1/x": (
            "host=localhost port=1 dbname=x user=postgres: .*refused"
        ),
        "host=nowhere.invalid user=me password=s3cr3t": "nowhere.invalid",
    }
    for string, words in cases.items():
        with pytest.raises(
            ConfigError, match=f"cannot use the PostgreSQL server at .*{words}.*Check"
        ) as caught:
            PgVector(string, dimension=2, table="t")
        assert_no_secret(caught)


def test_a_server_without_the_extension_says_how_to_get_it(server: Server) -> None:
    query(server, "CREATE DATABASE bare")
    query(server, "CREATE ROLE plain LOGIN PASSWORD 's3cr3t'")
    with pytest.raises(ConfigError, match=r"may not create it.*CREATE EXTENSION vector;") as caught:
        PgVector(
            server.address(user="plain", password=WRONG, database="bare"), dimension=2, table="t"
        )
    assert_no_secret(caught)
    query(server, "ALTER DATABASE bare SET extension_control_path = '/nowhere'")
    with pytest.raises(
        ConfigError, match=r"has no pgvector extension.*postgresql-NN-pgvector"
    ) as caught:
        PgVector(server.address(database="bare"), dimension=2, table="t")
    assert_no_secret(caught)


def test_a_table_that_does_not_fit_is_refused_and_left_alone(server: Server, table: str) -> None:
    PgVector(server.address(), dimension=3, table=table).add(ids(1), np.zeros((1, 3), np.float32))
    with pytest.raises(
        ConfigError, match=f"'{table}' at .* holds vectors of dimension 3, not 4. Give 3"
    ):
        PgVector(server.address(), dimension=4, table=table)
    assert len(PgVector(server.address(), dimension=3, table=table)) == 1
    query(server, f'CREATE TABLE "other {table}" (id int, words text)')
    with pytest.raises(
        ConfigError, match="is not a memory: it has the columns id integer, words text"
    ):
        PgVector(server.address(), dimension=4, table=f"other {table}")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"dimension": 0}, "dimension is 0; pgvector allows 1 to 16000"),
        ({"dimension": 16001}, "1 to 16000"),
        ({"dimension": 2001, "hnsw": True}, "1 to 2000 with an HNSW index, 16000 without"),
        ({"table": ""}, "0 bytes"),
        ({"table": "é" * 32}, "64 bytes; PostgreSQL allows 1 to 63"),
        ({"table": "a\0b"}, "none of them zero"),
        ({"ef_search": 0}, "ef_search is 0"),
        ({"ef_search": 1001}, "1 to 1000"),
    ],
)
def test_settings_out_of_range(server: Server, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PgVector(server.address(), **{"dimension": 2, "table": "t", **settings})


def test_a_refused_call_changes_nothing(server: Server, table: str) -> None:
    index = PgVector(server.address(), dimension=2, table=table)
    vectors = np.array([[1, 2], [3, 4]], np.float32)
    index.add(ids(1, 2), vectors)
    broken = vectors.copy()
    broken[1, 0] = np.nan
    refused: list[tuple[str, Callable[[], Any]]] = [
        (r"not new.*\(id\)=\(2\).*Nothing was added", lambda: index.add(ids(5, 2), vectors)),
        ("not new", lambda: index.add(ids(5, 5), vectors)),
        ("-1 is negative", lambda: index.add(ids(5, -1), vectors)),
        ("vector 1 of 2 has a value that is NaN", lambda: index.add(ids(5, 6), broken)),
        (r"shape \(2, 3\)", lambda: index.add(ids(5, 6), np.zeros((2, 3), np.float32))),
        ("2 of 3 ids are not in the table.*: 7, 8", lambda: index.remove(ids(1, 7, 8))),
        ("given twice", lambda: index.remove(ids(1, 1))),
        ("1 of 2 ids", lambda: index.update(ids(1, 7), vectors[::-1].copy())),
        ("given twice", lambda: index.update(ids(1, 1), vectors)),
        ("NaN or infinite", lambda: index.update(ids(1, 2), np.full((2, 2), np.inf, np.float32))),
        ("7 ids are not in .*: 3, 4, 5, 6, 7, ...", lambda: index.vectors(np.arange(3, 10))),
        ("k is 0", lambda: index.search(vectors, 0)),
        ("NaN", lambda: index.search(broken, 1)),
        (r"shape \(1, 1\)", lambda: index.search(np.zeros((1, 1), np.float32), 1)),
    ]
    for words, call in refused:
        with pytest.raises(InputError, match=words):
            call()
    assert len(index) == 2
    assert index.vectors(ids(1, 2)).tobytes() == vectors.tobytes()


def test_what_the_server_refuses_is_said(server: Server, table: str) -> None:
    index = PgVector(server.address(), dimension=2, table=table)
    query(server, f'DROP TABLE "{table}"')
    with pytest.raises(
        InklingsError,
        match=f'refused: relation "{table}" does not exist.*Check that the table is there',
    ):
        index.add(ids(1), np.zeros((1, 2), np.float32))
    query(
        server,
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION"
        " USING ERRCODE = 'disk_full', MESSAGE = 'could not extend file'; END $$",
    )
    index = PgVector(server.address(), dimension=2, table=table)
    query(
        server, f'CREATE TRIGGER full_disk BEFORE INSERT ON "{table}" EXECUTE FUNCTION full_disk()'
    )
    with pytest.raises(DiskError, match=r"is full: could not extend file\. Free"):
        index.add(ids(1), np.zeros((1, 2), np.float32))


@pytest.mark.parametrize("module", ["psycopg", "pgvector", "pgvector.psycopg"])
def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'inklings\[memory\]'"):
        PgVector("postgresql://localhost", dimension=2, table="t")


def test_the_module_loads_neither_library() -> None:
    code = (
        "import inklings.memory.backends.pgvector, sys; sys.exit(bool({'psycopg', 'pgvector'} &"
        " set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
