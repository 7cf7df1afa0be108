"""Tensors that were saved in one file, or in parts by several processes that held a part each.

`NAME.safetensors` is the one file. Else there is `NAME-00001-of-00004.safetensors` and so on, each
a file with hashes of its own, and `NAME.safetensors.index.json`, which says which rows of which
tensor are in which part, and the hash of each part's header. Readers are given the path of the one
file, and get the same either way.
"""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inklings.cut_tensors import own_part, own_rows
from inklings.durable import (
    BLOCK,
    is_file,
    new_file,
    read_checked_json,
    read_errors,
    write_checked_json,
)
from inklings.errors import ConfigError, RunError
from inklings.runs.tensors.checked_files import (
    TensorFacts,
    TensorFile,
    check_tensors,
    file_order,
    open_tensor_file,
    tensor_sizes,
    write_read_tensors,
    write_tensors,
)
from inklings.values import from_file, from_mapping


@dataclass(frozen=True)
class CutTensor:
    """A tensor in the index of parts."""

    dtype: str
    shape: tuple[int, ...]
    pieces: tuple[tuple[int, int, int], ...]
    """Number of a part, from 0, and the first row in it and the row behind its last; in order."""


@dataclass(frozen=True, kw_only=True)
class PartIndex:
    """The content of an index of parts."""

    metadata: dict[str, str]
    parts: list[str]
    """The hash of the header of each part."""
    tensors: dict[str, CutTensor]


@dataclass(frozen=True)
class SavedTensors:
    """Tensors on the disk: only what is asked for is read, and checked as it is read."""

    metadata: Mapping[str, str]
    """Further facts, as they were given."""
    facts: Mapping[str, TensorFacts]
    """Of every tensor, in the order in which reading them is quickest."""
    read: Callable[[str, slice | None], Tensor] = field(repr=False)
    """Reads a tensor, or some of its rows."""


def write_part(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], *, part: int, count: int
) -> dict[str, Any]:
    """Write what this process holds of tensors; the first part has all that is not cut.

    Args:
        path: the one file that others would be in.
        tensors: none may share memory with another.
        metadata: further facts.
        part: the number of the part, from 0: the rank of this process.
        count: how many parts there are.

    Returns:
        What `write_index` has to know of the part, as plain values.
    """
    rows = {name: own_rows(tensor) for name, tensor in tensors.items()}
    own, pieces = dict[str, Tensor](), dict[str, Any]()
    for name, tensor in tensors.items():
        piece = rows[name] or slice(0, TensorFacts.of(tensor).rows)
        if part == 0 or (rows[name] is not None and piece.start < piece.stop):
            own[name] = own_part(tensor)
            pieces[name] = {**asdict(TensorFacts.of(tensor)), "rows": [piece.start, piece.stop]}
    header = write_tensors(_part_path(path, part, count), own, metadata)
    return {"header": header, "pieces": pieces}


def write_index(path: Path, written: Sequence[dict[str, Any]], metadata: Mapping[str, str]) -> None:
    """Write the index of parts.

    Args:
        path: the one file that the tensors would be in.
        written: what `write_part` returned, for every part in order.
        metadata: further facts.
    """
    tensors: dict[str, Any] = {}
    for number, part in enumerate(written):
        for name, piece in part["pieces"].items():
            entry = {"dtype": piece["dtype"], "shape": piece["shape"], "pieces": []}
            tensors.setdefault(name, entry)["pieces"].append([number, *piece["rows"]])
    content = {
        "metadata": dict(metadata),
        "parts": [part["header"] for part in written],
        "tensors": tensors,
    }
    write_checked_json(_index_path(path), content)


@contextlib.contextmanager
def open_tensors(path: Path) -> Iterator[SavedTensors]:
    """Open tensors that are in a file, or in parts beside it.

    Raises:
        RunError: something is missing, cannot be read, is a pickle or not safetensors, is damaged,
            or is from a newer format.
    """
    if not _is_in_parts(path):
        with open_tensor_file(path) as file:
            yield SavedTensors(file.metadata, file.facts, file.read)
        return
    index = _read_index(path)
    with contextlib.ExitStack() as stack:
        opened: dict[int, TensorFile] = {}

        def piece_of(name: str, part: int, rows: slice | None) -> Tensor:
            if part not in opened:
                opened[part] = stack.enter_context(_opened_part(path, index, part))
            return opened[part].read(name, rows)

        def read(name: str, rows: slice | None) -> Tensor:
            tensor = index.tensors[name]
            if rows is None and len(tensor.pieces) == 1:
                return piece_of(name, tensor.pieces[0][0], None)
            first, end, _ = (rows or slice(None)).indices(tensor.pieces[-1][2])
            found = [
                piece_of(name, part, slice(max(first - begin, 0), min(end, stop) - begin))
                for part, begin, stop in tensor.pieces
                if max(first, begin) < min(end, stop)
            ]
            if not found:
                return piece_of(name, tensor.pieces[0][0], slice(0, 0))
            return torch.cat(found) if len(found) > 1 else found[0]

        yield SavedTensors(index.metadata, _facts(index), read)


def read_ahead(path: Path) -> SavedTensors:
    """Read all tensors that are in a file, or in parts beside it; every byte is checked.

    They are held in memory until they are asked for: each can be read once.

    Raises:
        RunError: as `open_tensors`.
    """
    if not _is_in_parts(path):
        with open_tensor_file(path) as file:
            held = file.read_all()
            return SavedTensors(file.metadata, file.facts, lambda name, rows: held.pop(name))
    index = _read_index(path)
    parts = []
    for part in range(len(index.parts)):
        with _opened_part(path, index, part) as file:
            parts.append(file.read_all())

    def read(name: str, rows: slice | None) -> Tensor:
        pieces = [parts[part].pop(name) for part, _, _ in index.tensors[name].pieces]
        return torch.cat(pieces) if len(pieces) > 1 else pieces[0]

    return SavedTensors(index.metadata, _facts(index), read)


def check_saved(path: Path) -> list[str]:
    """Read every byte of tensors in a file or in parts, and return what is wrong."""
    if not _is_in_parts(path):
        return _problems(lambda: check_tensors(path))
    index: list[PartIndex] = []
    problems = _problems(lambda: index.append(_read_index(path)))
    for part in range(len(index[0].parts) if index else 0):

        def check(part: int = part) -> None:
            with _opened_part(path, index[0], part) as file:
                file.check()

        problems += _problems(check)
    return problems


def write_whole(source: Path, path: Path) -> None:
    """Write tensors that are in a file, or in parts beside it, as one file.

    Args:
        source: the file that they are in, or would be in.
        path: the new file.

    Raises:
        RunError: they cannot be read, or parts of them are damaged.
    """
    if _is_in_parts(source):
        with open_tensors(source) as saved:
            write_read_tensors(
                path, saved.facts, saved.metadata, read=lambda name: saved.read(name, None)
            )
        return
    with new_file(path) as copy, read_errors(source), open(source, "rb") as file:
        shutil.copyfileobj(file, copy, BLOCK)


def saved_sizes(path: Path) -> list[int]:
    """Return how many elements each tensor in a file, or in parts beside it, has.

    Raises:
        RunError: what says so cannot be read.
    """
    if not _is_in_parts(path):
        return tensor_sizes(path)
    return [math.prod(tensor.shape) for tensor in _read_index(path).tensors.values()]


def leading_file(path: Path) -> Path:
    """Return the file that says which tensors are there: the one file, or the index of parts."""
    return _index_path(path) if _is_in_parts(path) else path


def saved_files(path: Path) -> list[Path]:
    """Return the files that tensors are in: one, or an index and the parts that it names."""
    if not _is_in_parts(path):
        return [path]
    try:
        count = len(_read_index(path).parts)
    except RunError:
        count = 0
    return [_index_path(path), *(_part_path(path, part, count) for part in range(count))]


def _index_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.index.json")


def _part_path(path: Path, part: int, count: int) -> Path:
    return path.with_name(f"{path.stem}-{part + 1:05d}-of-{count:05d}{path.suffix}")


def _is_in_parts(path: Path) -> bool:
    return not is_file(path) and is_file(_index_path(path))


def _facts(index: PartIndex) -> dict[str, TensorFacts]:
    facts = {name: TensorFacts(cut.dtype, cut.shape) for name, cut in index.tensors.items()}
    return {name: facts[name] for name in file_order(facts)}


def _read_index(path: Path) -> PartIndex:
    """Read the index of parts, and check that every row of every tensor is in one of them."""
    place = _index_path(path)
    content = read_checked_json(place, remedy="An older checkpoint may be whole.")
    index = from_file(PartIndex, content, place)
    tensors = {}
    try:
        if not all(isinstance(value, str) for value in index.metadata.values()):
            raise ConfigError("its metadata are not text.")
        for name, entry in content["tensors"].items():
            cut = from_mapping(CutTensor, entry, where=name)
            end, before = 0, -1
            for part, begin, stop in cut.pieces:
                if begin != end or stop < begin or not before < part < len(index.parts):
                    raise ConfigError(f"the rows of {name} do not follow each other.")
                end, before = stop, part
            facts = TensorFacts(cut.dtype, cut.shape)
            if not cut.pieces or end != facts.rows or facts.row < 0:
                raise ConfigError(f"some rows of {name} are in no part.")
            tensors[name] = cut
    except (ConfigError, TypeError, AttributeError, KeyError) as error:
        raise RunError(f"{place} is damaged or was edited: {error}") from None
    return PartIndex(metadata=index.metadata, parts=index.parts, tensors=tensors)


@contextlib.contextmanager
def _opened_part(path: Path, index: PartIndex, part: int) -> Iterator[TensorFile]:
    """Open a part, and check that it is the one that the index was written for."""
    place = _part_path(path, part, len(index.parts))
    with open_tensor_file(place) as file:
        expected = {
            name: TensorFacts(cut.dtype, (stop - begin, *cut.shape[1:]) if cut.shape else ())
            for name, cut in index.tensors.items()
            for number, begin, stop in cut.pieces
            if number == part
        }
        if file.header_sha256 != index.parts[part] or file.facts != expected:
            raise RunError(
                f"{place} is damaged: it is not the part that {_index_path(path).name} names."
            )
        yield file


def _problems(check: Callable[[], Any]) -> list[str]:
    try:
        check()
    except RunError as error:
        return [str(error)]
    return []
