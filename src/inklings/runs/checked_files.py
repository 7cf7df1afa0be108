"""Files of tensors that hold their own hashes.

They are safetensors files whose metadata holds the hashes of the data in blocks, so one file holds
everything and appears in one rename. Pickles are refused: loading one runs the code in it.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from inklings.durable import (
    BLOCK,
    canonical,
    check_regular,
    parse_json,
    read_bytes,
    read_errors,
    sha256,
    write_bytes,
)
from inklings.errors import RunError

FORMAT_VERSION = 1
_HASHES = "block_sha256"
_HEADER_HASH = "header_sha256"


def _block_hashes(data: memoryview) -> list[str]:
    return [hashlib.sha256(data[at : at + BLOCK]).hexdigest() for at in range(0, len(data), BLOCK)]


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors as safetensors, atomically, with their hashes in the metadata.

    Args:
        path: the file.
        tensors: none may share memory with another.
        metadata: further facts.
    """
    plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    data = safetensors.torch.save(plain)
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    payload = memoryview(data)[start:]
    hashes = _block_hashes(payload)
    facts = {**metadata, "format_version": str(FORMAT_VERSION), _HASHES: " ".join(hashes)}
    facts[_HEADER_HASH] = sha256(canonical([header, facts]))
    text = json.dumps({"__metadata__": facts, **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    write_bytes(path, b"".join([struct.pack("<Q", len(text)), text, payload]))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata of a file that `write_tensors` wrote, and check every byte.

    Raises:
        RunError: the file is missing, cannot be read, is a pickle or not safetensors, is damaged,
            or is from a newer format.
    """
    data, metadata = _checked(path)
    try:
        return safetensors.torch.load(data), metadata
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        # the hashes fit, and it is no file of ours all the same
        raise RunError(
            f"{path} is damaged: its header does not describe its data ({error})."
        ) from None


def check_tensors(path: Path) -> dict[str, str]:
    """Return the metadata of a file of tensors, after checking every byte; see `read_tensors`."""
    return _checked(path)[1]


def tensor_sizes(path: Path) -> list[int]:
    """Return how many elements each tensor of a file has, as its header says; the data is not read.

    Raises:
        RunError: the file is missing, cannot be read, or has no header.
    """
    check_regular(path)
    with read_errors(path), open(path, "rb") as file:
        beginning = file.read(8)
        refuse_pickle(path, beginning)
        length = int.from_bytes(beginning, "little")
        if length > path.stat().st_size - 8:
            raise _no_safetensors(path)
        header = _header(path, file.read(length))
    header.pop("__metadata__", None)
    try:
        return [math.prod(facts["shape"]) for facts in header.values()]
    except (KeyError, TypeError):
        raise _no_safetensors(path) from None


def _checked(path: Path) -> tuple[bytes, dict[str, str]]:
    data = read_bytes(path)
    refuse_pickle(path, data[:8])
    start = 8 + int.from_bytes(data[:8], "little")
    if not 8 < start <= len(data):
        raise _no_safetensors(path)
    header = _header(path, data[8:start])
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) for value in metadata.values()
    ):
        raise _no_safetensors(path)
    if _HEADER_HASH not in metadata:
        raise RunError(f"{path} was not written by Inklings: it lacks the hashes of its tensors.")
    version = metadata.get("format_version", "")
    if version.isdecimal() and version != str(FORMAT_VERSION):
        raise RunError(
            f"{path} is of format {version[:20]}; this version of Inklings reads up to"
            f" {FORMAT_VERSION}. Upgrade Inklings to open it."
        )
    facts = {key: value for key, value in metadata.items() if key != _HEADER_HASH}
    payload = memoryview(data)[start:]
    hashes = facts.pop(_HASHES, "").split()
    found = _block_hashes(payload)
    if sha256(canonical([header, {**facts, _HASHES: " ".join(hashes)}])) != metadata[_HEADER_HASH]:
        raise RunError(f"{path} is damaged: its header is not as it was written.")
    if found != hashes:
        bad = [str(i) for i, (a, b) in enumerate(zip(found, hashes, strict=False)) if a != b]
        where = f"in blocks {', '.join(bad)} of 4 MiB" if bad else "it is cut short or has grown"
        raise RunError(f"{path} is damaged: {where}.")
    return data, facts


def _header(path: Path, text: bytes) -> dict[str, Any]:
    """Return the header of a safetensors file."""
    header = parse_json(text, path)
    if not isinstance(header, dict):
        raise _no_safetensors(path)
    return header


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


def shared_names(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Return names of tied tensors, each with the first name of the same memory."""
    first: dict[tuple[int, torch.Size, tuple[int, ...]], str] = {}
    ties: dict[str, str] = {}
    for name, tensor in state.items():
        if tensor.numel() == 0:
            continue
        key = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if key in first:
            ties[name] = first[key]
        else:
            first[key] = name
    return ties
