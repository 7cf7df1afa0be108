"""A table that knows how important its columns are, and what of them may be made shorter.

Where it is too wide, the least important columns leave, names are shortened in the middle, and
words go on in the next line. A number is whole or absent. A name that people type again is
shortened only where it does not fit beside the columns that never leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len, chop_cells
from rich.table import Table as RichTable
from rich.text import Text

GAP = 2
"""Blanks between two columns."""
NARROW_NAME = 12
"""Least width of a column of longer names."""
NARROW_WORDS = 18
"""Least width of a column of longer sentences."""


@dataclass(frozen=True)
class TableColumn:
    """A column, and how it gives way."""

    title: str
    kind: Literal["name", "number", "words"] = "number"
    importance: int = 0
    """Columns of higher numbers leave first; of equal ones, the right one."""
    typed: bool = False
    """Its names are for the next command: columns that may leave do so before one is shortened."""


def name_column(title: str = "", importance: int = 0, *, typed: bool = False) -> TableColumn:
    """Make a column of names, which may be shortened in the middle.

    Args:
        title: what stands above it.
        importance: columns of higher numbers leave first.
        typed: its names are for the next command, and are shortened last.
    """
    return TableColumn(title, "name", importance, typed)


def number_column(title: str, importance: int = 0) -> TableColumn:
    """Make a column of numbers, aligned to the right."""
    return TableColumn(title, "number", importance)


def words_column(title: str = "", importance: int = 0) -> TableColumn:
    """Make a column of words, which may take several lines."""
    return TableColumn(title, "words", importance)


def shorten(text: str, width: int, dots: str = "…", head: int | None = None) -> str:
    """Return a name in so many columns: its beginning, dots, and its end.

    Args:
        text: the name.
        width: columns that it may take.
        dots: what stands for the middle.
        head: columns of the beginning; None takes as many as of the end.
    """
    if cell_len(text) <= width:
        return text
    room = width - len(dots)
    if room < 2:
        return chop_cells(text, max(1, width))[0]
    head = room - room // 2 if head is None else head
    begin = chop_cells(text, head)[0] if head else ""
    end = chop_cells(text[::-1], room - head)[0][::-1] if head < room else ""
    return f"{begin}{dots}{end}"


def shortened(names: Sequence[str], width: int, dots: str) -> list[str] | None:
    """Return names in so many columns each, cut where those that differ stay different.

    None where no one cut leaves them so.

    Args:
        names: the names.
        width: columns that each may take.
        dots: what stands for the middle.
    """
    room, different = width - len(dots), len(set(names))
    for head in sorted(range(1, room), key=lambda head: abs(2 * head - room)):
        short = [shorten(name, width, dots, head) for name in names]
        if len(set(short)) == different:
            return short
    return None


def fitted(
    columns: Sequence[TableColumn], rows: Sequence[Sequence[str]], width: int, dots: str = "…"
) -> dict[int, int]:
    """Return the places of the columns that are shown, with the width of each.

    Args:
        columns: all that there are.
        rows: of the cells' texts.
        width: columns of the screen.
        dots: what stands for the middle of a name.
    """
    cells = [[row[place] for row in rows] for place in range(len(columns))]
    natural = [
        max(map(cell_len, (*cells[place], column.title)), default=0)
        for place, column in enumerate(columns)
    ]
    least = [
        _least(column, cells[place], natural[place], dots) for place, column in enumerate(columns)
    ]
    shown = list(range(len(columns)))
    whole = [
        natural[place] if column.typed else least[place] for place, column in enumerate(columns)
    ]
    stay = [place for place in shown if not columns[place].importance]
    if _total(whole, stay) <= width:
        least = whole
    while len(shown) > 1 and _total(least, shown) > width:
        shown.remove(max(shown, key=lambda place: (columns[place].importance, place)))
    if len(shown) == 1:
        return {shown[0]: min(natural[shown[0]], width)}
    widths = {place: least[place] for place in shown}
    spare = width - _total(least, shown)
    for kind in ("number", "name", "words"):
        growing = sorted(
            (place for place in shown if columns[place].kind == kind),
            key=lambda place: natural[place] - least[place],
        )
        for done, place in enumerate(growing):  # who needs little leaves the rest to the others
            more = min(natural[place] - least[place], spare // (len(growing) - done))
            widths[place] += more
            spare -= more
    return widths


def _total(least: Sequence[int], shown: Sequence[int]) -> int:
    return sum(least[place] for place in shown) + GAP * (len(shown) - 1)


def _least(column: TableColumn, cells: Sequence[str], natural: int, dots: str) -> int:
    """Return the least width at which a column still says what it is to say."""
    title = min(NARROW_NAME, max(map(cell_len, column.title.split()), default=0))
    if column.kind == "number":
        return max(title, max(map(cell_len, cells), default=0))
    if column.kind == "words":
        return max(title, min(natural, NARROW_WORDS))
    least = max(title, min(natural, NARROW_NAME))
    return next(
        (width for width in range(least, natural) if shortened(cells, width, dots)), natural
    )


def drawn(
    columns: Sequence[TableColumn], rows: Sequence[Sequence[str]], width: int, dots: str = "…"
) -> tuple[RichTable, list[str]]:
    """Return the table as rich prints it, and the titles of the columns that are not shown.

    Args:
        columns: all that there are.
        rows: of the cells' texts.
        width: columns of the screen.
        dots: what stands for the middle of a name.
    """
    widths = fitted(columns, rows, width, dots)
    table = RichTable(
        header_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, GAP, 0, 0),
        show_header=any(column.title for column in columns),
    )
    for place, wide in widths.items():
        column = columns[place]
        title = " ".join(shorten(word, wide, dots) for word in column.title.split())
        table.add_column(
            Text(title),
            justify="right" if column.kind == "number" else "left",
            overflow="fold",
            width=wide,
        )
    cells = []
    for place, wide in widths.items():
        texts = [row[place] for row in rows]
        if columns[place].kind == "name":
            texts = shortened(texts, wide, dots) or [shorten(text, wide, dots) for text in texts]
        cells.append([Text(text) for text in texts])
    for row in zip(*cells, strict=True):
        table.add_row(*row)
    return table, [
        column.title for place, column in enumerate(columns) if place not in widths and column.title
    ]
