"""Files of tensors that hold their own hashes.

They are safetensors files whose metadata holds the hashes of the data in blocks, so one file holds
everything and appears in one rename. They are written and read block by block, so nobody needs room
for a whole file. Pickles are refused: loading one runs the code in it.
"""

from __future__ import annotations

import contextlib
import json
import math
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from inklings.durable import (
    BLOCK,
    canonical,
    check_regular,
    new_file,
    parse_json,
    read_errors,
    sha256,
)
from inklings.errors import RunError

FORMAT_VERSION = 1
HASHING = 2
"""Threads that hash beside the one that writes: it takes twice as long as writing."""
_HASHES = "block_sha256"
_HEADER_HASH = "header_sha256"
_DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "U16": torch.uint16,
    "U32": torch.uint32,
    "U64": torch.uint64,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "C64": torch.complex64,
}
"""Types of numbers by the names that safetensors gives them."""
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


@dataclass(frozen=True)
class TensorFacts:
    """What the header of a file says of a tensor."""

    dtype: str
    """As safetensors names it."""
    shape: tuple[int, ...]

    @property
    def row(self) -> int:
        """Bytes of a row: what has one index in the first dimension; of a number, all."""
        return math.prod(self.shape[1:]) * _DTYPES[self.dtype].itemsize

    @property
    def rows(self) -> int:
        """How many rows there are; a number is one."""
        return self.shape[0] if self.shape else 1

    @classmethod
    def of(cls, tensor: Tensor) -> TensorFacts:
        """Return the facts of a tensor."""
        return cls(_NAMES[tensor.dtype], tuple(tensor.shape))


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Write tensors as safetensors, atomically, with their hashes in the metadata.

    Args:
        path: the file.
        tensors: none may share memory with another.
        metadata: further facts.

    Returns:
        The hash of the header, which holds those of the data: no other content has it.
    """
    facts = {name: TensorFacts.of(tensor) for name, tensor in tensors.items()}
    return write_read_tensors(path, facts, metadata, read=tensors.__getitem__)


def write_read_tensors(
    path: Path,
    facts: Mapping[str, TensorFacts],
    metadata: Mapping[str, str],
    *,
    read: Callable[[str], Tensor],
) -> str:
    """Write what `write_tensors` does, of tensors that are fetched one by one.

    Args:
        path: the file.
        facts: of the tensors.
        metadata: further facts.
        read: fetches a tensor.

    Returns:
        The hash of the header.
    """
    names = file_order(facts)
    layout, end = dict[str, Any](), 0
    for name in names:
        size = facts[name].row * facts[name].rows
        layout[name] = {
            "dtype": facts[name].dtype,
            "shape": list(facts[name].shape),
            "data_offsets": [end, end + size],
        }
        end += size
    _, place = _header_of(layout, metadata, ["0" * 64] * -(-end // BLOCK))
    with new_file(path) as file:
        file.write(place)  # whose hashes are known at the end, and take as much room then
        blocks = _blocks(_bytes_of(read(name)) for name in names)
        found, header = _header_of(layout, metadata, _hashed(blocks, file.write))
        file.seek(0)
        file.write(header)
    return found


def _hashed(
    blocks: Iterable[bytes | bytearray | memoryview], use: Callable[[Any], object]
) -> list[str]:
    """Hash blocks in threads beside this one, which uses each meanwhile; few are held at once."""
    hashes: list[Future[str]] = []
    with ThreadPoolExecutor(HASHING) as beside:
        for block in blocks:
            hashes.append(beside.submit(sha256, block))
            use(block)
            if len(hashes) > HASHING:
                hashes[-HASHING - 1].result()
    return [each.result() for each in hashes]


def file_order(facts: Mapping[str, TensorFacts]) -> list[str]:
    """Return names of tensors in the order in which they are written.

    Those of large numbers are first, so that each begins at a multiple of its numbers' size.
    """
    return sorted(facts, key=lambda name: (-_DTYPES[facts[name].dtype].itemsize, name))


def _header_of(
    layout: Mapping[str, Any], metadata: Mapping[str, str], hashes: list[str]
) -> tuple[str, bytes]:
    """Return the hash of a header, and its bytes with their length before them."""
    facts = {**metadata, "format_version": str(FORMAT_VERSION), _HASHES: " ".join(hashes)}
    facts[_HEADER_HASH] = sha256(canonical([layout, facts]))
    text = json.dumps({"__metadata__": facts, **layout}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return facts[_HEADER_HASH], struct.pack("<Q", len(text)) + text


def _bytes_of(tensor: Tensor) -> memoryview:
    plain = tensor.detach().to("cpu").contiguous()
    # of a single number, or none, a stride means nothing and may be 0
    return plain.as_strided((plain.numel(),), (1,)).view(torch.uint8).numpy().data


def _blocks(pieces: Iterable[memoryview]) -> Iterator[memoryview | bytearray]:
    """Cut bytes into blocks; those of large pieces are not copied."""
    begun = bytearray()
    for piece in pieces:
        at = 0
        while at < len(piece):
            taken = piece[at : at + BLOCK - len(begun)]
            at += len(taken)
            if len(taken) == BLOCK:
                yield taken
                continue
            begun += taken
            if len(begun) == BLOCK:
                yield begun
                begun = bytearray()
    if begun:
        yield begun


class TensorFile:
    """A file that `write_tensors` wrote, open for reading; what is read of it is checked."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        """Read and check the header; see `open_tensor_file`."""
        self.path = path
        self._file = file
        self._start, header = _header(path, file)
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(
            isinstance(value, str) for value in metadata.values()
        ):
            raise _no_safetensors(path)
        if _HEADER_HASH not in metadata:
            raise RunError(
                f"{path} was not written by Inklings: it lacks the hashes of its tensors."
            )
        version = metadata.get("format_version", "")
        if version.isdecimal() and version != str(FORMAT_VERSION):
            raise RunError(
                f"{path} is of format {version[:20]}; this version of Inklings reads up to"
                f" {FORMAT_VERSION}. Upgrade Inklings to open it."
            )
        self.header_sha256: str = metadata.pop(_HEADER_HASH)
        if sha256(canonical([header, metadata])) != self.header_sha256:
            raise RunError(f"{path} is damaged: its header is not as it was written.")
        self._hashes = metadata.pop(_HASHES, "").split()
        metadata.pop("format_version", None)
        self.metadata: dict[str, str] = metadata
        """Further facts, as they were given."""
        self._size = path.stat().st_size - self._start
        if len(self._hashes) != -(-self._size // BLOCK):
            raise RunError(f"{path} is damaged: it is cut short or has grown.")
        self._places = _layout(path, header, self._size)
        self.facts = {name: facts for name, (facts, _) in self._places.items()}
        """Of every tensor, in the order of the file."""
        self._last: tuple[int, bytes] = (-1, b"")

    def check(self, use: Callable[[bytes], object] = lambda block: None) -> None:
        """Read every byte, once; give `use` each block, which is not checked yet then.

        Raises:
            RunError: one is not as it was written.
        """
        found = _hashed(map(self._data, range(len(self._hashes))), use)
        pairs = enumerate(zip(found, self._hashes, strict=True))
        bad = [str(number) for number, (one, other) in pairs if one != other]
        if bad:
            raise self._damaged(bad)

    def read_all(self) -> dict[str, Tensor]:
        """Return all tensors, in the order of the file; every byte is read and checked once.

        Raises:
            RunError: one is not as it was written.
        """
        found = {
            name: torch.empty(facts.shape, dtype=_DTYPES[facts.dtype])
            for name, facts in self.facts.items()
        }
        rooms = deque(room for room in map(_bytes_of, found.values()) if len(room))

        def fill(block: bytes) -> None:
            rest = memoryview(block)
            while rest and rooms:
                room = rooms.popleft()
                size = min(len(room), len(rest))
                room[:size] = rest[:size]
                rest = rest[size:]
                if size < len(room):
                    rooms.appendleft(room[size:])

        self.check(fill)
        return found

    def read(self, name: str, rows: slice | None = None) -> Tensor:
        """Return a tensor, or some of its rows; only the blocks that hold them are read.

        Raises:
            RunError: one of these blocks is not as it was written, or there is no such tensor.
        """
        facts, begin = self._places[name]
        first, last, _ = (slice(None) if rows is None else rows).indices(facts.rows)
        shape = facts.shape if rows is None else (last - first, *facts.shape[1:])
        found = torch.empty(shape, dtype=_DTYPES[facts.dtype])
        room, at = _bytes_of(found), begin + first * facts.row
        while len(room):
            number, skipped = divmod(at, BLOCK)
            piece = self._sound(number)[skipped : skipped + len(room)]
            room[: len(piece)] = piece
            room, at = room[len(piece) :], at + len(piece)
        return found

    def _sound(self, number: int) -> bytes:
        """Return a block after checking it; tensors that lie side by side often share one."""
        if self._last[0] != number:
            data = self._data(number)
            if sha256(data) != self._hashes[number]:
                raise self._damaged([str(number)])
            self._last = number, data
        return self._last[1]

    def _data(self, number: int) -> bytes:
        with read_errors(self.path):
            self._file.seek(self._start + number * BLOCK)
            return self._file.read(BLOCK)

    def _damaged(self, blocks: list[str]) -> RunError:
        return RunError(f"{self.path} is damaged: in blocks {', '.join(blocks)} of 4 MiB.")


@contextlib.contextmanager
def open_tensor_file(path: Path) -> Iterator[TensorFile]:
    """Open a file of tensors.

    Raises:
        RunError: the file is missing, cannot be read, is a pickle or not safetensors, is damaged,
            or is from a newer format.
    """
    check_regular(path)
    with contextlib.ExitStack() as opened:
        with read_errors(path):
            file = opened.enter_context(open(path, "rb"))
        yield TensorFile(path, file)


def check_tensors(path: Path) -> dict[str, str]:
    """Return the metadata of a file of tensors, after checking every byte.

    Raises:
        RunError: as `open_tensor_file`.
    """
    with open_tensor_file(path) as file:
        file.check()
        return file.metadata


def _header(path: Path, file: BinaryIO) -> tuple[int, dict[str, Any]]:
    """Return where the data of a safetensors file begins, and its header."""
    with read_errors(path):
        beginning = file.read(8)
        refuse_pickle(path, beginning)
        length = int.from_bytes(beginning, "little")
        if not 0 < length <= path.stat().st_size - 8:
            raise _no_safetensors(path)
        text = file.read(length)
    header = parse_json(text, path)
    if not isinstance(header, dict):
        raise _no_safetensors(path)
    return 8 + length, header


def _layout(path: Path, header: Mapping[str, Any], size: int) -> dict[str, tuple[TensorFacts, int]]:
    """Return the facts of every tensor and where its data begins, in the order of the file."""
    places: dict[str, tuple[TensorFacts, int]] = {}
    end = 0
    try:
        for name, stored in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            facts = TensorFacts(stored["dtype"], tuple(stored["shape"]))
            begin, stop = stored["data_offsets"]
            if not all(isinstance(n, int) and n >= 0 for n in facts.shape):
                raise ValueError(f"the shape of {name}")
            if begin != end or stop - begin != facts.row * facts.rows:
                raise ValueError(f"the place of {name}")
            places[name], end = (facts, begin), stop
    except (KeyError, TypeError, ValueError) as error:
        # the hashes fit, and it is no file of ours all the same
        raise RunError(
            f"{path} is damaged: its header does not describe its data ({error})."
        ) from None
    if end != size:
        raise RunError(f"{path} is damaged: it is cut short or has grown.")
    return places


def tensor_sizes(path: Path) -> list[int]:
    """Return how many elements each tensor of a file has, as its header says; the data is not read.

    Raises:
        RunError: the file is missing, cannot be read, or has no header.
    """
    check_regular(path)
    with read_errors(path), open(path, "rb") as file:
        _, header = _header(path, file)
    header.pop("__metadata__", None)
    try:
        return [math.prod(facts["shape"]) for facts in header.values()]
    except (KeyError, TypeError):
        raise _no_safetensors(path) from None


def _no_safetensors(path: Path) -> RunError:
    return RunError(f"{path} is damaged or is not a safetensors file.")


def refuse_pickle(path: Path, beginning: bytes) -> None:
    """Raise a `RunError` if a file begins like a pickle or an archive of `torch.save`."""
    if beginning.startswith((b"PK\x03\x04", b"\x80")) and not _plausible_header(path, beginning):
        raise RunError(
            f"{path} is a pickle (torch.save), which is never loaded: it can run any code. Where"
            " you trust it, read it with torch.load(..., weights_only=True) and store it with"
            " safetensors."
        )


def _plausible_header(path: Path, beginning: bytes) -> bool:
    """Return whether the first eight bytes are a length that fits the file.

    A small header may happen to begin with 0x80.
    """
    return len(beginning) == 8 and struct.unpack("<Q", beginning)[0] <= path.stat().st_size - 8
