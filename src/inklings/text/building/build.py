"""Building a token store: the text is streamed, encoded in parallel, and appended to files.

Memory stays bounded.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from inklings import durable
from inklings.amounts import byte_size
from inklings.config import DataConfig
from inklings.errors import ConfigError, DiskError, RunError, SourceError
from inklings.events import OnEvent, note
from inklings.text.building import sections
from inklings.text.building.encoding import encoded, parts, whole_documents
from inklings.text.building.reader import TextReader
from inklings.text.building.sections import Journal
from inklings.text.building.split_writer import SplitWriter
from inklings.text.documents import Source, SplitName
from inklings.text.extension import extended
from inklings.text.rules import Rules, Sieve
from inklings.text.splits import SPLITS, SplitPlan, measure_overlap, plan_splits
from inklings.text.tokenizers import Tokenizer
from inklings.text.vocabularies import make_tokenizer

FORMAT_VERSION = 1
VOCABULARY = "tokenizer.json"


def build(
    folder: Path,
    source: Source,
    data: DataConfig,
    tokenizer: Tokenizer | None,
    on_event: OnEvent,
    *,
    extend: bool = False,
) -> None:
    """Write a whole store into a folder. Errors as `store.prepare`.

    Args:
        folder: where it is written; what is kept beside it says how far an earlier build of the
            same came, which this one goes on with.
        source: the text.
        data: how it is split and tokenised.
        tokenizer: encode with this one; None learns one.
        on_event: called with every event as it happens.
        extend: add the training part's new characters to `tokenizer`.
    """
    on_event({"event": "prepare", "stage": "reading", "done": 0, "total": None})
    journal = Journal(folder.parent)
    plan = plan_splits(source, shares=data.split, seed=data.split_seed)
    reader = TextReader(plan, on_event, folder.parent, journal)
    found = _kept_vocabulary(folder, journal)
    if found is None:
        if tokenizer is None:
            found = make_tokenizer(data.tokenizer, reader.texts, unknown=data.unknown)
        else:
            found = extended(tokenizer, reader.texts, unknown=data.unknown) if extend else tokenizer
        found.save(folder / VOCABULARY)
        if reader.total >= sections.SECTION:
            journal.vocabulary = found.hash
            journal.write()
    tokenizer = found
    rules = _checked_rules(data, tokenizer)
    splits, sieves = _encode(folder, reader, tokenizer, rules, journal, on_event)
    for name, sieve in sieves.items():
        sieve.refuse_empty(source.name, name)
    if not splits["train"]["documents"]:
        raise SourceError(
            f"{source.name} leaves nothing to train on. Give more text, or a larger first share in"
            " data.split."
        )
    _note_unknown(splits, tokenizer, on_event)
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


def _kept_vocabulary(folder: Path, journal: Journal) -> Tokenizer | None:
    """Return the vocabulary of the build that this one goes on with, if it is whole.

    Nothing stays in the folder but that and the tokens of sections that are finished.
    """
    kept = None
    with contextlib.suppress(RunError):
        kept = Tokenizer.load(folder / VOCABULARY)
    if kept is None or kept.hash != journal.vocabulary:
        journal.sections, kept = [], None
    for path in folder.iterdir():
        if kept is None or not (path.name == VOCABULARY or path.suffix == ".bin"):
            path.unlink()
    return kept


def _encode(
    folder: Path,
    reader: TextReader,
    tokenizer: Tokenizer,
    rules: Rules,
    journal: Journal,
    on_event: OnEvent,
) -> tuple[dict[SplitName, dict[str, Any]], dict[SplitName, Sieve]]:
    """Write the token files of all splits.

    Return what is in each, and what the rules did to it (nothing where they keep everything).
    """
    cut = parts if tokenizer.cuts_at_words and not rules.active else whole_documents
    sieves = {name: Sieve(rules) for name in SPLITS} if rules.active else {}
    newline = 1 if reader.plan.source.layout == "lines" else 0
    dtype = _dtype(tokenizer)
    with contextlib.ExitStack() as stack:
        writers = {
            name: SplitWriter(
                folder, name, boundary=tokenizer.boundary, dtype=dtype, sieve=sieves.get(name)
            )
            for name in SPLITS
        }
        files = [file for writer in writers.values() for file in writer.files]
        _note_going_on(journal, journal.drop_damaged(files), reader.total, on_event)
        for name, writer in writers.items():
            stack.callback(writer.close)
            writer.begin(journal.sections[-1]["splits"][name] if journal.sections else None)
        begun = done = journal.characters
        for batch, tokens_of_parts in encoded(
            cut(reader.pieces("encoding", after=done)), tokenizer
        ):
            for part, tokens in zip(batch, tokens_of_parts, strict=True):
                unknown = tokenizer.count_unknown(part.text, tokens)
                units = len(tokens) + (unknown if tokenizer.unknown == "skip" else 0)
                if not sieves or sieves[part.split].keeps(part.text, len(tokens), units, unknown):
                    writers[part.split].add(part, tokens, unknown=unknown, newline=newline)
            for writer in writers.values():
                writer.flush()
            length = sum(len(part.text) for part in batch)
            if done == begun:
                size = sum(map(len, tokens_of_parts)) * dtype.itemsize
                _check_room(folder, size * (reader.total - done) // length, reader.plan.source.name)
            done += length
            if done - journal.characters >= sections.SECTION:
                journal.add(done, {name: writer.state() for name, writer in writers.items()}, files)
        return {name: writer.finish() for name, writer in writers.items()}, sieves


def _note_going_on(journal: Journal, damaged: str | None, total: int, on_event: OnEvent) -> None:
    if damaged is not None:
        on_event(note(f"{damaged}, is damaged, so the text is prepared anew from there."))
    if journal.sections:
        on_event(
            note(
                f"{journal.characters:,} of {total:,} characters were prepared before; this goes on"
                " there."
            )
        )


def _check_room(folder: Path, needed: int, source: str) -> None:
    """Refuse to begin what the disk has no room for, by the tokens of the first batch.

    Raises:
        DiskError: there is less room than is needed, in bytes.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DiskError(
            f"the disk is too full: the tokens of {source} take about {byte_size(needed)}, and"
            f" {byte_size(free)} are free where {folder.parent.parent} is.",
            "Free some space, or let INKLINGS_CACHE name a folder on another disk,",
        )


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
