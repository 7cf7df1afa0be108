"""Metrics as a plain list of records: one shape for every record, so that it is a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from inklings.events import LoggedEvent
from inklings.showing import html_line, html_table, text_table

SHOWN = 12
"""Records that a table shows."""

FIRST = ("split", "step", "tokens", "seconds", "loss")
"""The keys that come first in every record."""
SPLITS = {"step": "train", "evaluation": "validation"}
"""The events that are records, and the split that their loss is of."""


class Records(list[dict[str, Any]]):
    """A plain list of records, which shows itself as a table of its first ones."""

    def _columns(self) -> tuple[list[str], list[list[str]], set[int]]:
        """Return the names of the columns, the rows, and which columns are numbers."""
        columns = list(self[0]) if self else []
        rows = [[_cell(record[name]) for name in columns] for record in self[:SHOWN]]
        numbers = {
            place
            for place, name in enumerate(columns)
            if all(isinstance(record[name], int | float | None) for record in self)
        }
        return columns, rows, numbers

    def _rest(self) -> str:
        return f"... {len(self):,} records in all" if len(self) > SHOWN else ""

    def __repr__(self) -> str:
        columns, rows, numbers = self._columns()
        return f"{text_table(columns, rows, right=numbers)}\n{self._rest()}".rstrip()

    def _repr_html_(self) -> str:
        columns, rows, numbers = self._columns()
        return html_table(columns, rows, right=numbers) + html_line(self._rest(), faint=True)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def metric_records(events: Iterable[LoggedEvent]) -> Records:
    """Return a record for every step and evaluation that was logged, in their order.

    Returns:
        Records with the same keys: `split`, `step`, `tokens`, `seconds`, `loss`, and every other
        figure that one of them has; what a record lacks is None. Of steps, `loss` is the mean since
        the record before.
    """
    found: list[dict[str, Any]] = []
    for event in events:
        split = SPLITS.get(event["event"])
        if split is not None:
            figures = {name: value for name, value in event.items() if name != "event"}
            found.append({"split": split, **figures})
    return alike(found, FIRST)


def alike(records: Iterable[dict[str, Any]], first: Iterable[str]) -> Records:
    """Return records that all have the keys of any, in one order.

    Args:
        records: as they are.
        first: the keys that come first.
    """
    found = list(records)
    names = dict.fromkeys([*first, *(name for record in found for name in record)])
    return Records({name: record.get(name) for name in names} for record in found)
