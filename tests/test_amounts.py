"""Amounts in words: few digits and a unit, rounded so that no unit runs over."""

from __future__ import annotations

import pytest

from inklings.amounts import byte_size, count, duration, short_count


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (8.44, "8.4 s"),
        (59.97, "1 min 00 s"),
        (72.0, "1 min 12 s"),
        (3599.6, "60 min 00 s"),
        (7500.0, "2 h 05 min"),
        (None, ""),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (300_000, "300k"),
        (1_843_200, "1.84M"),
        (2_000_000_000, "2G"),
        (None, ""),
    ],
)
def test_short_counts(number: int | None, text: str) -> None:
    assert short_count(number) == text


@pytest.mark.parametrize(("number", "text"), [(76_579, "76,579"), (0, "-"), (None, "-")])
def test_counts(number: int | None, text: str) -> None:
    assert count(number) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (12 * 2**20 + 1, "12 MiB"),
        (1023 * 2**20, "1,023 MiB"),
        (2**30, "1.0 GiB"),
        (3 * 2**29, "1.5 GiB"),
        (None, "?"),
    ],
)
def test_sizes_in_bytes(amount: int | None, text: str) -> None:
    assert byte_size(amount) == text
