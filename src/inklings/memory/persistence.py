"""A memory on disk: a folder of arrays and a manifest that has the hash of each.

The manifest is written last, in one rename, and names the files that belong to it; files of the
memory that was there before go only then. So a reader, or the next run after a crash, finds the old
memory or the new one. One process writes a folder at a time.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

import inklings
from inklings.durable import (
    disk_errors,
    file_sha256,
    is_file,
    read_bytes,
    read_json,
    sha256,
    sync_directory,
    write_json,
)
from inklings.errors import InputError, RunError
from inklings.memory.backends.index import Index, LocalIndex
from inklings.memory.entries import Entries
from inklings.memory.settings import MemoryConfig, SearchedOn
from inklings.memory.store import Memory
from inklings.values import from_mapping

FORMAT_VERSION = 1
METRIC = "squared_l2"
MANIFEST = "manifest.json"
CHUNK = 16_384
"""Vectors written at once."""
_OURS = re.compile(r"[a-z_]+-[0-9a-f]{8}\.npy|\.manifest\.json\.[0-9a-f]{8}\.tmp")


@dataclass(frozen=True)
class Manifest:
    """The manifest of a saved memory."""

    config: MemoryConfig
    count: int
    clock: int
    next_id: int
    model: str | None
    """Hash of the model whose hidden states the vectors are."""
    tokenizer: str | None
    """Hash of the tokenizer whose tokens the values are."""
    inklings: str
    """Version of the library that wrote it."""
    files: Mapping[str, Mapping[str, Any]]
    """For each array its file, the file's bytes and their SHA-256."""


def save(
    memory: Memory, folder: Path, *, model: str | None = None, tokenizer: str | None = None
) -> None:
    """Write a memory to `folder`.

    One that is there already is replaced as a whole, or stays if anything fails.

    Args:
        memory: what to save.
        folder: made if it is absent.
        model: hash of the model that the vectors come from.
        tokenizer: hash of the tokenizer that the values come from.

    Raises:
        RunError: the folder holds something other than a memory.
        DiskError: the disk is full, or may not be written to.
    """
    made = not folder.exists()
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _refuse_others(folder)
    suffix = uuid.uuid4().hex[:8]
    try:
        files = {
            name: _write(folder, f"{name}-{suffix}.npy", *array)
            for name, array in _arrays(memory).items()
        }
        with disk_errors(folder):
            sync_directory(folder)
        content = {
            "format_version": FORMAT_VERSION,
            "inklings": inklings.__version__,
            "dimension": memory.config.dimension,
            "metric": METRIC,
            "count": len(memory),
            "backend": memory.index.name,
            "model": model,
            "tokenizer": tokenizer,
            "clock": memory.clock,
            "next_id": memory.next_id,
            "config": asdict(memory.config),
            "files": files,
        }
        write_json(folder / MANIFEST, {**content, "sha256": _own_hash(content)})
    except BaseException:
        if _is_named(folder, suffix):
            raise  # the manifest was in its place already; only its folder could not be synced
        for path in folder.glob(f"*-{suffix}.npy"):
            path.unlink(missing_ok=True)
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name) and not path.name.endswith(f"-{suffix}.npy"):
            path.unlink(missing_ok=True)


def _is_named(folder: Path, suffix: str) -> bool:
    """Whether the manifest on disk names the arrays of one save."""
    try:
        return suffix in (folder / MANIFEST).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False


def load(
    folder: Path,
    *,
    dimension: int | None = None,
    model: str | None = None,
    tokenizer: str | None = None,
    index: Index | None = None,
    device: SearchedOn | None = None,
) -> Memory:
    """Open a memory that `save` wrote.

    Every byte is checked, and the same queries get the same answers.

    Args:
        folder: what `save` was given.
        dimension: refuse a memory of another one; None takes any.
        model: hash of the model that is to use it; None takes any.
        tokenizer: hash of the tokenizer that is to use it; None takes any.
        index: to search by this one in place of the saved one: empty, or holding the saved entries
            already (`pgvector`).
        device: where FAISS searches from now on; None where it did.

    Raises:
        RunError: the folder is missing, is no memory, is damaged, was written by a newer version,
            or does not match.
        MissingExtraError: the backend needs FAISS, which is not installed.
        ConfigError: the backend is `pgvector` and no index is given, or FAISS cannot search on
            that device.
    """
    manifest = read_manifest(folder)
    config = manifest.config if device is None else replace(manifest.config, device=device)
    expected = {"dimension": dimension, "model": model, "tokenizer": tokenizer}
    found = {
        "dimension": manifest.config.dimension,
        "model": manifest.model,
        "tokenizer": manifest.tokenizer,
    }
    for what, value in expected.items():
        if value is not None and found[what] != value:
            raise RunError(
                f"{folder} is the memory of another {what}: it has {found[what]!r}, asked for is"
                f" {value!r}. Make a memory anew."
            )
    arrays = _read(folder, manifest)
    with _damage(folder):
        vectors, lengths = arrays.pop("vectors"), arrays.pop("lengths")
        entries = Entries(**{field.name: arrays.pop(field.name) for field in fields(Entries)})
        memory = Memory(config, index)
        if index is not None or not isinstance(memory.index, LocalIndex):
            _attach(memory.index, entries.ids, vectors, folder)
        else:
            memory.index.restore(entries.ids, vectors, arrays)
        memory.fill(entries, lengths, clock=manifest.clock, next_id=manifest.next_id)
    return memory


def read_manifest(folder: Path) -> Manifest:
    """Return what a saved memory says about itself; only the manifest is read and checked.

    Raises:
        RunError: the folder is missing, is no memory, its manifest is damaged, or it was written by
            a newer version.
    """
    path = folder / MANIFEST
    if not os.path.lexists(path):
        raise RunError(f"{folder} is not a saved memory: it has no {MANIFEST}.")
    content = read_json(path, format_version=FORMAT_VERSION)
    # as text, too: a byte between the values may have changed without changing them
    try:
        whole = _as_text(content) == read_bytes(path) and content.pop("sha256", None) == _own_hash(
            content
        )
    except (ValueError, RecursionError):
        whole = False
    if not whole:
        raise RunError(f"{path} is damaged or was edited: its hash does not fit.")
    if content.get("metric") != METRIC:
        raise RunError(
            f"{path} is of the metric {content.get('metric')!r}; this version of Inklings knows"
            f" {METRIC!r}."
        )
    with _damage(folder):
        named = {field.name: content[field.name] for field in fields(Manifest)}
        facts = ("name", "bytes", "sha256")
        files = {
            str(name): {fact: about[fact] for fact in facts}
            for name, about in named["files"].items()
        }
        return Manifest(
            **{
                **named,
                "files": files,
                "config": from_mapping(MemoryConfig, content["config"], where=str(path)),
            }
        )


def _arrays(
    memory: Memory,
) -> dict[str, tuple[np.dtype[Any], tuple[int, ...], Iterator[np.ndarray]]]:
    """Iterate over name, type, shape and parts of every array to write."""
    ids = memory.ids
    entries = memory.entries()
    plain = {field.name: getattr(entries, field.name) for field in fields(Entries)} | {
        "lengths": memory.lengths
    }
    if isinstance(memory.index, LocalIndex):
        plain |= memory.index.state()
    arrays = {name: (array.dtype, array.shape, iter([array])) for name, array in plain.items()}
    parts = (memory.index.vectors(ids[at : at + CHUNK]) for at in range(0, len(ids), CHUNK))
    return {"vectors": (np.dtype(np.float32), (len(ids), memory.config.dimension), parts), **arrays}


def _write(
    folder: Path,
    name: str,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    parts: Iterator[np.ndarray],
) -> dict[str, Any]:
    """Write an array a part at a time, synced; returns what the manifest says about it."""
    path = folder / name
    with disk_errors(path), open(path, "wb") as file:
        header = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": shape,
        }
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(np.ascontiguousarray(part).data)
        file.flush()
        os.fsync(file.fileno())
    return {"name": name, "bytes": path.stat().st_size, "sha256": file_sha256(path)}


def _read(folder: Path, manifest: Manifest) -> dict[str, np.ndarray]:
    """Return every array of a saved memory, checked."""
    paths = {name: folder / str(about["name"]) for name, about in manifest.files.items()}
    for name, path in paths.items():
        if not is_file(path):
            raise RunError(f"{folder} is damaged: the file {path.name} is missing.")
        if path.stat().st_size != manifest.files[name]["bytes"]:
            raise RunError(f"{folder} is damaged: {path.name} is cut short or has grown.")
    # hashing and reading a file at the same time: both wait for no other
    with ThreadPoolExecutor(2) as pool:
        hashes = {name: pool.submit(file_sha256, path) for name, path in paths.items()}
        arrays = {}
        for name, path in paths.items():
            # what is damaged may fail to load in any way: the hashes say so better
            with contextlib.suppress(Exception):
                # copy on write: what is large is neither copied nor ever changed on the disk
                arrays[name] = np.load(
                    path,
                    mmap_mode="c" if name == "vectors" and manifest.count else None,
                    allow_pickle=False,
                )
        for name, path in paths.items():
            if hashes[name].result() != manifest.files[name]["sha256"] or name not in arrays:
                raise RunError(
                    f"{folder} is damaged: {path.name} is not as it was written. Restore it from a"
                    " copy, or make it anew."
                )
    return arrays


def _attach(index: Index, ids: Int64[np.ndarray, " n"], vectors: np.ndarray, folder: Path) -> None:
    """Make sure that an index of the caller's holds what was saved."""
    if not len(index):
        index.add(ids, vectors)
        return
    try:
        same = all(
            np.array_equal(index.vectors(ids[at : at + CHUNK]), vectors[at : at + CHUNK])
            for at in range(0, len(ids), CHUNK)
        )
    except InputError:
        same = False
    if not same:
        raise RunError(
            f"the index given for {folder} holds {len(index)} vectors, but not those saved; give an"
            " empty one, or the one that was in use."
        )


@contextlib.contextmanager
def _damage(folder: Path) -> Iterator[None]:
    """Report what does not fit together as a damaged folder, not as a mistake of the caller."""
    try:
        yield
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        EOFError,
        RuntimeError,
        MemoryError,
        OverflowError,
    ) as error:
        if isinstance(error, InputError):
            raise
        raise RunError(f"{folder} is damaged: {error}.") from error


def _refuse_others(folder: Path) -> None:
    """Raise a `RunError` unless everything in the folder is of a memory."""
    others = sorted(
        path.name
        for path in folder.iterdir()
        if path.name != MANIFEST and not _OURS.fullmatch(path.name)
    )
    if others:
        raise RunError(
            f"{folder} holds something other than a memory ({others[0]}); save it to a folder of"
            " its own."
        )


def _own_hash(content: Mapping[str, Any]) -> str:
    return sha256(_as_text(content))


def _as_text(content: Mapping[str, Any]) -> bytes:
    """Return the text that `write_json` would write."""
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
