"""The computed times of the page are those of its formula."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "how-long.md"
UNITS = {"s": 1.0, "min": 60.0, "h": 3_600.0, "days": 86_400.0}
MEASURED = {("two cores", "0.1M"): 29.8, ("two cores", "0.8M"): 98.8 / 1.2}
"""Seconds of a megabyte, as the ledger has them."""
PEAK = {"two cores": 420e9, "a laptop": 400e9, "a GPU": 100e12}
SHARE = {"two cores": 206 / 420, "a laptop": 206 / 420, "a GPU": 1 / 3}
ROWS = re.findall(
    r"^\| (two cores|a laptop|a GPU) \| ([\d.]+M) \| (.+) \| (.+) \| (.+) \|$",
    PAGE.read_text(encoding="utf-8"),
    re.MULTILINE,
)


def seconds(machine: str, size: str, megabytes: int) -> float:
    """The time of the page's formula."""
    tokens = megabytes * 1e6
    known = MEASURED.get(("two cores", size))
    if machine != "a GPU" and known is not None:
        return known * megabytes
    if (machine, size) == ("two cores", "10.7M"):
        return tokens / 4_096 * 1.3
    products = 6 * float(size.removesuffix("M")) * 1e6 * tokens / (SHARE[machine] * PEAK[machine])
    return max(products, tokens / 4_096 * 0.010) if machine == "a GPU" else products


def test_every_machine_and_size_has_a_row() -> None:
    assert len(ROWS) == len({(machine, size) for machine, size, *_ in ROWS}) == 3 * 4


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join(row[:2]))
def test_times_are_those_of_the_formula_and_say_what_they_are(row: tuple[str, ...]) -> None:
    machine, size, *cells = row
    for megabytes, cell in zip((1, 10, 100), cells, strict=True):
        number, unit, kind = re.fullmatch(r"([\d.]+) (\w+), (\w+)", cell).groups()  # type: ignore[union-attr]
        told = float(number) * UNITS[unit]
        assert told == pytest.approx(seconds(machine, size, megabytes), rel=0.06), cell
        was_measured = megabytes == 1 and (machine, size) in MEASURED
        assert kind == ("measured" if was_measured else "computed")
