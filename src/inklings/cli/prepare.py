"""`inklings prepare SOURCE`: build the token store of a text and show what is in it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from inklings.cli.arguments import Json, SourceName, called, parse
from inklings.cli.progress import Display
from inklings.cli.table import name_column, number_column
from inklings.cli.terminal import Terminal, open_terminal
from inklings.config import DataConfig
from inklings.errors import ConfigError, RunError, TokenizerError
from inklings.text.inspect import describe
from inklings.text.store import TokenStore, prepare
from inklings.text.tokenizers import Tokenizer

if TYPE_CHECKING:
    from inklings.training.fed_windows import FedWindow

ROWS = 32
"""Rows of a batch, as many as a run's by default; the first ones are shown."""
LENGTH = 64
"""Tokens of a window that is shown, as many as a run's by default."""


@dataclass(frozen=True)
class Prepare:
    """Flags of the verb `prepare`."""

    source: tyro.conf.Positional[SourceName]
    """The text: a path, `-`, builtin:NAME, a well-known name, or hf:OWNER/NAME."""
    tokenizer: Annotated[str | None, called("KIND|FILE|RUN")] = None
    """byte, char, char+bytes, word:N, bpe:N, a tokenizer.json, or a run whose vocabulary is taken.
    """
    save_tokenizer: Annotated[Path | None, called("FILE")] = None
    """Write the vocabulary to a file of its own, which --tokenizer takes elsewhere."""
    windows: int = 0
    """Show so many windows as training feeds them: what is read, and below it what is predicted."""
    data: DataConfig = field(default_factory=DataConfig)
    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Run the verb with these arguments; return the exit code."""
    flags = parse(
        Prepare,
        arguments,
        verb="prepare",
        description="Build the token store of a text and show what is in it.",
    )
    terminal = open_terminal(flags.json)
    data = dataclasses.replace(
        flags.data, source=flags.source, tokenizer=flags.tokenizer or flags.data.tokenizer
    )
    with Display(terminal) as display:
        store = prepare(data, on_event=display)
    description = describe(store)
    _show(description, terminal)
    saved = {} if flags.save_tokenizer is None else _save(store.tokenizer, flags.save_tokenizer)
    if saved:
        terminal.say(f"\nvocabulary: {flags.save_tokenizer}, for --tokenizer")
    fed = _windows(store, flags.windows)
    _show_windows(fed, terminal)
    shown = {"windows": [dataclasses.asdict(window) for window in fed]} if fed else {}
    terminal.result({"store": str(store.path), **description, **saved, **shown})
    return 0


def _save(tokenizer: Tokenizer, path: Path) -> dict[str, str]:
    """Write a vocabulary to a file, and return what is told of it.

    Raises:
        TokenizerError: something else is there, which a run may name.
        DiskError: it cannot be written.
    """
    if os.path.lexists(path) and not _holds(path, tokenizer):
        raise TokenizerError(
            f"{path} exists and is not this vocabulary. Choose another --save-tokenizer, or move it"
            " away."
        )
    tokenizer.save(path)
    return {"saved_tokenizer": str(path)}


def _holds(path: Path, tokenizer: Tokenizer) -> bool:
    try:
        return Tokenizer.load(path).hash == tokenizer.hash
    except RunError:
        return False


def _windows(store: TokenStore, count: int) -> list[FedWindow]:
    """Return the first windows of a run with the default seed and length.

    Raises:
        InputError: the number is below zero, or the text is too short for a window.
    """
    if count < 0:
        raise ConfigError(f"--windows is {count}; it must be 0 or more.")
    if not count:
        return []
    # Both import torch, for which nobody should wait who only looks at a text.
    from inklings.text.batches import windows
    from inklings.training.fed_windows import fed_windows

    batches = windows(store.split("train"), batch_size=max(count, ROWS), length=LENGTH)
    return fed_windows(batches.batch(0), store.tokenizer, count)


def _show_windows(fed: Sequence[FedWindow], terminal: Terminal) -> None:
    if not fed:
        return
    from inklings.training.fed_windows import END  # imports torch

    terminal.say(
        f"\nwindows of the training part, with what each token is to predict below it"
        f" ({END} is the end of a document):"
    )
    for window in fed:
        reads, predicts = window.lines()
        terminal.say(f"  {reads}", as_is=True)
        terminal.say(f"  {predicts}", style="dim", as_is=True)


def _show(description: dict[str, Any], terminal: Terminal) -> None:
    tokenizer, split = description["tokenizer"], description["split"]
    terminal.say(
        f"{description['source']}: layout {description['layout']}, tokenizer {tokenizer['kind']}"
        f" with {tokenizer['vocab_size']:,} tokens"
        + ("" if tokenizer["lossless"] else " (loses bytes: no bits per byte)"),
        style="bold",
    )
    columns = [
        name_column("split"),
        number_column("documents"),
        number_column("tokens"),
        number_column("bytes", 3),
        number_column("tokens/byte", 5),
        number_column("shortest", 4),
        number_column("median", 2),
        number_column("longest", 1),
        number_column("also in train"),
    ]
    rows = [
        _split_row(part, facts, (split["overlap"] or {}).get(part))
        for part, facts in description["splits"].items()
    ]
    terminal.table(columns, rows)
    shares = (
        "/".join(f"{share:g}" for share in split["shares"])
        if split.get("shares")
        else "as the source says"
    )
    terminal.say(
        f"split by {split['method']}, {shares}, seed {split.get('seed')}; lengths in tokens",
        style="dim",
    )
    most = "  ".join(f"{item['name']} {item['share']:.1%}" for item in description["most_frequent"])
    terminal.say(f"\nmost frequent: {most}")
    rare = description["rare"]
    terminal.say(
        f"{rare['tokens']:,} tokens occur fewer than {rare['below']} times,"
        f" {description['unused']:,} never"
    )
    terminal.say("\nfirst documents of the training part:")
    for document in description["documents"]:
        terminal.say(terminal.one_line(f"  {' '.join(document['text'].split())}"), style="dim")


def _split_row(part: str, facts: dict[str, Any], overlap: float | None) -> tuple[str, ...]:
    def figure(value: float | int | None, form: str = ",.0f") -> str:
        return "" if value is None else format(value, form)

    return (
        part,
        figure(facts["documents"]),
        figure(facts["tokens"]),
        figure(facts["bytes"]),
        figure(facts["tokens_per_byte"], ".3f"),
        figure(facts["shortest"]),
        figure(facts["median"]),
        figure(facts["longest"]),
        "" if overlap is None else f"{overlap:.1%}",
    )
