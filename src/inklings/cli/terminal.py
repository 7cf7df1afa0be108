"""The output of a verb.

People read stderr or stdout through rich, machines read one JSON document on stdout.
"""

from __future__ import annotations

import codecs
import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.text import Text

from inklings.cli.table import TableColumn, drawn
from inklings.showing import without_control

WIDE = 180
"""Columns of an output that is not a terminal."""
LINE = 110
"""Most columns of the beginning of a text."""


@dataclass(frozen=True)
class Terminal:
    """The output of one command.

    With `json`, stdout carries exactly one document, and all that is for people goes to stderr.
    """

    json: bool
    console: Console

    @property
    def dots(self) -> str:
        """What stands for something left out, in the terminal's encoding."""
        return "…" if self.console.encoding.startswith("utf") else "..."

    def say(self, text: str = "", *, style: str | None = None, as_is: bool = False) -> None:
        """Print a line for people; the text is taken literally.

        Args:
            text: the line.
            style: of rich.
            as_is: break no line, so that a command can be copied; sentences are broken between
                words where there is a terminal.
        """
        self.console.print(
            Text(without_control(text), style=style or ""),
            soft_wrap=as_is or not self.console.is_terminal,
        )

    @contextmanager
    def working(self, text: str) -> Iterator[None]:
        """Say what is being done while a block runs, where there is a terminal."""
        if not self.console.is_terminal:
            yield
            return
        with self.console.status(text):
            yield

    def one_line(self, text: str, most: int = LINE) -> str:
        """Return the beginning of a text, as much as goes into one line."""
        width = min(most, self.console.width)
        text = without_control(text)
        if cell_len(text) <= width:
            return text
        return chop_cells(text, width - len(self.dots))[0] + self.dots

    def table(self, columns: Sequence[TableColumn], rows: Sequence[Sequence[str]]) -> None:
        """Print a table for people, and say what the screen is too narrow for."""
        rows = [[without_control(cell) for cell in row] for row in rows]
        table, absent = drawn(columns, rows, self.console.width, self.dots)
        self.console.print(table)
        if absent:
            self.say(f"too narrow for: {', '.join(absent)}", style="dim")

    def result(self, value: dict[str, Any]) -> None:
        """Print the machine's document, if one was asked for."""
        if self.json:
            # JSON is UTF-8 for whoever reads it: in another encoding only ASCII is the same
            ascii_only = codecs.lookup(sys.stdout.encoding or "ascii").name != "utf-8"
            print(json.dumps(_plain(value), ensure_ascii=ascii_only, allow_nan=False), flush=True)


def written(text: str) -> str:
    """Return what a model wrote as stdout is given it.

    A file or a pipe gets every character, a terminal no control characters.
    """
    return without_control(text) if sys.stdout.isatty() else text


def open_terminal(as_json: bool) -> Terminal:
    """Return the terminal of this process."""
    file = sys.stderr if as_json else sys.stdout
    # rich takes a file or a pipe for a terminal of 80 columns, and folds tables that nobody asked
    # it to
    return Terminal(
        json=as_json,
        console=Console(file=file, highlight=False, width=None if file.isatty() else WIDE),
    )


def _plain(value: Any) -> Any:
    """Return `value` in JSON's types; a number that is not finite becomes null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
