"""Amounts in words: counts, bytes, durations."""

from __future__ import annotations

import math


def count(value: int | None) -> str:
    """Format a count: `76,579`; a dash for none, as counted arms have no parameters."""
    return f"{value:,}" if value else "-"


def short_count(value: int | None) -> str:
    """Format a count with three digits: `300k`, `2M`, `1.25M`, `12.3T`."""
    if value is None:
        return ""
    for size, letter in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:  # 999,936 is 1M, not 1000k
            return (
                f"{value / size:.3g}{letter}"
                if value / size < 999.5
                else f"{value / size:.0f}{letter}"
            )
    return str(value)


def byte_size(amount: float | None) -> str:
    """Format bytes: `12 MiB`, `1.5 GiB`; a question mark where they are not known."""
    if amount is None:
        return "?"
    return f"{amount / 2**30:.1f} GiB" if amount >= 2**30 else f"{amount / 2**20:,.0f} MiB"


def duration(seconds: float | None) -> str:
    """Format a duration: `8.4 s`, `1 min 12 s`, `2 h 05 min`."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return (
        f"{round(seconds) // 60} min {round(seconds) % 60:02d} s"
        if seconds < 3600
        else f"{minutes // 60} h {minutes % 60:02d} min"
    )
