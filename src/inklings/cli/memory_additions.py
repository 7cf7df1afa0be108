"""Adding to the long-term memory of a run: a text, or what was stored while it was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from inklings.cli.progress import Display
from inklings.cli.terminal import Terminal
from inklings.config import DataConfig
from inklings.events import OnEvent, note, silent
from inklings.runs.directory import RunDirectory
from inklings.runs.memory import Addition, RunMemory
from inklings.text.building.build import left_out
from inklings.text.rules import left_out_texts
from inklings.text.sources.grammar import open_source
from inklings.training.stored import stored_by_training


def add_source(
    memory: RunMemory,
    given: str,
    layout: Literal["auto", "lines", "documents"],
    terminal: Terminal,
) -> dict[str, Any]:
    """Add every document of a source; return what is to be told of it.

    Args:
        memory: is changed.
        given: the source.
        layout: of its documents.
        terminal: told what was added.
    """
    with Display(terminal) as display:
        texts = read_texts(DataConfig(source=given, layout=layout), on_event=display)
        added = memory.add(texts, on_event=display)
    return _facts(memory, added, given, terminal)


def keep_stored(memory: RunMemory, run: RunDirectory, terminal: Terminal) -> dict[str, Any]:
    """Add what the rows of a run had stored when its weights were saved.

    Args:
        memory: is changed.
        run: whose it is.
        terminal: told what was added.
    """
    added = memory.add_stored(stored_by_training(run, memory.model))
    return _facts(memory, added, "the training text", terminal)


def _facts(memory: RunMemory, added: Addition, given: str, terminal: Terminal) -> dict[str, Any]:
    """Tell of an addition, and return what is to be told."""
    some = "1 document" if len(added.documents) == 1 else f"{len(added.documents):,} documents"
    terminal.say(
        f"added {some} of {given}: {len(added.ids):,} entries, {len(memory):,} in all", style="bold"
    )
    if added.known:
        known = (
            "1 document is there already, or comes twice; it was left out."
            if len(added.known) == 1
            else f"{len(added.known):,} documents are there already, or come twice; they were left"
            " out."
        )
        terminal.say(known, style="yellow")
    if added.evicted:
        terminal.say(
            f"the memory is full: {added.evicted:,} entries gave way, the oldest first.",
            style="yellow",
        )
    ids = (
        {"first_id": int(added.ids.min()), "last_id": int(added.ids.max())}
        if len(added.ids)
        else {"first_id": None, "last_id": None}
    )
    facts = {
        "added": len(added.ids),
        "documents": added.documents,
        "left_out": added.known,
        "evicted": added.evicted,
    }
    return {**facts, **ids, "entries": len(memory)}


def read_texts(data: DataConfig, *, on_event: OnEvent = silent) -> list[tuple[str, str]]:
    """Return every document of a source, with a name for people.

    What is to be said of the text is told as notes, as where a text is prepared.

    Raises:
        SourceError: the source is missing, empty, or not text.
    """
    texts: list[str] = []
    held: list[str] = []
    source = open_source(data)
    for piece in source.pieces():
        held.append(piece.text)
        if piece.last:
            texts.append("".join(held))
            held = []
    sentences = (f"{source.name}: {text}." for text in left_out_texts(left_out(source)))
    for text in (*source.notes, *sentences):
        on_event(note(text))
    is_path = Path(data.source).expanduser().exists()
    name = "stdin" if data.source == "-" else Path(data.source).name if is_path else data.source
    return [
        (name if len(texts) == 1 else f"{name}:{number}", text)
        for number, text in enumerate(texts, start=1)
    ]
