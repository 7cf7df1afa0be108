"""The output of a verb.

People read stderr or stdout through rich, machines read one JSON document on stdout.
"""

from __future__ import annotations

import codecs
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 180
"""Columns of an output that is not a terminal."""


@dataclass(frozen=True)
class Terminal:
    """The output of one command.

    With `json`, stdout carries exactly one document, and all that is for people goes to stderr.
    """

    json: bool
    console: Console

    def say(self, text: str = "", *, style: str | None = None) -> None:
        """Print a line for people; the text is taken literally."""
        self.console.print(Text(text, style=style or ""), soft_wrap=True)

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        right: Sequence[int] = (),
        title: str | None = None,
    ) -> None:
        """Print a table for people.

        Args:
            columns: their names.
            rows: of the cells' texts.
            right: numbers of the columns that are aligned to the right.
            title: above the table.
        """
        table = Table(
            title=title,
            title_justify="left",
            header_style="bold",
            box=None,
            pad_edge=False,
            padding=(0, 2, 0, 0),
        )
        for number, column in enumerate(columns):
            table.add_column(
                column, justify="right" if number in right else "left", overflow="fold"
            )
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self.console.print(table)

    def result(self, value: dict[str, Any]) -> None:
        """Print the machine's document, if one was asked for."""
        if self.json:
            # JSON is UTF-8 for whoever reads it: in another encoding only ASCII is the same
            ascii_only = codecs.lookup(sys.stdout.encoding or "ascii").name != "utf-8"
            print(json.dumps(_plain(value), ensure_ascii=ascii_only, allow_nan=False), flush=True)


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
