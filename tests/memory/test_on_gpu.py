"""FAISS on a GPU: refused where there is none, and always up to date where there is one.

The GPU is a stand-in: a copy on it is a clone, which later changes of the index do not reach.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inklings.errors import ConfigError
from inklings.memory.backends.faiss_index import IVF
from inklings.memory.backends.flat import Flat
from inklings.memory.backends.on_gpu import MOST
from inklings.memory.settings import MemoryConfig
from inklings.memory.store import Memory

DIMENSION = 6
Index = Flat | IVF


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The copies made so far."""
    made: list[Any] = []

    def copied(resources: object, device: int, index: Any) -> Any:
        made.append(faiss.clone_index(index))
        return made[-1]

    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", copied, raising=False)
    return made


MAKERS: dict[str, Callable[[bool], Index]] = {
    "flat": lambda gpu: Flat(DIMENSION, gpu=gpu),
    "ivf": lambda gpu: IVF(DIMENSION, clusters=2, probes=1, gpu=gpu),
}


def vectors(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, DIMENSION), np.float32)


def restored(index: Index, kind: str, gpu: bool) -> Index:
    ids = np.sort(index._rows.ids if isinstance(index, Flat) else index._exact.ids)
    fresh = MAKERS[kind](gpu)
    fresh.restore(ids, index.vectors(ids), index.state())
    return fresh


@pytest.mark.parametrize("kind", MAKERS)
@given(
    steps=st.lists(
        st.sampled_from(["add", "update", "remove", "copy", "compact", "restore", "leave"]),
        min_size=1,
        max_size=6,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_every_change_the_gpu_answers_as_the_cpu(
    kind: str, steps: list[str], copies: list[Any]
) -> None:
    pair = [MAKERS[kind](gpu) for gpu in (False, True)]
    for index in pair:
        index.add(np.arange(90), vectors(0, 90))
    queries = vectors(99, 3)
    for number, step in enumerate(["start", *steps], start=1):
        for place, index in enumerate(pair):
            if step == "add":
                index.add(number * 100 + np.arange(9), vectors(number, 9))
            elif step == "update":
                index.update(index.search(queries, 2)[0][0], vectors(number, 2))
            elif step == "remove":
                index.remove(index.search(queries, 3)[0][0])
            elif step == "copy":
                pair[place] = index.copy()
            elif step == "compact":
                index.compact()
            elif step == "restore":
                pair[place] = restored(index, kind, gpu=place == 1)
            elif step == "leave":  # what is done to a copy stays there
                other = index.copy()
                other.add(np.array([7000 + number]), queries[:1])
                assert 7000 + number in other.search(queries, 1)[0]
        (ids, distances), (other_ids, other_distances) = (i.search(queries, 5) for i in pair)
        np.testing.assert_array_equal(other_ids, ids)
        np.testing.assert_array_equal(other_distances, distances)
    before = len(copies)
    assert before
    pair[1].search(vectors(98, 3), 5)
    assert len(copies) == before  # nothing has changed


@pytest.mark.parametrize("kind", MAKERS)
def test_what_a_copy_takes_in_costs_the_original_nothing(kind: str, copies: list[Any]) -> None:
    index = MAKERS[kind](True)
    index.add(np.arange(90), vectors(0, 90))
    index.search(vectors(1, 2), 5)
    other = index.copy()
    other.add(np.array([100]), vectors(2, 1))
    other.search(vectors(1, 2), 5)
    index.search(vectors(1, 2), 5)
    assert len(copies) == 2
    index.add(np.array([101]), vectors(3, 1))
    other.search(vectors(1, 2), 5)
    assert len(copies) == 2


def test_more_than_a_gpu_selects_is_selected_by_the_cpu(copies: list[Any]) -> None:
    index = Flat(DIMENSION, gpu=True)
    index.add(np.arange(MOST + 5), vectors(0, MOST + 5))
    assert (index.search(vectors(1, 2), MOST + 1)[0] >= 0).all()
    assert not copies
    index.search(vectors(1, 2), MOST)
    assert len(copies) == 1


def test_a_faiss_without_a_gpu_is_refused_with_the_reason(
    copies: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = MemoryConfig(dimension=DIMENSION, backend="ivf", device="cuda")
    Memory(asked)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    with pytest.raises(ConfigError, match="FAISS finds no GPU here"):
        Memory(asked)
    monkeypatch.delattr(faiss, "StandardGpuResources")
    with pytest.raises(ConfigError, match=r"is built for CPUs alone.*faiss-gpu"):
        Memory(asked)


@pytest.mark.parametrize("backend", ["exact", "ivfpq", "hnsw", "pgvector"])
def test_backends_without_a_form_for_gpus_refuse_one(backend: Any) -> None:
    with pytest.raises(ConfigError, match="flat and ivf can be searched on a GPU"):
        MemoryConfig(dimension=DIMENSION, backend=backend, device="cuda")
