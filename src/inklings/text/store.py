"""The token store.

A text as numbers on disk, with the offsets of its documents and a manifest, opened as a memory map.

`prepare` opens the one in the cache or builds it (`building.py`). A store is a directory:

    manifest.json             what it was made from, sizes, hashes, and its own hash
    tokenizer.json            the vocabulary
    SPLIT.tokens.bin          boundary, document, boundary, document, ..., boundary
    SPLIT.offsets.npy         where each document's boundary is, and the last boundary
    SPLIT.bytes.npy           bytes of each document
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Int64, Integer

from inklings import durable
from inklings.config import DataConfig
from inklings.errors import RunError, SourceError
from inklings.text.building import FORMAT_VERSION, OnEvent, build, manifest_hash
from inklings.text.cache import cache_directory
from inklings.text.documents import Source, SplitName
from inklings.text.rules import Rules, notes
from inklings.text.sources.grammar import open_source
from inklings.text.splits import SPLITS
from inklings.text.tokenizers import Tokenizer
from inklings.text.vocabularies import names_a_file

CHECKED_AT_ONCE = 2**28
"""Token files up to this many bytes are checked as a whole when a store is opened; of larger ones,
each block when it is first read.
"""
_ABANDONED = 24 * 3600
"""Seconds after which a half-built store that nobody touches is taken for one whose builder was
killed.
"""


class CheckedBlocks:
    """Remembers which blocks of a file were compared with their hashes.

    The others are when something in them is read.
    """

    def __init__(self, path: Path, hashes: list[str], item_size: int) -> None:
        self.path = path
        self.hashes = hashes
        self.per_block = durable.BLOCK // item_size
        self.checked = np.zeros(len(hashes), dtype=bool)

    def check(self, items: npt.NDArray[np.int64]) -> None:
        """Check the blocks that hold these items.

        Raises:
            RunError: a block is not as it was written.
        """
        if not self.checked.all():
            touched = np.unique(items // self.per_block)
            for block in touched[~self.checked[touched]].tolist():
                self._check_block(block)

    def check_all(self) -> None:
        """Check every block. Errors as `check`."""
        for block in np.flatnonzero(~self.checked).tolist():
            self._check_block(block)

    def _check_block(self, block: int) -> None:
        with durable.read_errors(self.path), open(self.path, "rb") as file:
            file.seek(block * durable.BLOCK)
            data = file.read(durable.BLOCK)
        if durable.sha256(data) != self.hashes[block]:
            raise RunError(
                f"{self.path} is damaged in block {block} of 4 MiB. Delete {self.path.parent}; the"
                " next run builds it again."
            )
        self.checked[block] = True


@dataclass(frozen=True, eq=False)
class TokenSplit:
    """The documents of one split, one after another, each after a boundary.

    And a boundary at the end.
    """

    tokens: Integer[np.ndarray, " n"]
    """uint16 or uint32; token i is the target of position i - 1."""
    offsets: Int64[np.ndarray, " n_offsets"]
    """Where each document's boundary is; the last entry is the boundary at the end."""
    document_bytes: Int64[np.ndarray, " n_documents"]
    """Bytes of each document and one for its end, which is a target like others: the newline of a
    line, or what stands for it.
    """
    boundary: int
    unchecked: CheckedBlocks | None = None
    """Guards a file too large to be checked when it was opened."""

    @property
    def n_documents(self) -> int:
        """How many documents there are."""
        return len(self.document_bytes)

    @property
    def n_targets(self) -> int:
        """How many tokens can be predicted: all but the first boundary."""
        return len(self.tokens) - 1

    @property
    def n_bytes(self) -> int:
        """Bytes of all documents."""
        return int(self.document_bytes.sum())

    def read(self, start: int, stop: int) -> Integer[np.ndarray, " n"]:
        """Tokens from `start` to `stop`, which is not included, or to the end.

        Raises:
            RunError: the file is damaged there.
        """
        stop = min(stop, len(self.tokens))
        if self.unchecked is not None and stop > start:
            self.unchecked.check(
                np.append(np.arange(start, stop, self.unchecked.per_block), stop - 1)
            )
        return self.tokens[start:stop]

    def document(self, index: int) -> Integer[np.ndarray, " n"]:
        """Tokens of one document, without its boundary."""
        return self.read(int(self.offsets[index]) + 1, int(self.offsets[index + 1]))


class TokenStore:
    """An open store.

    Attributes:
        path: Its directory.
        manifest: What it was made from: `source`, `data`, `split`, `tokenizer`, `splits` with
            documents, tokens, bytes and characters of each and how many documents each rule
            dropped, `files` with sizes and hashes.
        tokenizer: The vocabulary.
    """

    def __init__(self, path: Path) -> None:
        """Open a directory.

        Raises:
            RunError: something in it is missing, damaged, or from a newer format.
        """
        self.path = path
        self.manifest: dict[str, Any] = durable.read_json(
            path / "manifest.json", format_version=FORMAT_VERSION
        )
        if self.manifest.get("sha256") != manifest_hash(self.manifest):
            raise RunError(
                f"{path / 'manifest.json'} is damaged: its content does not fit its hash."
            )
        self._guards: dict[str, CheckedBlocks] = {}
        try:
            for name, facts in self.manifest["files"].items():
                self._check_file(name, facts)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise RunError(
                f"{path / 'manifest.json'} is damaged: it does not describe files ({error!r})."
            ) from None
        self.tokenizer = Tokenizer.load(path / "tokenizer.json")

    def _check_file(self, name: str, facts: dict[str, Any]) -> None:
        path = self.path / name
        if not durable.is_file(path) or path.stat().st_size != facts["bytes"]:
            raise RunError(f"{path} is missing, or is not of the size that it was written with.")
        if name.endswith(".tokens.bin"):
            guard = CheckedBlocks(path, facts["blocks"], np.dtype(self.manifest["dtype"]).itemsize)
            if facts["bytes"] > CHECKED_AT_ONCE:
                self._guards[name] = guard
            else:
                guard.check_all()
        elif durable.file_sha256(path) != facts["sha256"]:
            raise RunError(f"{path} is damaged: its content does not fit its hash.")

    def lossless(self, name: SplitName) -> bool:
        """Whether the tokens of a split hold all its bytes.

        A vocabulary of characters may lack some only elsewhere.
        """
        return self.tokenizer.lossless or (
            self.tokenizer.kind == "char" and not self.manifest["splits"][name]["unknown"]
        )

    @property
    def _uncounted_ends(self) -> int:
        """What a document counts beside the bytes in its file.

        Where a line's newline is counted already.
        """
        return 0 if self.manifest["source"]["layout"] == "lines" else 1

    def n_bytes(self, name: SplitName) -> int:
        """The bytes of a split, and one for the end of each document, whatever held them."""
        part = self.manifest["splits"][name]
        return int(part["bytes"]) + self._uncounted_ends * int(part["documents"])

    def split(self, name: SplitName) -> TokenSplit:
        """One split, memory-mapped.

        Raises:
            SourceError: it holds no document.
        """
        if not self.manifest["splits"][name]["documents"]:
            filled = [other for other in SPLITS if self.manifest["splits"][other]["documents"]]
            raise SourceError(
                f"{self.manifest['source']['name']} has no {name} split: text is in"
                f" {' and '.join(filled)} only. Give every split a share (data.split, for example"
                " 0.8, 0.1, 0.1), or more text."
            )
        mapped = np.memmap(self.path / f"{name}.tokens.bin", dtype=self.manifest["dtype"], mode="r")
        return TokenSplit(
            tokens=mapped.view(np.ndarray),  # a plain view: indexing a memmap object is slow
            offsets=np.load(self.path / f"{name}.offsets.npy", allow_pickle=False),
            document_bytes=np.load(self.path / f"{name}.bytes.npy", allow_pickle=False)
            + self._uncounted_ends,
            boundary=self.tokenizer.boundary,
            unchecked=self._guards.get(f"{name}.tokens.bin"),
        )


def prepare(
    data: DataConfig,
    *,
    tokenizer: Tokenizer | None = None,
    extend: bool = False,
    cache: Path | None = None,
    on_event: OnEvent | None = None,
) -> TokenStore:
    """The token store of a text: the one in the cache, or a new one.

    Args:
        data: which text, how it is read and split, and which tokenizer to learn.
        tokenizer: encode with this one instead of learning one.
        extend: take characters of the training part that `tokenizer` lacks into it.
        cache: where stores are kept; None: the user's cache folder.
        on_event: told `{"event": "prepare", "stage", "done", "total"}` (characters; the total may
            be None) and `{"event": "note", "text"}`.

    Raises:
        SourceError: the source cannot be read, or is too small to be split.
        ConfigError: the rules for documents leave nothing of a split.
        TokenizerError: the tokenizer cannot be made, or cannot encode the text.
        DiskError: the cache cannot be written.
    """
    report = on_event or _ignore
    cache = cache or cache_directory()
    report({"event": "prepare", "stage": "opening the text", "done": 0, "total": None})
    source = open_source(data, cache=cache)
    path = cache / "stores" / _key(data, source.fingerprint, tokenizer, extend=extend)
    if path.exists():
        try:
            store = TokenStore(path)
        except RunError as error:
            report(
                {
                    "event": "note",
                    "text": (
                        "The prepared text in the cache cannot be used, so it is built again:"
                        f" {error}"
                    ),
                }
            )
            _remove(path)
        else:
            return _opened(store, source, report)
    _remove_abandoned(path)
    with durable.new_directory(path) as folder:
        build(folder, source, data, tokenizer, report, extend=extend)
    return _opened(TokenStore(path), source, report)


def _opened(store: TokenStore, source: Source, report: OnEvent) -> TokenStore:
    """The store, after telling how the text was read and what was left out.

    As much with one from the cache as with a new one.

    A store is found by its content, so one from the cache may have been made of another file with
    the same bytes: names, and what lies beside the text in a folder, are those of the source that
    was asked for.
    """
    about = store.manifest["source"]
    about |= {"name": source.name, "address": source.address}
    if "left_out" in about:
        about["left_out"]["files"] = dict(source.files_left_out)
    for text in (*source.notes, *notes(store.manifest)):
        report({"event": "note", "text": text})
    report(
        {
            "event": "prepare",
            "stage": "done",
            "done": 1,
            "total": 1,
            "left_out": about.get("left_out"),
        }
    )
    return store


def _key(data: DataConfig, fingerprint: str, tokenizer: Tokenizer | None, *, extend: bool) -> str:
    """Name of the store: equal where text, splits and tokens will be equal."""
    vocabulary = [data.tokenizer, data.unknown]
    if data.tokenizer.startswith("word:") and not data.tokenizer.endswith(":spaced"):
        vocabulary.append("punctuation apart")  # earlier stores of this name have other words
    if tokenizer is not None:
        vocabulary = [tokenizer.hash, "extended", data.unknown] if extend else [tokenizer.hash]
    elif names_a_file(data.tokenizer) and durable.is_file(Path(data.tokenizer)):
        vocabulary = [durable.file_sha256(Path(data.tokenizer)), data.unknown]
    made_from = [FORMAT_VERSION, fingerprint, data.split, data.split_seed, vocabulary]
    rules = Rules.of(data)
    if (
        rules.active
    ):  # without rules the name is that of before there were any, so that earlier stores are found
        made_from.append(dataclasses.asdict(rules))
    return durable.sha256(json.dumps(made_from).encode())[:32]


def _remove(path: Path) -> None:
    """Delete a directory in one step, as others see it."""
    doomed = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with durable.disk_errors(path):
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _remove_abandoned(path: Path) -> None:
    """Delete what builders of this store left when they were killed."""
    for folder in path.parent.glob(f".{path.name}.*.tmp"):
        with contextlib.suppress(OSError):
            if (
                time.time() - max(file.stat().st_mtime for file in (folder, *folder.iterdir()))
                > _ABANDONED
            ):
                shutil.rmtree(folder)


def _ignore(event: dict[str, Any]) -> None:
    """Where nobody listens."""
