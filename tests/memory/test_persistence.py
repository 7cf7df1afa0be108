from __future__ import annotations

import errno
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inklings.durable import disk_errors
from inklings.errors import ConfigError, DiskError, RunError
from inklings.memory import persistence
from inklings.memory.persistence import load, read_manifest, save
from inklings.memory.store import Entries, Hits, Memory

from .twin import BACKENDS, Twin, config, facts


def lived(backend: str, capacity: int = 700) -> Memory:
    """A memory that was filled beyond its capacity.

    With removals, updates, ageing and many equal vectors.
    """
    twin = Twin(config(backend, capacity=capacity, clusters=20, probes=4))
    for _ in range(3):
        twin.add(500)
        twin.remove(0.1)
        twin.update(0.1)
        twin.age(0.9)
    twin.add(400)
    return twin.memory


def same_hits(first: Hits, second: Hits) -> None:
    for field in fields(Hits):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name))


def same_memory(first: Memory, second: Memory) -> None:
    np.testing.assert_array_equal(first.ids, second.ids)
    for field in fields(Entries):
        np.testing.assert_array_equal(
            getattr(first.entries(), field.name), getattr(second.entries(), field.name)
        )
    np.testing.assert_array_equal(first.vectors(), second.vectors())
    assert (first.clock, first.next_id, first.config) == (
        second.clock,
        second.next_id,
        second.config,
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_reopened_it_answers_and_lives_on_the_same(backend: str, tmp_path: Path) -> None:
    memory = lived(backend)
    save(memory, tmp_path / "memory")
    again = load(tmp_path / "memory")
    same_memory(memory, again)
    generator = np.random.default_rng(5)
    for _ in range(3):
        queries = generator.standard_normal((30, 8)).round(1)
        same_hits(memory.search(queries, 7), again.search(queries, 7))
        new, about = generator.standard_normal((150, 8)), facts(generator, 150)
        for each in (memory, again):
            each.add(new, **about)
            each.forget(0.05, np.random.default_rng(1))
    same_memory(memory, again)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("count", [0, 3])
def test_empty_and_small_memories_are_saved_too(backend: str, count: int, tmp_path: Path) -> None:
    memory = Memory(config(backend))
    memory.add(np.eye(count, 8), **facts(np.random.default_rng(0), count))
    save(memory, tmp_path / "deep" / "memory")
    again = load(tmp_path / "deep" / "memory")
    same_memory(memory, again)
    same_hits(memory.search(np.eye(2, 8), 4), again.search(np.eye(2, 8), 4))


def test_any_flipped_byte_is_refused(tmp_path: Path) -> None:
    memory = Memory(config("hnsw"))
    memory.add(np.eye(5, 8), **facts(np.random.default_rng(0), 5))
    save(memory, tmp_path)
    generator = np.random.default_rng(0)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 1 + len(read_manifest(tmp_path).files)
    for path in files:
        data = path.read_bytes()
        for at in generator.choice(
            len(data), 200 if path.name == "manifest.json" else 20, replace=False
        ).tolist():
            path.write_bytes(
                data[:at] + bytes([data[at] ^ (1 << int(generator.integers(8)))]) + data[at + 1 :]
            )
            with pytest.raises(RunError, match=r"damaged|format|Inklings"):
                load(tmp_path)
        for changed in (data[:-1], data + b"\n", b""):
            path.write_bytes(changed)
            with pytest.raises(RunError, match="damaged"):
                load(tmp_path)
        path.unlink()
        with pytest.raises(RunError, match=r"missing|not a saved memory"):
            load(tmp_path)
        path.write_bytes(data)
    load(tmp_path)


def test_a_memory_of_something_else_is_refused(tmp_path: Path) -> None:
    save(lived("exact"), tmp_path / "memory", model="m1", tokenizer="t1")
    load(tmp_path / "memory", dimension=8, model="m1", tokenizer="t1")
    for expected, words in (
        ({"dimension": 9}, r"another dimension.*8.*9"),
        ({"model": "m2"}, r"another model.*m1.*m2"),
        ({"tokenizer": "t2"}, r"another tokenizer.*t1.*t2"),
    ):
        with pytest.raises(RunError, match=words):
            load(tmp_path / "memory", **expected)
    with pytest.raises(RunError, match="not a saved memory"):
        load(tmp_path / "nothing")


def test_a_newer_format_asks_for_an_upgrade(tmp_path: Path) -> None:
    save(lived("exact"), tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 2}))
    with pytest.raises(RunError, match="Upgrade"):
        load(tmp_path)


def test_the_manifest_says_what_it_is(tmp_path: Path) -> None:
    save(lived("flat"), tmp_path, model="m", tokenizer="t")
    content = json.loads((tmp_path / "manifest.json").read_text())
    assert content["metric"] == "squared_l2"
    assert (content["dimension"], content["count"], content["backend"]) == (8, 700, "flat")
    assert (content["model"], content["tokenizer"], content["inklings"]) == ("m", "t", "0.1.0")


def test_saving_over_a_memory_replaces_it_whole(tmp_path: Path) -> None:
    first, second = lived("flat"), lived("exact", capacity=300)
    save(first, tmp_path)
    save(second, tmp_path)
    same_memory(load(tmp_path), second)
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.json"} | {
        f["name"] for f in read_manifest(tmp_path).files.values()
    }


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("broken", ["_write", "write_json"])
def test_a_full_disk_leaves_what_was_there(
    there: bool, broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "memory"
    old = lived("flat")
    if there:
        save(old, folder)
    before = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    real, calls = getattr(persistence, broken), []

    def full(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == (4 if broken == "_write" else 1):
            with disk_errors(folder):
                raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(persistence, broken, full)
    with pytest.raises(DiskError, match="full"):
        save(lived("exact", capacity=300), folder)
    assert {
        path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()
    } == before
    assert folder.exists() == there
    if there:
        same_memory(load(folder), old)


def test_a_crash_before_the_manifest_leaves_the_old_memory(tmp_path: Path) -> None:
    old = lived("exact")
    save(old, tmp_path)
    (tmp_path / "vectors-0badcafe.npy").write_bytes(b"half a file")
    same_memory(load(tmp_path), old)
    save(old, tmp_path)
    assert not (tmp_path / "vectors-0badcafe.npy").exists()


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all I have")
    with pytest.raises(RunError, match=r"thesis\.txt"):
        save(lived("exact"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


class Server:
    """A backend outside of this process: no state to save, found again with what it holds."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.name, self.dimension = inner, "pgvector", inner.dimension
        self.add, self.update, self.remove = inner.add, inner.update, inner.remove
        self.search, self.vectors, self.compact = inner.search, inner.vectors, inner.compact

    def __len__(self) -> int:
        return len(self.inner)


def test_a_memory_in_a_database_finds_its_vectors_again(tmp_path: Path) -> None:
    made = lived("exact")
    server = Server(made.index)
    memory = Memory(config("pgvector", capacity=700), Server(Memory(config("exact")).index))
    memory.add(made.vectors(), values=made.ids, positions=made.ids, documents=made.ids)
    save(memory, tmp_path)
    queries = np.eye(4, 8)
    with pytest.raises(ConfigError, match="index=PgVector"):
        load(tmp_path)
    for index in (memory.index, Server(Memory(config("exact")).index)):
        np.testing.assert_array_equal(
            load(tmp_path, index=index).search(queries, 5).ids, memory.search(queries, 5).ids
        )
    with pytest.raises(RunError, match="not those saved"):
        load(tmp_path, index=server)
