"""The text that a run was trained on: its own token store, whatever became of the file since."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from inklings.config import DataConfig, with_source
from inklings.durable import sha256
from inklings.errors import InputError, RunError
from inklings.events import OnEvent, silent
from inklings.runs.directory import RunDirectory
from inklings.text.documents import Layout
from inklings.text.store import TokenSplit, TokenStore, prepare

LOOKED_AT = 1_000
"""Documents, and tokens of each, that are looked at to tell whether they have several lines."""


def data_hash(store: TokenStore) -> str:
    """Return a hash of the tokens of all splits: equal exactly if training would read the same."""
    tokens = {
        name: facts
        for name, facts in store.manifest["files"].items()
        if name.endswith((".bin", ".npy"))
    }
    return sha256(
        repr(sorted((name, sorted(facts.items())) for name, facts in tokens.items())).encode()
    )


def is_own(run: RunDirectory, store: TokenStore) -> bool:
    """Return whether a store holds the tokens that the run was trained on."""
    return data_hash(store) == run.record.data and store.tokenizer.hash == run.record.tokenizer


def kept_store(run: RunDirectory) -> TokenStore | None:
    """Return the store that the run was trained on, if it is still there.

    Then a moved, changed or deleted text does not matter.
    """
    path = run.environment.get("store")
    if not path:  # imported weights, or a run that came without its text
        return None
    try:
        store = TokenStore(Path(str(path)))
    except RunError:
        return None
    return store if is_own(run, store) else None


def own_store(run: RunDirectory, *, on_event: OnEvent = silent) -> TokenStore:
    """Open the store that the run was trained on.

    That is the one that was kept, or one of the same tokens, prepared again. An imported run, whose
    text is unknown, takes the text that was named for it.

    Raises:
        RunError: the store is gone, and the text is not what it was, or cannot be read.
        DownloadError, DiskError: as `prepare`.
    """
    kept = kept_store(run)
    if kept is not None:
        return kept
    source = run.config.data.source
    try:
        store = prepare(run.config.data, tokenizer=run.tokenizer(), on_event=on_event)
    except InputError as error:
        if not run.record.data:
            raise RunError(
                f"{source}, the text that the imported {run.path} is evaluated on, cannot be"
                f" prepared: {error} Name another with --data."
            ) from error
        raise RunError(
            f"the prepared text that {run.path} was trained beside is gone, and {source} cannot be"
            f" prepared again: {error}"
        ) from error
    if run.record.data and not is_own(run, store):
        raise RunError(
            f"the text {source} is not what it was when {run.path} began, and the prepared one is"
            " gone: the run cannot go on exactly, and what is held out now may be what it learned"
            " from. Bring the text back; or take the new one as another text: `inklings evaluate"
            f" {run.path} --data {source}` scores it, `inklings train ... --from {run.path}`"
            " learns it."
        )
    return store


def training_text(run: RunDirectory) -> TokenStore | None:
    """Return the store that the run was trained on, if it is at hand.

    Nothing is downloaded for it.
    """
    kept = kept_store(run)
    source = run.config.data.source
    if (
        kept is not None
        or not run.record.data
        or not (source.startswith("builtin:") or Path(source).exists())
    ):
        return kept
    try:
        return own_store(run)
    except InputError:
        return None


def layout_of(run: RunDirectory, own: TokenStore | None) -> Layout | None:
    """Return whether a document of the text that a run was trained on is a line.

    Args:
        run: the run; one from before the layout was recorded may only say that it was guessed.
        own: what it was trained on, where that is at hand.

    Returns:
        The layout; None where nothing tells.
    """
    if run.record.layout is not None:
        return run.record.layout
    if own is not None:
        layout: Layout = own.manifest["source"]["layout"]
        return layout
    asked = run.config.data.layout
    return None if asked == "auto" else asked


def like_own(run: RunDirectory, source: str, own: TokenStore | None) -> DataConfig:
    """Return the settings by which another text is read as the run's own was.

    Where a document is a line is guessed from a text unless it is set, and one blank line decides
    it: documents of another kind than those that were learned would get another figure.

    Args:
        run: the run.
        source: the other text.
        own: what the run was trained on, where it is at hand; without it another text than one of
            lines is guessed from itself.
    """
    data = with_source(run.config.data, source)
    cut = (data.document_separator, data.document_opening)
    layout = layout_of(run, own)
    if layout is None or data.layout != "auto" or cut != (None, None):
        return data
    # records of one line each are like lines: a plain text is then guessed from itself
    if layout == "lines" or (own is not None and _span_lines(own)):
        return replace(data, layout=layout)
    return data


def _span_lines(store: TokenStore) -> bool:
    """Return whether documents of a training part have more than one line."""
    train = store.split("train")
    first = (
        train.document(index)[:LOOKED_AT] for index in range(min(LOOKED_AT, train.n_documents))
    )
    return any("\n" in store.tokenizer.decode(tokens.tolist()).strip() for tokens in first)


def same_text(one: TokenStore, other: TokenStore) -> bool:
    """Return whether two stores hold the same documents in the same splits, in whatever tokens."""

    def identity(store: TokenStore) -> list[object]:
        manifest = store.manifest
        rules = [manifest["data"].get(name) for name in ("min_known", "min_length", "max_length")]
        parts = [
            [part[name] for name in ("documents", "bytes")] for part in manifest["splits"].values()
        ]
        split = [manifest["split"][name] for name in ("method", "seed")]
        return [
            manifest["source"]["fingerprint"],
            split,
            list(manifest["split"]["shares"] or []),
            rules,
            parts,
        ]

    return identity(one) == identity(other)


def known_documents(train: TokenSplit, split: TokenSplit) -> int:
    """Count the documents of a split that are, token for token, documents of a training part.

    Empty ones are not counted. Documents are compared by a hash of 16 bytes: a text may be larger
    than memory.
    """
    sizes = np.diff(split.offsets) - 1
    wanted = Counter(_hash_of(split.document(i)) for i in np.flatnonzero(sizes).tolist())
    candidates = np.flatnonzero(np.isin(np.diff(train.offsets) - 1, sizes[sizes > 0]))
    found = (_hash_of(train.document(index)) for index in candidates.tolist())
    known = {document for document in found if document in wanted}
    return sum(wanted[document] for document in known)


def _hash_of(document: Integer[np.ndarray, " _"]) -> bytes:
    return hashlib.blake2b(document.astype(np.uint32).data, digest_size=16).digest()
