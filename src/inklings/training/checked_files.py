"""Files that can tell whether they are as they were written: JSON with its own hash, and tensors with theirs.

Tensors are safetensors files whose metadata holds the hashes of the data in blocks, so that one file says all and
appears in one rename. Pickles are refused: loading one runs the code in it.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from inklings.durable import BLOCK, read_json, sha256, write_bytes, write_json
from inklings.errors import RunError

FORMAT_VERSION = 1
_HASHES = "block_sha256"
_HEADER_HASH = "header_sha256"


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()


def write_checked_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain values with `format_version` and their hash, atomically."""
    plain = json.loads(_canonical({**content, "format_version": FORMAT_VERSION}))
    write_json(path, {**plain, "sha256": sha256(_canonical(plain))})


def read_checked_json(path: Path) -> dict[str, Any]:
    """What `write_checked_json` wrote.

    Raises:
        RunError: the file is missing, damaged, changed since it was written, or from a newer format.
    """
    value = read_json(path, format_version=FORMAT_VERSION)
    found = value.pop("sha256", None)
    if found != sha256(_canonical(value)):
        raise RunError(f"{path} is damaged or was edited: its hash does not fit. Settings are given on the command line, for a new run.")
    return dict(value)


def _block_hashes(data: memoryview) -> list[str]:
    return [hashlib.sha256(data[at : at + BLOCK]).hexdigest() for at in range(0, len(data), BLOCK)]


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors (none sharing memory with another) as safetensors, with hashes in the metadata, atomically."""
    plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    data = safetensors.torch.save(plain)
    header, start = _split_header(data)
    payload = memoryview(data)[start:]
    hashes = _block_hashes(payload)
    facts = {**metadata, "format_version": str(FORMAT_VERSION), _HASHES: " ".join(hashes)}
    facts[_HEADER_HASH] = sha256(_canonical([header, facts]))
    text = json.dumps({"__metadata__": facts, **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    write_bytes(path, b"".join([struct.pack("<Q", len(text)), text, payload]))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a file that `write_tensors` wrote, every byte checked.

    Raises:
        RunError: the file is missing, a pickle, not safetensors, damaged, or from a newer format.
    """
    data, metadata = _checked(path)
    return safetensors.torch.load(data), metadata


def check_tensors(path: Path) -> dict[str, str]:
    """The metadata of a file of tensors, after every byte was checked; see `read_tensors`."""
    return _checked(path)[1]


def _checked(path: Path) -> tuple[bytes, dict[str, str]]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise RunError(f"{path} is missing.") from None
    refuse_pickle(path, data[:8])
    try:
        header, start = _split_header(data)
    except (ValueError, struct.error):
        raise RunError(f"{path} is damaged or is not a safetensors file.") from None
    metadata = header.pop("__metadata__", {})
    if _HEADER_HASH not in metadata:
        raise RunError(f"{path} was not written by Inklings: it lacks the hashes of its tensors.")
    version = metadata.get("format_version", "")
    if version.isdigit() and int(version) > FORMAT_VERSION:
        raise RunError(
            f"{path} is of format {version}; this version of Inklings reads up to {FORMAT_VERSION}. Upgrade Inklings to open it."
        )
    facts = {key: value for key, value in metadata.items() if key != _HEADER_HASH}
    payload = memoryview(data)[start:]
    hashes = facts.pop(_HASHES, "").split()
    found = _block_hashes(payload)
    if sha256(_canonical([header, {**facts, _HASHES: " ".join(hashes)}])) != metadata[_HEADER_HASH]:
        raise RunError(f"{path} is damaged: its header is not as it was written.")
    if found != hashes:
        bad = [str(i) for i, (a, b) in enumerate(zip(found, hashes, strict=False)) if a != b]
        where = f"in blocks {', '.join(bad)} of 4 MiB" if bad else "it is cut short or has grown"
        raise RunError(f"{path} is damaged: {where}.")
    return data, facts


def _split_header(data: bytes) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file and where its data starts."""
    (length,) = struct.unpack("<Q", data[:8])
    if length > len(data) - 8:
        raise ValueError("the header is longer than the file")
    header = json.loads(data[8 : 8 + length])
    if not isinstance(header, dict):
        raise ValueError("the header is not an object")
    return header, 8 + length


def refuse_pickle(path: Path, beginning: bytes) -> None:
    """Raise a `RunError` if a file begins like a pickle, or like the archive that `torch.save` makes."""
    if beginning.startswith((b"PK\x03\x04", b"\x80")) and not _plausible_header(path, beginning):
        raise RunError(
            f"{path} is a pickle (torch.save), which is never loaded: it can run any code. "
            "Where you trust it, read it with torch.load(..., weights_only=True) and store it with safetensors."
        )


def _plausible_header(path: Path, beginning: bytes) -> bool:
    """Whether the first eight bytes are a length that fits the file: a small header may happen to begin with 0x80."""
    return len(beginning) == 8 and struct.unpack("<Q", beginning)[0] <= path.stat().st_size - 8


def shared_names(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Names of tied tensors, each with the first name under which the same memory appears."""
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
