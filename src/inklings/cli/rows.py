"""A row of the live display: who is at work, a bar, and as many figures as there is room for."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from inklings.amounts import duration
from inklings.cli.table import shorten

FULL_BAR, LEAST_BAR = 24, 8
"""Columns of a bar."""
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
PLAIN_SPINNER = "-\\|/"
TURNS = 10
"""Figures of a spinner in a second."""


@dataclass
class Row:
    """A piece of work that is shown."""

    title: str
    tries: str = ""
    """What it tries, of a search."""
    done: int = 0
    total: int | None = None
    """None where it is not known."""
    note: tuple[str, ...] = ()
    """Figures, the most important first."""

    @property
    def name(self) -> str:
        """What it is called in a line."""
        return f"{self.title}, {self.tries}" if self.tries else self.title


def render_row(row: Row, width: int, now: float, dots: str, left: float | None) -> Text:
    """Return a row in so many columns.

    Bar and title give way first, then the less important figures; the time left never does.

    Args:
        row: the piece of work.
        width: columns of the screen.
        now: seconds of any clock.
        dots: what stands for something left out.
        left: seconds until it ends; None where that is not known.
    """
    plain = dots == "..."
    turns = PLAIN_SPINNER if plain else SPINNER
    spinner = turns[int(now * TURNS) % len(turns)]
    ends = [] if left is None else [f"{duration(left)} left"]
    if row.total:
        ends.insert(0, f"{min(1.0, row.done / row.total):4.0%}")
    named = min(width * 2 // 5, width - 3 - sum(2 + cell_len(end) for end in ends))
    tries = shorten(row.tries, named, dots)
    title = shorten(row.title, max(min(12, named), named - cell_len(tries)), dots)
    title = f"{title}, {tries}" if tries else title
    fixed = 2 + cell_len(title) + sum(2 + cell_len(end) for end in ends)
    room = width - 1 - fixed
    barred = bool(row.total) and room >= 2 + LEAST_BAR
    room -= 2 + LEAST_BAR if barred else 0
    notes: list[str] = []
    for note in row.note:
        if cell_len(note) + 2 > room:
            break
        notes.append(note)
        room -= cell_len(note) + 2
    if row.note and not notes and not row.total:  # it is all that there is to say
        notes = [shorten(row.note[0], max(1, room - 2), dots)]
    found = Text(spinner, no_wrap=True, overflow="crop")
    found.append(f" {title}" if title else "")
    if row.total and barred:
        bar = min(FULL_BAR, LEAST_BAR + max(0, room))
        full = round(bar * min(1.0, row.done / row.total))
        found.append("  ")
        found.append(("#" if plain else "━") * full, style="bold")
        found.append(("-" if plain else "─") * (bar - full), style="dim")
    for text in (*ends[: bool(row.total)], *notes, *ends[bool(row.total) :]):
        found.append(f"  {text}")
    found.truncate(width)
    return found
