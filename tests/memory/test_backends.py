from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import inklings.memory.backends.nearest
from inklings.errors import InputError, MissingExtraError
from inklings.memory.backends.exact import Exact
from inklings.memory.backends.faiss_index import IVF, IVFPQ
from inklings.memory.backends.flat import Flat
from inklings.memory.backends.hnsw import HNSW
from inklings.memory.backends.nearest import SPARE_BFLOAT16, _candidates, _lowest, nearest, widened
from inklings.memory.rows import Rows
from inklings.memory.store import Memory

from .twin import config, facts


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def brute(
    ids: np.ndarray, vectors: np.ndarray, queries: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    distances = np.square(queries.astype(float)[:, None] - vectors.astype(float)).sum(2)
    order = np.stack([np.lexsort((ids, row))[:k] for row in distances])
    return ids[order], np.take_along_axis(distances, order, 1)


CASES = {
    "normal": lambda g, n, d: g.standard_normal((n, d)),
    "clustered": lambda g, n, d: (
        g.standard_normal((20, d))[g.integers(0, 20, n)] + 0.001 * g.standard_normal((n, d))
    ),
    "far from the origin": lambda g, n, d: 3000 + g.standard_normal((n, d)),
    "mostly equal": lambda g, n, d: g.integers(0, 2, (n, 1)) * np.ones((n, d)),
    "of all sizes": lambda g, n, d: g.standard_normal((n, d)) * 10.0 ** g.integers(-6, 7, (n, 1)),
    "the same in bfloat16, though not their products": lambda g, n, d: (
        200 + g.integers(-4, 5, (n, d))
    ),
    "all rounded the same way": lambda g, n, d: (
        (1.002 + 0.0018 * g.random((n, 1))) * np.ones((n, d))
    ),
    "tiny": lambda g, n, d: 1e-22 * g.standard_normal((n, d)),
    "large": lambda g, n, d: 1e14 * g.standard_normal((n, d)),
}


@pytest.mark.parametrize("products", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", CASES)
def test_exact_is_exact_whatever_the_vectors(case: str, products: Any) -> None:
    generator = np.random.default_rng(3)
    n, d, k = 5000, 12, 7  # more than `FEW`, so that bfloat16 is used where it is asked for
    vectors = CASES[case](generator, n, d).astype(np.float32)
    queries = np.concatenate([vectors[:6], CASES[case](generator, 6, d).astype(np.float32)])
    ids = generator.permutation(n) + 10
    index = Exact(d, products=products)
    index.add(ids, vectors)
    for _ in range(2):
        found, distances = index.search(queries, k)
        expected, true = brute(ids, vectors, queries, k)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(distances, true, rtol=1e-6, atol=1e-44)


@pytest.mark.parametrize("products", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", CASES)
def test_no_vector_that_was_left_out_lies_below_the_limit(case: str, products: Any) -> None:
    """The certificate itself.

    Answers alone do not show a bound that is too narrow, as long as there is luck.
    """
    generator = np.random.default_rng(3)
    vectors = CASES[case](generator, 5000, 12).astype(np.float32)
    queries = np.concatenate([vectors[:6], CASES[case](generator, 30, 12).astype(np.float32)])
    index = Exact(12, products=products)
    index.add(np.arange(5000), vectors)
    rows, limit = _candidates(torch.from_numpy(queries), index._among(), 7, products == "bfloat16")
    points, all_of_them = queries.astype(np.longdouble), vectors.astype(np.longdouble)
    scores = np.square(all_of_them).sum(1) / 2 - points @ all_of_them.T
    np.put_along_axis(scores, rows.numpy(), np.inf, 1)
    assert (scores >= limit.numpy()[:, None]).all()


@pytest.mark.parametrize("products", ["float32", "bfloat16"])
def test_ordinary_vectors_are_searched_once(products: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inklings.memory.backends.nearest, "_possible", None)
    index = Exact(12, products=products)
    index.add(np.arange(5000), normal(0, 5000, 12))
    found = nearest(torch.from_numpy(normal(1, 20, 12)), index._among(), 5, torch.arange(5000))
    assert found.uncertified == 0


def test_more_candidates_are_taken_where_few_do_not_do() -> None:
    """Vectors that bfloat16 does not tell apart.

    After a few searches it is not asked any more, until the memory has grown.
    """
    index = Exact(12, products="bfloat16")
    index.add(np.arange(5000), (3000 + normal(0, 5000, 12)).astype(np.float32))
    spares = [index._among().spare]
    while index._among().rounded is not None:
        index.search(3000 + normal(1, 4, 12), 5)
        spares.append(index._among().spare)
    assert tuple(dict.fromkeys(spares))[: len(SPARE_BFLOAT16)] == SPARE_BFLOAT16
    index.add(np.arange(5000, 11_000), normal(2, 6000, 12))
    assert index._among().rounded is not None


@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 200), st.integers(0, 2**31))
def test_the_lowest_are_found_by_groups(rows: int, groups: int, count: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    width = 64 * groups
    count = min(count, width - 10)
    scores = torch.from_numpy(
        generator.integers(0, generator.choice([3, 1000]), (rows, width)).astype(np.float32)
    )
    scores[:, width - 10 :] = torch.inf
    values, places = _lowest(scores, count)
    assert values.sort().values.tolist() == scores.sort().values[:, :count].tolist()
    assert scores.gather(1, places).tolist() == values.tolist()
    assert all(len(set(row)) == count for row in places.tolist())


def test_candidates_without_the_certificate_would_be_wrong() -> None:
    """Vectors far from the origin.

    Float32 products alone do not order them, so the test above needs the second look.
    """
    vectors = (3000 + np.random.default_rng(3).standard_normal((5000, 12))).astype(np.float32)
    scores = (vectors * vectors).sum(1) / 2 - vectors @ vectors[0]
    nearest = brute(np.arange(5000), vectors, vectors[:1], 7)[0][0]
    assert not set(nearest.tolist()) <= set(np.argsort(scores)[:23].tolist())


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2**31)), max_size=30))
def test_rows_stay_dense(steps: list[tuple[int, int]]) -> None:
    rows, given_ids = Rows(), 0
    held = np.empty(0, np.int64)  # what the caller keeps beside the ids: here the ids themselves
    for kind, seed in steps:
        generator = np.random.default_rng(seed)
        if kind < 6:
            new = np.arange(given_ids, given_ids + kind)
            given_ids += kind
            assert rows.add(new) == slice(len(held), len(held) + kind)
            held = np.concatenate([held, new])
        else:
            leaving = generator.permutation(held)[: int(generator.integers(0, len(held) + 1))]
            holes, movers = rows.remove(leaving)
            assert len(holes) <= len(leaving)
            held[holes] = held[movers]
            held = held[: len(held) - len(leaving)]
        assert rows.ids.tolist() == held.tolist()
        assert rows.find(held).tolist() == list(range(len(held)))


@pytest.mark.parametrize("make", [Exact, Flat, IVF, IVFPQ, HNSW])
def test_ids_are_checked_and_nothing_is_done(make: Any) -> None:
    index = make(4)
    index.add(np.arange(5), normal(0, 5, 4))
    calls: tuple[Callable[[], object], ...] = (
        lambda: index.add(np.array([9, 3]), normal(1, 2, 4)),
        lambda: index.add(np.array([9, 9]), normal(1, 2, 4)),
        lambda: index.remove(np.array([0, 9])),
        lambda: index.remove(np.array([0, 0])),
        lambda: index.update(np.array([0, 9]), normal(1, 2, 4)),
        lambda: index.update(np.array([1, 1]), normal(1, 2, 4)),
        lambda: index.vectors(np.array([9])),
    )
    for call in calls:
        with pytest.raises(InputError):
            call()
    assert len(index) == 5
    np.testing.assert_array_equal(index.vectors(np.arange(5)), normal(0, 5, 4))
    assert sorted(index.search(normal(0, 1, 4), 6)[0][0].tolist()) == [-1, 0, 1, 2, 3, 4]


@pytest.mark.parametrize("make", [IVF, IVFPQ])
def test_clusters_are_learned_by_rule(make: Any) -> None:
    index = make(8, clusters=1000, probes=1000)
    reference = Exact(8)
    queries = normal(9, 16, 8)

    def add(count: int) -> None:
        ids = np.arange(len(index), len(index) + count)
        for each in (index, reference):
            each.add(ids, normal(count, count, 8))

    add(623)
    assert not index.ready
    for found, expected in zip(index.search(queries, 5), reference.search(queries, 5), strict=True):
        np.testing.assert_array_equal(found, expected)
    add(1)
    assert index.ready
    assert index._index.nlist == 624 // 39
    add(3 * 624 - 1)
    assert index._index.nlist == 16
    add(1)
    assert index._index.nlist == 4 * 624 // 39
    if make is IVF:  # all clusters are searched: nothing is left to chance
        for found, expected in zip(
            index.search(queries, 5), reference.search(queries, 5), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


def test_clusters_follow_a_memory_that_turns_over() -> None:
    index = IVF(4, probes=1)
    index.add(np.arange(624), normal(0, 624, 4))
    first = index._index.quantizer.reconstruct_n(0, 16)
    for turn in range(1, 5):
        index.add(np.arange(turn * 624, (turn + 1) * 624), normal(turn, 624, 4) + 100)
        index.remove(np.arange((turn - 1) * 624, turn * 624))
    assert len(index) == 624
    assert index._index.quantizer.reconstruct_n(0, 16).mean() > 50 > first.mean() + 40


@pytest.mark.parametrize(("clusters", "expected"), [(1, 1), (7, 7), (16, 16), (1000, 25)])
def test_never_more_clusters_than_one_for_39(clusters: int, expected: int) -> None:
    index = IVF(4, clusters=clusters)
    index.add(np.arange(1000), normal(0, 1000, 4))
    assert index._index.nlist == expected


def test_codes_grow_with_the_vectors() -> None:
    index = IVFPQ(8)
    assert index.code_bytes == 2
    index.add(np.arange(700), normal(0, 700, 8))
    assert index._index.pq.nbits == 4
    index.add(np.arange(700, 10_000), normal(1, 9300, 8))
    assert index._index.pq.nbits == 8
    assert IVFPQ(7).code_bytes == 1
    assert IVFPQ(768).code_bytes == 192


def test_a_graph_is_built_anew_when_enough_is_dead() -> None:
    index = HNSW(4)
    index.add(np.arange(100), normal(0, 100, 4))
    index.remove(np.arange(30))
    assert index._index.ntotal == 100
    assert index.search(normal(1, 1, 4), 100)[0][0, 70:].tolist() == [-1] * 30
    index.remove(np.arange(30, 31))
    assert index._index.ntotal == len(index) == 69
    index.remove(np.arange(31, 100))
    assert index.search(normal(1, 2, 4), 3)[0].tolist() == [[-1] * 3] * 2
    index.add(np.array([100]), np.ones((1, 4), np.float32))
    assert index.search(normal(1, 1, 4), 2)[0].tolist() == [[100, -1]]


def test_removed_neighbours_do_not_stand_before_living_ones() -> None:
    index, reference = HNSW(4), Exact(4)
    for each in (index, reference):
        each.add(np.arange(1000), normal(0, 1000, 4))
    query = normal(1, 1, 4)
    nearest = reference.search(query, 250)[0][0]
    for each in (index, reference):
        each.remove(nearest)
    assert index._index.ntotal == 1000
    np.testing.assert_array_equal(index.search(query, 5)[0], reference.search(query, 5)[0])


@pytest.mark.parametrize("make", [IVF, IVFPQ, HNSW])
def test_an_index_restored_grows_as_the_first_would(make: Any) -> None:
    first, second = make(8), make(8)
    first.add(np.arange(700), normal(0, 700, 8))
    first.remove(np.arange(0, 100))
    second.restore(np.arange(100, 700), first.vectors(np.arange(100, 700)), first.state())
    for each in (first, second):
        each.add(np.arange(700, 900), normal(1, 200, 8))
        each.update(np.arange(200, 300), normal(2, 100, 8))
    for name, array in first.state().items():
        np.testing.assert_array_equal(array, second.state()[name])
    for each in (first, second):  # and it goes on as before
        each.remove(np.arange(700, 710))
    for mine, others in zip(
        first.search(normal(3, 50, 8), 10), second.search(normal(3, 50, 8), 10), strict=True
    ):
        np.testing.assert_array_equal(mine, others)


@pytest.mark.parametrize("make", [Flat, IVF, IVFPQ, HNSW])
def test_the_same_steps_give_the_same_answers(make: Any) -> None:
    answers = []
    for _ in range(2):
        index = make(8)
        index.add(np.arange(700), normal(0, 700, 8))
        index.remove(np.arange(0, 300, 3))
        index.add(np.arange(700, 900), normal(1, 200, 8))
        answers.append(index.search(normal(2, 20, 8), 5))
    for first, second in zip(*answers, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("backend", ["flat", "ivf", "ivfpq", "hnsw"])
def test_without_faiss_the_error_names_the_extra(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.import_module

    def without(name: str, package: str | None = None) -> Any:
        if name == "faiss":
            raise ModuleNotFoundError("No module named 'faiss'", name="faiss")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MissingExtraError, match=rf"{backend}.*inklings\[memory\]"):
        Memory(config(backend))
    memory = Memory(config("exact"))
    memory.add(np.ones((3, 8)), **facts(np.random.default_rng(0), 3))
    assert memory.search(np.ones((1, 8)), 1).distances[0, 0] == 0


def test_a_copy_of_rounded_vectors_stands_on_its_own() -> None:
    """More than `FEW`, so that the answers come from the vectors in bfloat16."""
    first = Exact(8, products="bfloat16")
    first.add(np.arange(5000), normal(0, 5000, 8))
    second = first.copy()
    second.update(np.arange(0, 5000, 2), 5 + normal(2, 2500, 8))
    assert first._rounded is not None
    assert torch.equal(first._rounded[:5000], widened(torch.from_numpy(normal(0, 5000, 8))))
    queries = normal(3, 20, 8)
    for found, expected in zip(
        first.search(queries, 5),
        brute(np.arange(5000), normal(0, 5000, 8), queries, 5),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("make", [Exact, Flat, IVF, IVFPQ, HNSW])
def test_compact_leaves_no_room_for_what_is_gone(make: Any) -> None:
    index = make(8)
    index.add(np.arange(800), normal(0, 800, 8))
    index.add(np.arange(800, 810), normal(1, 10, 8))
    index.remove(np.arange(0, 800, 8))  # too few for a graph to be built anew
    queries = index.vectors(np.arange(801, 810))
    before = index.search(queries, 5)
    index.compact()
    exact = index if make is Exact else getattr(index, "_exact", None)
    if exact is not None:
        assert len(exact._full) == len(exact._half_norms) == len(exact._rows._ids) == 710
    if make is HNSW:
        assert index._index.ntotal == len(index._nodes) == len(index._id_of) == 710
    if make is Flat:
        assert index._index.codes.size() == 710 * 8 * 4
    assert index.search(queries, 1)[0][:, 0].tolist() == list(range(801, 810))
    if make is not HNSW:
        for mine, earlier in zip(index.search(queries, 5), before, strict=True):
            np.testing.assert_array_equal(mine, earlier)
    index.remove(np.setdiff1d(np.arange(800), np.arange(0, 800, 8)))
    index.remove(np.arange(800, 810))
    index.compact()
    assert index.search(queries, 2)[0].tolist() == [[-1, -1]] * 9
    index.add(np.arange(900, 903), normal(3, 3, 8))
    assert index.search(normal(3, 3, 8), 1)[0][:, 0].tolist() == [900, 901, 902]


def test_exact_makes_no_more_room_than_its_capacity() -> None:
    index = Exact(4, capacity=100)
    for at in range(0, 100, 10):
        index.add(np.arange(at, at + 10), normal(at, 10, 4))
    assert len(index._full) == 100
    assert torch.isfinite(index._full).all()


@pytest.mark.parametrize(
    "index",
    [
        IVF(8, probes=1),
        IVFPQ(8, probes=1, refine=1),
        HNSW(8, links=2, build_width=2, search_width=1),
    ],
    ids=lambda index: index.name,
)
@given(k=st.integers(1, 900), seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_as_many_are_found_as_there_are(index: Any, k: int, seed: int) -> None:
    """One cluster is looked into, or a graph that falls apart.

    What is missing then comes from all.
    """
    if not len(index):
        # two heaps far apart, so that the nearest cluster is far from holding all
        index.add(
            np.arange(700),
            normal(0, 700, 8) + 100 * (np.arange(700) % 2)[:, None].astype(np.float32),
        )
        index.remove(np.arange(0, 700, 9))
    assert index.ready
    queries = normal(seed, 3, 8)
    found, distances = index.search(queries, k)
    there = min(k, len(index))
    for row, near in zip(found.tolist(), distances, strict=True):
        assert len({known for known in row if known >= 0}) == there
        assert row[there:] == [-1] * (k - there)
        assert (np.diff(near[:there]) >= 0).all() and np.isinf(near[there:]).all()
