"""Building a token store: the text is streamed, encoded in parallel, and appended to files.

Memory stays bounded.
"""

from __future__ import annotations

import contextlib
import json
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from inklings import durable
from inklings.config import DataConfig
from inklings.errors import ConfigError, SourceError
from inklings.events import OnEvent, note
from inklings.text.chunks import chunks
from inklings.text.documents import Source, SplitName, TextPiece
from inklings.text.extension import extended
from inklings.text.rules import RULES, Rules, Sieve
from inklings.text.splits import SPLITS, SplitPlan, measure_overlap, plan_splits
from inklings.text.tokenizers import Tokenizer, Tokens
from inklings.text.vocabularies import make_tokenizer

FORMAT_VERSION = 1
BATCH = 2**19
"""Characters that are encoded in one go: some chunks for every core, and the library's bulky
results stay small.
"""
_ENCODERS = 2
"""Batches that are encoded at a time: while one is turned into arrays, the cores encode the next.
"""
_REPORTED = 2**20
"""Characters between two events."""


class _Part(NamedTuple):
    """What is encoded as one text: a document, or a chunk of one."""

    text: str
    split: SplitName
    first: bool
    last: bool


class _SplitWriter:
    """Appends the documents of one split to its file."""

    def __init__(self, file: BinaryIO, boundary: int, dtype: np.dtype[Any]) -> None:
        self.file = file
        self.dtype = dtype
        self.boundary = np.array([boundary], dtype=np.int32)
        self.pending: list[Tokens] = []
        self.offsets = array("q")
        self.document_bytes = array("q")
        self.tokens = 0
        self.characters = 0
        self.unknown = 0

    def add(self, part: _Part, tokens: Tokens, *, unknown: int, newline: int) -> None:
        """Take the tokens of a part, `unknown` of which the vocabulary lacks.

        `newline` is what a document counts beside its own bytes.
        """
        if part.first:
            self.offsets.append(self.tokens)
            self.document_bytes.append(newline)
            self._put(self.boundary)
        self.document_bytes[-1] += (
            len(part.text) if part.text.isascii() else len(part.text.encode())
        )
        self.characters += len(part.text)
        self.unknown += unknown
        self._put(tokens)

    def _put(self, tokens: Tokens) -> None:
        self.pending.append(tokens)
        self.tokens += len(tokens)

    def flush(self) -> None:
        """Write the tokens that have gathered."""
        if self.pending:
            tokens = np.concatenate(self.pending)
            self.file.write(tokens.astype(self.dtype).data)
            self.pending = []

    def finish(self) -> dict[str, int]:
        """Write a last boundary; what is in the file."""
        if self.offsets:
            self.offsets.append(self.tokens)
            self._put(self.boundary)
        self.flush()
        return {
            "documents": len(self.document_bytes),
            "tokens": self.tokens,
            "bytes": sum(self.document_bytes),
            "characters": self.characters,
            "unknown": self.unknown,
        }


def build(
    folder: Path,
    source: Source,
    data: DataConfig,
    tokenizer: Tokenizer | None,
    on_event: OnEvent,
    *,
    extend: bool = False,
) -> None:
    """Write a whole store into an empty folder. Errors as `store.prepare`.

    Args:
        folder: where it is written.
        source: the text.
        data: how it is split and tokenised.
        tokenizer: encode with this one; None learns one.
        on_event: called with every event as it happens.
        extend: add the training part's new characters to `tokenizer`.
    """
    on_event({"event": "prepare", "stage": "reading", "done": 0, "total": None})
    plan = plan_splits(source, shares=data.split, seed=data.split_seed)
    reader = _Reader(plan, on_event, folder / "pieces.jsonl" if source.remote else None)
    if tokenizer is None:
        tokenizer = make_tokenizer(data.tokenizer, reader.texts, unknown=data.unknown)
    elif extend:
        tokenizer = extended(tokenizer, reader.texts, unknown=data.unknown)
    rules = _checked_rules(data, tokenizer)
    splits, sieves = _encode(
        folder,
        reader.pieces("encoding"),
        tokenizer,
        rules,
        newline=1 if source.layout == "lines" else 0,
    )
    reader.close()
    for name, sieve in sieves.items():
        sieve.refuse_empty(source.name, name)
    if not splits["train"]["documents"]:
        raise SourceError(
            f"{source.name} leaves nothing to train on. Give more text, or a larger first share in"
            " data.split."
        )
    _note_unknown(splits, tokenizer, on_event)
    tokenizer.save(folder / "tokenizer.json")
    manifest: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "source": {
            "name": source.name,
            "address": source.address,
            "fingerprint": source.fingerprint,
            "layout": source.layout,
            "left_out": left_out(source),
        },
        "data": asdict(data),
        "split": {
            "method": plan.method,
            "shares": plan.shares,
            "seed": plan.seed,
            "overlap": _overlap(plan, sieves),
        },
        "tokenizer": {
            "kind": tokenizer.kind,
            "vocab_size": tokenizer.vocab_size,
            "unknown": tokenizer.unknown,
            "lossless": tokenizer.lossless,
            "hash": tokenizer.hash,
        },
        "dtype": _dtype(tokenizer).str,
        "splits": splits,
        "files": {path.name: _facts(path) for path in sorted(folder.iterdir())},
    }
    durable.write_json(folder / "manifest.json", {**manifest, "sha256": manifest_hash(manifest)})


def left_out(source: Source) -> dict[str, dict[str, int]]:
    """Count what is in no document of a source that was read to its end.

    Files are counted by suffix, records by what is wrong with them.
    """
    return {
        "files": dict(source.files_left_out),
        "records": {why: count for why, count in sorted(source.left_out.items()) if count},
    }


def manifest_hash(manifest: dict[str, Any]) -> str:
    """Return the SHA-256 of a manifest without its own hash."""
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return durable.sha256(json.dumps(content, sort_keys=True).encode())


class _Reader:
    """Reads a planned text as often as asked, and reports how far it is.

    A remote one is fetched once and kept in a file.
    """

    def __init__(self, plan: SplitPlan, on_event: OnEvent, spool: Path | None) -> None:
        self.plan = plan
        self.on_event = on_event
        self.spool = spool
        self.total: int | None = None
        if spool is not None:
            with open(spool, "w", encoding="utf-8") as file:
                for piece in self._counted(plan.pieces(), "downloading"):
                    file.write(json.dumps(piece) + "\n")

    def pieces(self, stage: str) -> Iterator[TextPiece]:
        """Return all pieces, in order; `stage` is what the events call this reading."""
        return self._counted(
            self.plan.pieces() if self.spool is None else self._spooled(self.spool), stage
        )

    def texts(self) -> Iterator[tuple[str, bool]]:
        """Yield the text of each piece, and whether it is for training."""
        for piece in self.pieces("learning a vocabulary"):
            yield piece.text, piece.split == "train"

    def close(self) -> None:
        """Delete the temporary files."""
        if self.spool is not None:
            self.spool.unlink()

    def _spooled(self, path: Path) -> Iterator[TextPiece]:
        with open(path, encoding="utf-8") as file:
            for line in file:
                yield TextPiece(*json.loads(line))

    def _counted(self, pieces: Iterable[TextPiece], stage: str) -> Iterator[TextPiece]:
        done, told = 0, -_REPORTED
        for piece in pieces:
            if done - told >= _REPORTED:
                self.on_event(
                    {"event": "prepare", "stage": stage, "done": done, "total": self.total}
                )
                told = done
            yield piece
            done += len(piece.text)
        self.total = done


def _checked_rules(data: DataConfig, tokenizer: Tokenizer) -> Rules:
    """Make the rules for documents.

    A `ConfigError` says where the tokenizer hides what one of them asks for.
    """
    if (
        data.min_known
        and tokenizer.kind == "file"
        and tokenizer.unknown == "skip"
        and tokenizer.unknown_token is None
    ):
        raise ConfigError(
            f"data.min_known is {data.min_known:g}, but this tokenizer.json drops what it lacks"
            " without a trace, so the share that it knows cannot be told. Leave data.min_known at"
            " 0, or take a tokenizer with an unknown token, such as word:N."
        )
    return Rules.of(data)


def _overlap(plan: SplitPlan, sieves: Mapping[SplitName, Sieve]) -> dict[SplitName, float] | None:
    """Measure the overlap of the documents that are kept."""
    if plan.overlap is None or not sieves:
        return plan.overlap
    kept = [np.array(sieves[name].kept_hashes, dtype=np.uint64) for name in SPLITS]
    return measure_overlap(
        np.concatenate(kept),
        np.repeat(np.arange(3, dtype=np.int8), [len(hashes) for hashes in kept]),
    )


def _encode(
    folder: Path, pieces: Iterable[TextPiece], tokenizer: Tokenizer, rules: Rules, *, newline: int
) -> tuple[dict[SplitName, dict[str, Any]], dict[SplitName, Sieve]]:
    """Write the token files of all splits.

    Return what is in each, and what the rules did to it (nothing where they keep everything).
    """
    dtype = _dtype(tokenizer)
    parts = (
        _parts(pieces) if tokenizer.cuts_at_words and not rules.active else _whole_documents(pieces)
    )
    sieves = {name: Sieve(rules) for name in SPLITS} if rules.active else {}
    with contextlib.ExitStack() as stack:
        files = {
            name: stack.enter_context(open(folder / f"{name}.tokens.bin", "wb")) for name in SPLITS
        }
        writers = {name: _SplitWriter(files[name], tokenizer.boundary, dtype) for name in SPLITS}
        for batch, encoded in _encoded(parts, tokenizer):
            for part, tokens in zip(batch, encoded, strict=True):
                unknown = tokenizer.count_unknown(part.text, tokens)
                units = len(tokens) + (unknown if tokenizer.unknown == "skip" else 0)
                if not sieves or sieves[part.split].keeps(part.text, len(tokens), units, unknown):
                    writers[part.split].add(part, tokens, unknown=unknown, newline=newline)
            for writer in writers.values():
                writer.flush()
        nothing = dict.fromkeys(RULES, 0)
        result = {
            name: {**writer.finish(), "dropped": sieves[name].dropped if sieves else nothing}
            for name, writer in writers.items()
        }
    for name, writer in writers.items():
        np.save(folder / f"{name}.offsets.npy", np.array(writer.offsets, dtype=np.int64))
        np.save(folder / f"{name}.bytes.npy", np.array(writer.document_bytes, dtype=np.int64))
    return result, sieves


def _parts(pieces: Iterable[TextPiece]) -> Iterator[_Part]:
    """Cut pieces further, so that one long document keeps all cores busy."""
    for text, first, last, split in pieces:
        assert split is not None
        begun = 0
        for chunk in chunks(text):
            end = begun + len(chunk)
            yield _Part(chunk, split, first and begun == 0, last and end == len(text))
            begun = end


def _whole_documents(pieces: Iterable[TextPiece]) -> Iterator[_Part]:
    """Put documents together again, for a rule or a tokenizer that must see them whole.

    Memory grows with the longest.
    """
    held: list[str] = []
    for text, _, last, split in pieces:
        assert split is not None
        held.append(text)
        if last:
            yield _Part("".join(held), split, True, True)
            held = []


def _encoded(
    parts: Iterable[_Part], tokenizer: Tokenizer
) -> Iterator[tuple[list[_Part], list[Tokens]]]:
    """Yield parts in batches with their tokens, in order.

    `_ENCODERS` batches are encoded at a time.
    """
    waiting: deque[tuple[list[_Part], Future[list[Tokens]]]] = deque()
    with ThreadPoolExecutor(_ENCODERS) as pool:
        for batch in _batches(parts):
            waiting.append(
                (batch, pool.submit(tokenizer.encode_batch, [part.text for part in batch]))
            )
            if len(waiting) > _ENCODERS:
                done, tokens = waiting.popleft()
                yield done, tokens.result()
        for done, tokens in waiting:
            yield done, tokens.result()


def _batches(parts: Iterable[_Part]) -> Iterator[list[_Part]]:
    batch: list[_Part] = []
    length = 0
    for part in parts:
        batch.append(part)
        length += len(part.text)
        if length >= BATCH:
            yield batch
            batch, length = [], 0
    if batch:
        yield batch


def _dtype(tokenizer: Tokenizer) -> np.dtype[Any]:
    return np.dtype("<u2" if tokenizer.vocab_size <= 2**16 else "<u4")


def _facts(path: Path) -> dict[str, Any]:
    """Return size and hashes of a file."""
    hashes: dict[str, Any] = (
        {"blocks": durable.block_hashes(path)}
        if path.suffix == ".bin"
        else {"sha256": durable.file_sha256(path)}
    )
    return {"bytes": path.stat().st_size, **hashes}


def _note_unknown(
    splits: dict[SplitName, dict[str, Any]], tokenizer: Tokenizer, on_event: OnEvent
) -> None:
    unknown = {name: facts["unknown"] for name, facts in splits.items() if facts["unknown"]}
    if unknown:
        where = ", ".join(f"{count:,} in {name}" for name, count in unknown.items())
        what = "dropped" if tokenizer.unknown == "skip" else "stand for what the vocabulary lacks"
        unit = (
            "tokens"
            if tokenizer.unknown != "skip"
            else "characters were"
            if tokenizer.kind == "char"
            else "tokens were"
        )
        text = f"{where}: {unit} {what}. Bits per byte are not given for such a text."
        on_event(note(text[0].upper() + text[1:]))
