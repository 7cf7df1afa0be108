"""Metrics as a plain list of records: one shape for every record, so that it is a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from inklings.events import LoggedEvent

FIRST = ("split", "step", "tokens", "seconds", "loss")
"""The keys that come first in every record."""
SPLITS = {"step": "train", "evaluation": "validation"}
"""The events that are records, and the split that their loss is of."""


def metric_records(events: Iterable[LoggedEvent]) -> list[dict[str, Any]]:
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


def alike(records: Iterable[dict[str, Any]], first: Iterable[str]) -> list[dict[str, Any]]:
    """Return records that all have the keys of any, in one order.

    Args:
        records: as they are.
        first: the keys that come first.
    """
    found = list(records)
    names = dict.fromkeys([*first, *(name for record in found for name in record)])
    return [{name: record.get(name) for name in names} for record in found]
