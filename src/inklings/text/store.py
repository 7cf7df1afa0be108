"""The token store: a text as numbers on disk, opened as a memory map.

Beside the tokens it has the offsets of documents and a manifest. `prepare` opens the one in the
cache or builds it (`building/`). A store is a directory:

    manifest.json             what it was made from, sizes, hashes, and its own hash
    tokenizer.json            the vocabulary
    SPLIT.tokens.bin          boundary, document, boundary, document, ..., boundary
    SPLIT.offsets.npy         where each document's boundary is, and the last boundary
    SPLIT.bytes.npy           bytes of each document
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, Integer

from inklings import durable
from inklings.config import DataConfig
from inklings.errors import RunError, SourceError
from inklings.events import OnEvent, note, silent
from inklings.text.building.build import FORMAT_VERSION, build, manifest_hash
from inklings.text.building.folder import building_folder
from inklings.text.cache import cache_directory
from inklings.text.checked_blocks import CheckedBlocks
from inklings.text.documents import Source, SplitName
from inklings.text.rules import Rules, notes
from inklings.text.sources.grammar import open_source
from inklings.text.splits import SPLITS
from inklings.text.tokenizers import Tokenizer
from inklings.text.vocabularies import names_a_file, vocabulary_file

CHECKED_AT_ONCE = 2**28
"""Token files up to this many bytes are checked as a whole when a store is opened; of larger ones,
each block when it is first read.
"""
PARTS = 4
"""Least number of documents that `TokenSplit.spread` takes."""
GOLDEN = (5**0.5 - 1) / 2
"""The golden ratio's fraction: the fractional parts of its multiples are spread evenly over 0 to 1,
however many are taken.
"""


@dataclass(frozen=True, eq=False)
class TokenSplit:
    """The documents of one split, each after a boundary, and a boundary at the end."""

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
        """Return tokens from `start` to `stop`, which is not included, or to the end.

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
        """Return the tokens of one document, without its boundary."""
        return self.read(int(self.offsets[index]) + 1, int(self.offsets[index + 1]))

    @classmethod
    def of(cls, documents: Sequence[Integer[np.ndarray, " _"]], boundary: int) -> TokenSplit:
        """Make a split of documents, given without boundaries.

        Their bytes are not known: each token counts as one, and so does the end.
        """
        lengths = np.array([len(document) + 1 for document in documents], dtype=np.int64)
        offsets = np.append(0, np.cumsum(lengths))
        tokens = np.full(int(offsets[-1]) + 1, boundary, dtype=np.uint32)
        for start, document in zip(offsets, documents, strict=False):
            tokens[start + 1 : start + 1 + len(document)] = document
        return cls(tokens, offsets, lengths, boundary)

    def head(self, targets: int) -> TokenSplit:
        """Take the first documents, as long as they hold at most `targets` targets (at least 2).

        Where whole documents would hold less than half of that, the next one is cut.

        Raises:
            RunError: the file is damaged there.
        """
        if self.n_targets <= targets:
            return self
        count = int(np.searchsorted(self.offsets, targets, side="right")) - 1
        end = int(self.offsets[count])
        if 2 * end < targets:
            count, end = count + 1, targets
        return self._part(np.arange(count), np.diff(np.append(self.offsets[:count], end)))

    def sample(self, targets: int, *, seed: int) -> TokenSplit:
        """Draw documents until they hold `targets` targets, the last one cut short.

        A function of the seed. Errors as `head`.
        """
        if self.n_targets <= targets:
            return self
        order = np.random.default_rng([seed, self.n_documents]).permutation(self.n_documents)
        ends = np.cumsum(np.diff(self.offsets)[order])
        count = int(np.searchsorted(ends, targets)) + 1
        ends[count - 1] = targets
        return self._part(order[:count], np.diff(ends[:count], prepend=0))

    def spread(self, targets: int) -> TokenSplit:
        """Take whole documents, evenly spread over the split, until they hold `targets` targets.

        One that holds more than a fourth of that by itself is cut. Errors as `head`.
        """
        if self.n_targets <= targets:
            return self
        lengths = np.diff(self.offsets).clip(max=-(-targets // PARTS))
        order = np.argsort(np.arange(self.n_documents) * GOLDEN % 1, kind="stable")
        count = int(np.searchsorted(np.cumsum(lengths[order]), targets)) + 1
        chosen = np.sort(order[:count])
        return self._part(chosen, lengths[chosen])

    def _part(
        self, documents: Int64[np.ndarray, " n"], lengths: Int64[np.ndarray, " n"]
    ) -> TokenSplit:
        """Take the first tokens of some documents, the boundary before each counted.

        The bytes of a document that was cut are in proportion to what is left of it.
        """
        offsets = np.append(0, np.cumsum(lengths))
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[documents] - offsets[:-1], lengths)
        if self.unchecked is not None:
            self.unchecked.check(places)
        share = lengths / np.diff(self.offsets)[documents]
        return TokenSplit(
            np.append(self.tokens[places], self.tokens.dtype.type(self.boundary)),
            offsets,
            np.round(self.document_bytes[documents] * share).astype(np.int64),
            self.boundary,
        )


class TokenStore:
    """An open token store: a directory, its manifest and its vocabulary.

    Attributes: path: Its directory. manifest: What it was made from: `source`, `data`, `split`,
    `tokenizer`, `splits` with documents, tokens, bytes and characters of each and how many
    documents each rule dropped, `files` with sizes and hashes. tokenizer: The vocabulary.
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

    def __repr__(self) -> str:
        splits = ", ".join(
            f"{name} {facts['documents']:,} documents"
            for name, facts in self.manifest["splits"].items()
        )
        return f"TokenStore({self.manifest['source']['name']}: {self.tokenizer.kind}, {splits})"

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
        """Return whether the tokens of a split hold all its bytes.

        A vocabulary of characters may lack some only elsewhere.
        """
        return self.tokenizer.lossless or (
            self.tokenizer.kind == "char" and not self.manifest["splits"][name]["unknown"]
        )

    @property
    def _uncounted_ends(self) -> int:
        """What the end of a document counts beside the bytes in its file, in bytes.

        Zero for lines, whose newline is counted already.
        """
        return 0 if self.manifest["source"]["layout"] == "lines" else 1

    def n_bytes(self, name: SplitName) -> int:
        """Return the bytes of a split, with one for the end of each document."""
        part = self.manifest["splits"][name]
        return int(part["bytes"]) + self._uncounted_ends * int(part["documents"])

    def split(self, name: SplitName) -> TokenSplit:
        """Open one split, memory-mapped.

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
    on_event: OnEvent = silent,
) -> TokenStore:
    """Open the token store of a text: the one in the cache, or a new one.

    Args:
        data: which text, how it is read and split, and which tokenizer to learn.
        tokenizer: encode with this one instead of learning one.
        extend: take characters of the training part that `tokenizer` lacks into it.
        cache: where stores are kept; None: the user's cache folder.
        on_event: told `{"event": "prepare", "stage", "done", "total"}` (characters; the total may
            be None) and notes.

    Raises:
        SourceError: the source cannot be read, or is too small to be split.
        ConfigError: the rules for documents leave nothing of a split.
        TokenizerError: the tokenizer cannot be made, or cannot encode the text.
        DiskError: the cache cannot be written, or has no room for the tokens.
        InterruptedWorkError: Ctrl-C, where what is prepared so far is kept.
    """
    cache = cache or cache_directory()
    on_event({"event": "prepare", "stage": "opening the text", "done": 0, "total": None})
    source = open_source(data, cache=cache)
    path = cache / "stores" / _key(data, source.fingerprint, tokenizer, extend=extend)
    if path.exists():
        try:
            store = TokenStore(path)
        except RunError as error:
            on_event(
                note(
                    f"The prepared text in the cache cannot be used, so it is built again: {error}"
                )
            )
            _remove(path)
        else:
            return _opened(store, source, on_event)
    with building_folder(path) as folder:
        build(folder, source, data, tokenizer, on_event, extend=extend)
    return _opened(TokenStore(path), source, on_event)


def _opened(store: TokenStore, source: Source, on_event: OnEvent) -> TokenStore:
    """Return the store, after telling how the text was read and what was left out.

    This is told of a store from the cache as of a new one. A store is found by its content, so one
    from the cache may have been made of another file with the same bytes: names, and what lies
    beside the text in a folder, are those of the source that was asked for.
    """
    about = store.manifest["source"]
    about |= {"name": source.name, "address": source.address}
    if "left_out" in about:
        about["left_out"]["files"] = dict(source.files_left_out)
    for text in (*source.notes, *notes(store.manifest)):
        on_event(note(text))
    on_event(
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
    """Return the name of the store: equal where text, splits and tokens will be equal."""
    vocabulary = [data.tokenizer, data.unknown]
    if data.tokenizer.startswith("word:") and not data.tokenizer.endswith(":spaced"):
        vocabulary.append("punctuation apart")  # earlier stores of this name have other words
    if data.tokenizer == data.unknown == "auto":
        vocabulary.append("nothing unknown")  # earlier stores of this name may lose characters
    if tokenizer is not None:
        vocabulary = [tokenizer.hash, "extended", data.unknown] if extend else [tokenizer.hash]
    elif names_a_file(data.tokenizer) and durable.is_file(vocabulary_file(data.tokenizer)):
        vocabulary = [durable.file_sha256(vocabulary_file(data.tokenizer)), data.unknown]
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
