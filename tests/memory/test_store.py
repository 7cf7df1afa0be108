from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from inklings.errors import ConfigError, InputError
from inklings.memory.arrays import checked_column, checked_ids, checked_vectors
from inklings.memory.backends.index import LocalIndex
from inklings.memory.store import Entries, Memory, MemoryConfig, Span

from .twin import BACKENDS, EXACT, Twin, config, facts, known_of

POLICIES = ["oldest", "least_used", "lowest_score"]


def drive(backend: str, small: int, large: int, policies: list[str]) -> None:
    """So many random operations for each policy on a memory that is full most of the time.

    And on one that is worth clusters.
    """
    found = findable = 0
    for seed, policy in enumerate(policies):
        for capacity, largest, count in ((30, 20, small), (1500, 700, large)):
            twin = Twin(
                config(backend, capacity=capacity, eviction=policy, clusters=20, probes=12), seed
            )
            for _ in range(count // 10):
                twin.at_random(10, largest=largest)
                twin.check()
            assert twin.operations == count
            found, findable = found + twin.found, findable + twin.findable
            assert isinstance(twin.memory.index, LocalIndex)
            if capacity == 1500 or backend in (*EXACT, "hnsw"):
                assert twin.memory.index.ready
    assert found / findable >= (1.0 if backend in EXACT else 0.9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_random_operations_agree_with_a_dictionary(backend: str) -> None:
    drive(backend, 60, 40, POLICIES)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_ten_thousand_operations_agree_with_a_dictionary(backend: str) -> None:
    drive(backend, 3000, 340, POLICIES)


class Sequences(RuleBasedStateMachine):
    """Looks for the shortest sequence of operations after which memory and dictionary differ."""

    @initialize(
        backend=st.sampled_from(BACKENDS),
        policy=st.sampled_from(POLICIES),
        capacity=st.integers(1, 12),
        seed=st.integers(0, 99),
    )
    def begin(self, backend: str, policy: str, capacity: int, seed: int) -> None:
        self.twin = Twin(config(backend, capacity=capacity, eviction=policy, dimension=4), seed)

    @rule(operation=st.integers(0, 11))
    def operate(self, operation: int) -> None:
        self.twin.one(operation, largest=14)

    @rule()
    def empty(self) -> None:
        self.twin.remove(1.0)

    @invariant()
    def agree(self) -> None:
        if hasattr(self, "twin"):
            self.twin.check()


Sequences.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
test_any_short_sequence_agrees_with_a_dictionary = Sequences.TestCase


def filled(backend: str = "exact", count: int = 20, **settings: Any) -> Memory:
    generator = np.random.default_rng(1)
    memory = Memory(config(backend, **settings))
    memory.add(generator.standard_normal((count, 8)), **facts(generator, count))
    return memory


def snapshot(memory: Memory) -> list[Any]:
    entries = memory.entries()
    return [getattr(entries, f.name).tolist() for f in fields(Entries)] + [
        memory.vectors().tolist(),
        memory.clock,
        len(memory.index),
    ]


NAN = np.full((2, 8), np.nan)
HUGE = np.full((2, 8), 1e30)
TWO = np.arange(2)
BAD: list[tuple[str, Any, str]] = [
    (
        "a wrong dimension",
        lambda m: m.add(np.zeros((2, 7)), values=TWO, positions=TWO, documents=TWO),
        r"\(2, 7\).*\(n, 8\)",
    ),
    (
        "one vector alone",
        lambda m: m.add(np.zeros(8), values=TWO, positions=TWO, documents=TWO),
        r"\(n, 8\)",
    ),
    ("NaN", lambda m: m.add(NAN, values=TWO, positions=TWO, documents=TWO), "NaN"),
    ("infinity", lambda m: m.add(NAN * np.inf, values=TWO, positions=TWO, documents=TWO), "NaN"),
    ("out of range", lambda m: m.add(HUGE, values=TWO, positions=TWO, documents=TWO), "too large"),
    (
        "beyond float32",
        lambda m: m.add(HUGE * 1e30, values=TWO, positions=TWO, documents=TWO),
        "too large",
    ),
    (
        "too few values",
        lambda m: m.add(np.zeros((2, 8)), values=np.arange(3), positions=TWO, documents=TWO),
        "values",
    ),
    ("scores that are NaN", lambda m: m.update(TWO, scores=np.array([1.0, np.nan])), "scores"),
    (
        "more than the capacity",
        lambda m: m.add(
            np.zeros((41, 8)),
            values=np.arange(41),
            positions=np.arange(41),
            documents=np.arange(41),
        ),
        "41.*40",
    ),
    ("an unknown id to remove", lambda m: m.remove(np.array([3, 77])), "77"),
    ("an id twice", lambda m: m.remove(np.array([3, 3])), "twice"),
    ("an unknown id to update", lambda m: m.update(np.array([3, 77]), values=TWO), "77"),
    ("an unknown id to look up", lambda m: m.entries(np.array([40])), "40"),
    ("an unknown id to look at", lambda m: m.vectors(np.array([-1])), "-1"),
    (
        "too few vectors to update",
        lambda m: m.update(TWO, vectors=np.zeros((1, 8)), values=TWO),
        "1 vectors",
    ),
    ("NaN to update", lambda m: m.update(TWO, vectors=NAN, values=TWO), "NaN"),
    ("NaN to search", lambda m: m.search(NAN, 3), r"queries\[0\]"),
    (
        "a query of the wrong size",
        lambda m: m.search(np.zeros((2, 7)), 3),
        r"queries.*\(2, 7\).*\(n, 8\)",
    ),
    ("an infinite query", lambda m: m.search(np.full((2, 8), -np.inf), 3), r"queries\[0\]"),
    (
        "a wrong dimension to update",
        lambda m: m.update(TWO, vectors=np.zeros((2, 9))),
        r"\(2, 9\).*\(n, 8\)",
    ),
    ("k of zero", lambda m: m.search(np.zeros((1, 8)), 0), "k is 0"),
    ("k above the capacity", lambda m: m.search(np.zeros((1, 8)), 41), "k is 41.*40"),
    (
        "filters for other queries",
        lambda m: m.search(np.zeros((1, 8)), 2, documents=TWO),
        "documents",
    ),
    (
        "windows for other queries",
        lambda m: m.search(np.zeros((1, 8)), 2, leaving_out=Span(TWO, TWO, TWO)),
        "documents",
    ),
    ("a factor above 1", lambda m: m.forget(1.5, np.random.default_rng()), "factor"),
    ("a decay above 1", lambda m: m.age(1.5), "decay"),
    ("time running backwards", lambda m: m.age(steps=-1), "steps"),
    ("a negative count", lambda m: m.evict(-1), "count"),
    ("more time than the clock has", lambda m: m.age(steps=2**63), "clock"),
    ("a threshold that is none", lambda m: m.near_zero(float("nan")), "threshold"),
    ("noise that is none", lambda m: m.info(noise=float("inf")), "noise"),
    ("no sample", lambda m: m.info(sample=0), "sample"),
    (
        "scores beyond float32",
        lambda m: m.update(TWO, scores=np.array([1.0, 1e300])),
        "scores.*float32",
    ),
    (
        "scores beyond float32 to add",
        lambda m: m.add(
            np.zeros((2, 8)), values=TWO, positions=TWO, documents=TWO, scores=TWO - 1e300
        ),
        "scores",
    ),
    (
        "values that would turn negative",
        lambda m: m.update(TWO, values=TWO.astype(np.uint64)),
        "values is of uint64",
    ),
    ("ids that would turn negative", lambda m: m.remove(TWO.astype(np.uint64)), "ids is of uint64"),
    (
        "a document that would turn negative",
        lambda m: m.search(np.zeros((2, 8)), 2, documents=TWO.astype(np.uint64)),
        "documents is of uint64",
    ),
]


@pytest.mark.parametrize(
    ("call", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
@pytest.mark.parametrize("backend", ["exact", "hnsw"])
def test_a_refused_call_changes_nothing(backend: str, call: Any, message: str) -> None:
    memory = filled(backend)
    before = snapshot(memory)
    with pytest.raises(InputError, match=message):
        call(memory)
    assert snapshot(memory) == before


def test_ids_are_whole_numbers() -> None:
    with pytest.raises(InputError, match=r"float64.*whole numbers"):
        checked_ids(np.array([1.5]))
    assert checked_ids(np.array([])).dtype == np.int64


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_empty_memory_does_what_there_is_to_do(backend: str) -> None:
    memory = filled(backend)
    memory.clear()
    for empty in (Memory(config(backend)), memory):
        for documents in (None, TWO):
            hits = empty.search(
                np.zeros((2, 8)), 5, documents=documents, leaving_out=Span(TWO, TWO, TWO)
            )
            assert hits.ids.tolist() == hits.values.tolist() == hits.ages.tolist() == [[-1] * 5] * 2
            assert np.isposinf(hits.distances).all()
        empty.age(0.5)
        empty.compact()
        for none in (
            empty.evict(3),
            empty.forget(1.0, np.random.default_rng()),
            empty.near_zero(1.0),
            empty.ids,
            empty.vectors(),
        ):
            assert len(none) == 0
        assert (empty.info().count, empty.info().recall) == (0, None)
        with pytest.raises(InputError, match="there is no entry with id 0"):
            empty.remove(np.array([0]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_more_hits_than_entries_are_masked(backend: str) -> None:
    """A caller that is to refuse it looks at `len(memory)`; a model reads what there is."""
    hits = filled(backend, count=3).search(np.zeros((2, 8)), 5)
    assert ((hits.ids >= 0) == [[True] * 3 + [False] * 2] * 2).all()
    for name, missing in (
        ("values", -1),
        ("positions", -1),
        ("documents", -1),
        ("ages", -1),
        ("uses", -1),
        ("scores", 0),
    ):
        assert (getattr(hits, name)[:, 3:] == missing).all(), name
    assert np.isposinf(hits.distances[:, 3:]).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dimension", 0),
        ("capacity", 0),
        ("clusters", 0),
        ("probes", 0),
        ("code_bytes", 3),
        ("refine", 0),
        ("links", 1),
        ("build_width", 0),
        ("search_width", 0),
        ("seed", -1),
    ],
)
def test_a_setting_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"MemoryConfig\.{name}.*{value}"):
        MemoryConfig(**{"dimension": 8, name: value})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("backend", "excat", "mean 'exact'.*ivfpq"), ("eviction", "newest", "least_used")],
)
def test_an_unknown_name_is_answered_with_those_there_are(
    name: str, value: str, words: str
) -> None:
    settings = config("exact")
    object.__setattr__(settings, name, value)  # past the types, which are checked while tests run
    with pytest.raises(ConfigError, match=rf"MemoryConfig\.{name}.*{value}.*{words}"):
        settings.__post_init__()


NO_FLOATS = [np.uint64, np.complex64, np.complex128, np.bool_, np.object_, np.str_, "datetime64[s]"]
NO_IDS = [np.uint64, np.complex128, np.bool_, np.object_, np.str_, np.float16, np.longdouble]


@pytest.mark.parametrize("dtype", NO_FLOATS, ids=str)
def test_types_that_float32_cannot_hold_are_refused(dtype: Any) -> None:
    with pytest.raises(InputError, match=r"scores is of .*float32"):
        checked_column("scores", np.ones(2).astype(int).astype(dtype), 2, np.float32)
    with pytest.raises(InputError, match=r"queries is of .*float32"):
        checked_vectors(np.ones((2, 3)).astype(int).astype(dtype), 3, "queries")


@pytest.mark.parametrize("dtype", NO_IDS, ids=str)
def test_types_that_int64_cannot_hold_are_refused(dtype: Any) -> None:
    for check in (checked_ids, lambda given: checked_column("values", given, 2, np.int64)):
        with pytest.raises(InputError, match=r"is of .*int64"):
            check(np.ones(2).astype(int).astype(dtype))


@given(
    hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.float64, np.longdouble, np.int64, np.uint32]),
        st.integers(0, 5),
    )
)
def test_what_is_kept_is_finite_and_what_was_given(given_numbers: Any) -> None:
    """Finite after the cast, not before it."""
    with np.errstate(over="ignore"):
        cast = given_numbers.astype(np.float32)
    if np.isfinite(cast).all():
        kept = checked_column("scores", given_numbers, len(given_numbers), np.float32)
        assert (
            kept.dtype == np.float32
            and np.array_equal(kept, cast)
            and not np.shares_memory(kept, given_numbers)
        )
    else:
        with pytest.raises(InputError, match="scores has NaN or infinite"):
            checked_column("scores", given_numbers, len(given_numbers), np.float32)


def test_fractions_are_no_tokens() -> None:
    with pytest.raises(InputError, match=r"positions is of float64.*whole"):
        checked_column("positions", np.array([0.5]), 1, np.int64)


def test_pgvector_wants_to_be_given_its_index() -> None:
    with pytest.raises(ConfigError, match="index=PgVector"):
        Memory(config("pgvector"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_empty_memory_answers_with_nothing(backend: str) -> None:
    memory = Memory(config(backend))
    for _ in range(2):
        hits = memory.search(np.zeros((3, 8)), 4)
        assert (hits.ids == -1).all()
        assert np.isinf(hits.distances).all()
        assert memory.search(np.zeros((0, 8)), 4).ids.shape == (0, 4)
        assert memory.info().recall is None
        memory.add(np.ones((5, 8)), **facts(np.random.default_rng(0), 5))
        memory.clear()


class Failing:
    """An index, as of a server, that dies in the middle: the call named fails once."""

    def __init__(self, inner: Any, call: str) -> None:
        self.inner, self.call, self.name, self.dimension = inner, call, "failing", inner.dimension

    def __getattr__(self, name: str) -> Any:
        if name in ("ready", "state", "restore"):
            raise AttributeError(name)
        return getattr(self.inner, name)

    def _maybe(self, name: str) -> None:
        if name == self.call:
            self.call = ""
            raise InputError("the server is away")

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        self._maybe("add")
        self.inner.add(ids, vectors)

    def update(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        self._maybe("update")
        self.inner.update(ids, vectors)

    def remove(self, ids: np.ndarray) -> None:
        self._maybe("remove")
        self.inner.remove(ids)

    def search(self, queries: np.ndarray, k: int) -> Any:
        return self.inner.search(queries, k)

    def vectors(self, ids: np.ndarray) -> Any:
        return self.inner.vectors(ids)

    def __len__(self) -> int:
        return len(self.inner)


@pytest.mark.parametrize("call", ["add", "remove", "update"])
def test_a_backend_that_fails_leaves_the_memory_as_it_was(call: str) -> None:
    inner = Memory(config("exact")).index
    memory = Memory(config("exact"), Failing(inner, ""))
    memory.add(np.eye(40, 8), **facts(np.random.default_rng(0), 40))
    before = snapshot(memory)
    memory.index.call = call  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="away"):
        if call == "update":
            memory.update(TWO, vectors=np.ones((2, 8)), values=TWO)
        else:
            memory.add(np.ones((4, 8)), **facts(np.random.default_rng(0), 4))
    assert snapshot(memory) == before
    later = memory.add(np.ones((4, 8)), **facts(np.random.default_rng(0), 4))
    assert later.min() >= 40


def test_entries_of_another_writer_are_not_given() -> None:
    memory = filled(count=10)
    memory.index.add(np.array([1000, 1001]), np.zeros((2, 8), np.float32))
    hits = memory.search(np.zeros((1, 8)), 5)
    assert set(hits.ids[0].tolist()) <= set(range(10))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(0, 30))
def test_the_most_used_entries_stay(uses: list[int], count: int) -> None:
    memory = Memory(config("exact", eviction="least_used", dimension=1, capacity=30))
    ids = memory.add(
        np.arange(len(uses))[:, None] * 1.0, **facts(np.random.default_rng(0), len(uses))
    )
    for entry, times in enumerate(uses):
        for _ in range(times):
            memory.search(np.array([[float(entry)]]), 1)
    gone = memory.evict(count)
    stay = np.setdiff1d(ids, gone)
    assert len(gone) == min(count, len(uses))
    if len(gone) and len(stay):
        assert max((uses[i], i) for i in gone) < min((uses[i], i) for i in stay)


def test_forgetting_is_independent_for_each_entry() -> None:
    count, rounds, factor = 400, 100, 0.3
    generator = np.random.default_rng(0)
    kept = np.zeros((rounds, count))
    for i in range(rounds):
        memory = Memory(config("exact", dimension=1, capacity=count))
        memory.add(np.zeros((count, 1)), **facts(generator, count))
        memory.forget(factor, generator)
        kept[i, memory.ids] = 1
    assert abs(kept.mean() - (1 - factor)) < 4 * np.sqrt(factor * (1 - factor) / kept.size)
    # the number that stays is binomial, and neighbours know nothing of each other
    assert 0.6 < kept.sum(1).var() / (count * factor * (1 - factor)) < 1.6
    assert abs(np.corrcoef(kept[:, :-1].ravel(), kept[:, 1:].ravel())[0, 1]) < 0.03
    none, all_of_them = filled(), filled()
    assert not len(none.forget(0.0, generator))
    assert len(all_of_them.forget(1.0, generator)) == 20


def test_old_scores_give_way_to_new_ones() -> None:
    memory = Memory(config("exact", eviction="lowest_score", capacity=2))
    about = facts(np.random.default_rng(0), 1)
    memory.add(np.ones((1, 8)), **about, scores=np.array([1.0]))
    memory.age(0.5)
    memory.add(np.ones((1, 8)), **about, scores=np.array([0.8]))
    memory.add(np.ones((1, 8)), **about, scores=np.array([0.1]))
    assert sorted(memory.ids.tolist()) == [1, 2]
    assert memory.search(np.ones((1, 8)), 2).ages.max() == 0


def test_looking_without_counting() -> None:
    memory = filled()
    memory.search(np.zeros((3, 8)), 5, count_uses=False)
    assert not memory.entries().uses.any()


def test_an_entry_may_be_looked_at_twice() -> None:
    memory = filled()
    twice = np.array([7, 7])
    np.testing.assert_array_equal(*memory.vectors(twice))
    assert memory.entries(twice).ids.tolist() == [7, 7]


def test_what_the_memory_gives_is_a_copy() -> None:
    memory = filled()
    before = snapshot(memory)
    for array in (
        memory.ids,
        memory.vectors(),
        memory.entries().values,
        memory.entries().scores,
        memory.lengths,
    ):
        array[:] = 0
    assert snapshot(memory) == before


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_copy_and_the_memory_that_was_copied_know_nothing_of_each_other(
    backend: str, policy: str
) -> None:
    """Each goes its own way after the copy.

    The other's answers and entries stay, and both do what a dictionary says.
    """
    sizes = [(30, 20)]
    if policy == "oldest":  # how a backend holds many does not depend on the policy
        sizes.append((800, 300))
    for capacity, largest in sizes:
        twin = Twin(
            config(backend, capacity=capacity, eviction=policy, clusters=20, probes=12), seed=1
        )
        twin.at_random(20, largest=largest)
        for keep_first in (True, False):
            twin.copy(keep_first)
            for _ in range(10):
                twin.at_random(3, largest=largest)
                twin.check()
                twin.check_aside()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_copy_lives_on_as_the_first_would(backend: str) -> None:
    first = filled(backend, 700, capacity=900, clusters=20, probes=4, eviction="least_used")
    first.remove(np.arange(0, 200, 2))
    second = first.copy()
    generator = np.random.default_rng(2)
    for _ in range(3):
        queries, new, about = (
            generator.standard_normal((20, 8)),
            generator.standard_normal((150, 8)),
            facts(generator, 150),
        )
        for each in (first, second):
            each.search(queries, 5)
            each.add(new, **about)
            each.forget(0.05, np.random.default_rng(1))
        assert known_of(first, queries) == known_of(second, queries)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_empty_memory_is_copied_too(backend: str) -> None:
    first = filled(backend)
    first.clear()
    for memory in (first, Memory(config(backend))):
        second = memory.copy()
        given = second.add(np.eye(3, 8), **facts(np.random.default_rng(0), 3))
        assert given.tolist() == list(range(memory.next_id, memory.next_id + 3))
        assert (len(second), len(memory)) == (3, 0)
        assert memory.search(np.eye(1, 8), 2).ids.tolist() == [[-1, -1]]


def test_a_memory_in_a_database_is_not_copied() -> None:
    memory = Memory(config("exact"), Failing(Memory(config("exact")).index, ""))
    with pytest.raises(InputError, match="cannot be copied"):
        memory.copy()


@pytest.mark.parametrize("backend", BACKENDS)
def test_info_measures_recall(backend: str) -> None:
    memory = filled(backend, 700, capacity=700, clusters=16, probes=1)
    info = memory.info(5)
    assert (info.count, info.capacity, info.dimension, info.backend, info.recall_at) == (
        700,
        700,
        8,
        backend,
        5,
    )
    assert info.ready
    assert info.recall is not None
    if backend in EXACT:
        assert info.recall == 1.0
    if backend.startswith("ivf"):
        assert 0.2 < info.recall < 0.99  # one cluster of sixteen is not enough, and it says so
    assert not memory.entries().uses.any()
